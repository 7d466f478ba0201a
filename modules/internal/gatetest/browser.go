package gatetest

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// Browser is a person's browser at Host: it keeps cookies, says what browsers say, and follows no redirect.
type Browser struct {
	t    testing.TB
	HTTP *http.Client
}

// Browser returns a new one.
func (g *Gateway) Browser() *Browser {
	c := g.Client()
	c.Jar, _ = cookiejar.New(nil) // never fails
	return &Browser{g.t, c}
}

// Answer is what came back, read in full.
type Answer struct {
	*http.Response
	Body string
}

// Send sends a request as a page load or a form does, with further headers: name, value …
func (b *Browser) Send(method, path, body string, header ...string) Answer {
	b.t.Helper()
	r, err := http.NewRequest(method, "https://"+Host+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://"+Host)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := b.HTTP.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return Answer{res, string(got)}
}

// Get loads a page.
func (b *Browser) Get(path string) Answer {
	b.t.Helper()
	return b.Send(http.MethodGet, path, "")
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]+)">`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// Submit fills the page's last form in, name, value …, and sends it with what is hidden in it.
func (b *Browser) Submit(a Answer, fields ...string) Answer {
	b.t.Helper()
	forms := formAction.FindAllStringSubmatchIndex(a.Body, -1)
	if forms == nil {
		b.t.Fatalf("status %d, no form:\n%s", a.StatusCode, a.visible())
	}
	last := forms[len(forms)-1]
	f := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(a.Body[last[0]:], -1) {
		f.Set(m[1], html.UnescapeString(m[2]))
	}
	for i := 0; i < len(fields); i += 2 {
		f.Set(fields[i], fields[i+1])
	}
	return b.Send(http.MethodPost, html.UnescapeString(a.Body[last[2]:last[3]]), f.Encode())
}

// Login logs in with a user name and a password, patiently: after a failure there is a pause.
func (b *Browser) Login(user, password string) (a Answer) {
	b.t.Helper()
	Eventually(b.t, "the pause is over", func() bool {
		a = b.Submit(b.Get("/.gatehouse/login"), "username", user, "password", password)
		return a.StatusCode != http.StatusTooManyRequests
	})
	return a
}

// Alive reports whether somebody is logged in.
func (b *Browser) Alive() bool {
	b.t.Helper()
	return b.Get("/.gatehouse/session").StatusCode == http.StatusOK
}

// visible is what a person sees, about.
func (a Answer) visible() string {
	_, main, ok := strings.Cut(a.Body, "<main>")
	if !ok {
		return a.Body
	}
	return main
}

// Want fails the test unless the answer has this status and says that. It returns the answer.
func (a Answer) Want(t testing.TB, status int, says string) Answer {
	t.Helper()
	if a.StatusCode != status || !strings.Contains(a.Body, says) {
		t.Fatalf("%s: status %d, want %d and %q:\n%s", a.Request.URL.Path, a.StatusCode, status, says, a.visible())
	}
	return a
}

// Events counts the events of a kind whose line in the log has all of that.
func (g *Gateway) Events(kind string, has ...string) (n int) {
	for line := range strings.Lines(g.Log()) {
		all := strings.Contains(line, `"msg":"`+kind+`"`)
		for _, s := range has {
			all = all && strings.Contains(line, s)
		}
		if all {
			n++
		}
	}
	return n
}

// WantEvent waits for an event, since the log is written behind the request.
func (g *Gateway) WantEvent(kind string, has ...string) {
	g.t.Helper()
	Eventually(g.t, fmt.Sprint("the event ", kind, has), func() bool { return g.Events(kind, has...) > 0 })
}

// Eventually polls until it is so, for 20 seconds at the most.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Run runs a command of the gateway's, whose first argument names it, and returns what it wrote. input is its standard input.
func Run(t testing.TB, input string, args ...string) (string, error) {
	t.Helper()
	root := &cobra.Command{Use: "gatehouse", SilenceErrors: true, SilenceUsage: true}
	sub := &cobra.Command{Use: args[0]}
	caddycmd.Commands()[args[0]].CobraFunc(sub)
	root.AddCommand(sub)
	var out bytes.Buffer
	root.SetIn(strings.NewReader(input))
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}
