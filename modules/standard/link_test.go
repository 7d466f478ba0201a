package standard_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

const linkPolicy = `allow role staff
		route /offers/* {
			allow role staff
			allow guest
		}
		public /open/*
		rate_limit 1000r/s burst 1000 /.gatehouse/*`

// record is an application that answers with what it was sent, and remembers it.
type record struct {
	mu   sync.Mutex
	seen strings.Builder // guarded by mu
}

func (rec *record) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dump, _ := httputil.DumpRequest(r, true)
	rec.mu.Lock()
	rec.seen.Write(dump)
	rec.mu.Unlock()
	if r.URL.Path == "/offers/stream" {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	_, _ = w.Write(dump)
}

func (rec *record) text() string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.seen.String()
}

// linked is a gateway whose offers may be seen by guests.
func linked(t *testing.T, change ...string) (*operated, *record) {
	rec := new(record)
	up := handlerBackend(t, rec.ServeHTTP)
	return operate(t, append([]string{"policy", linkPolicy, "idp", "voucher", "backend", "reverse_proxy " + up}, change...)...), rec
}

// link makes a link and returns its path and query, its token, and its id.
func (o *operated) link(args ...string) (path, token, id string) {
	o.t.Helper()
	url := o.ok(append([]string{"link", "create", "--for", "ines@supplier.example"}, args...)...)
	path, found := strings.CutPrefix(url, "https://"+o.host(url))
	_, token, ok := strings.Cut(path, "?t=")
	if !found || !ok || !strings.HasPrefix(path, "/.gatehouse/link?") || len(token) != 52 {
		o.t.Fatalf("link create said %q", url)
	}
	return path, token, token[4:14]
}

func (o *operated) host(url string) string {
	rest, _ := strings.CutPrefix(url, "https://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// open follows a link and presses the button.
func open(t testing.TB, b *gatetest.Browser, path string) gatetest.Answer {
	t.Helper()
	a := b.Get(path)
	if a.StatusCode != http.StatusSeeOther {
		return a
	}
	return b.Submit(b.Get(a.Header.Get("Location")))
}

// A link opens what it was made for, to whoever presses the button, and nothing else (BRF-08).
func TestLinks(t *testing.T) {
	g, rec := linked(t, "before", "log {\n output file {{dir}}/caddy.json\n }")
	path, token, id := g.link("--host", "app.test", "--path", "/offers/17/*", "--note", "offer 17")
	scanner := g.Browser()
	for _, method := range []string{"HEAD", "GET", "HEAD", "GET"} { // what looks at links in mails, and follows where they lead
		a := scanner.Send(method, path, "", "Sec-Fetch-Site", "cross-site")
		if to := a.Header.Get("Location"); a.StatusCode != 303 || to != "/.gatehouse/link" || a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d to %q, %v", method, a.StatusCode, to, a.Header)
		}
		scanner.Send(method, "/.gatehouse/link", "", "Sec-Fetch-Site", "cross-site")
	}
	scanner.Get("/offers/17/a").Want(t, 302, "")

	b := g.Browser()
	shown := b.Get(b.Get(path).Header.Get("Location")).Want(t, 200, "You were sent a link")
	if strings.Contains(shown.Body, token) || strings.Contains(shown.Body, "ines@") {
		t.Error("the page holds the token, or whom it was sent to")
	}
	for lang, says := range map[string]string{"de": "Sie haben einen Link erhalten", "fr": "Vous avez reçu un lien"} {
		b.Send("GET", "/.gatehouse/link", "", "Accept-Language", lang).Want(t, 200, says)
	}
	b.Send("POST", "/.gatehouse/link", "", "Origin", "https://evil.test", "Sec-Fetch-Site", "cross-site").Want(t, 403, "cross_origin")
	jar := b.HTTP.Jar
	b.HTTP.Jar = deaf{jar}
	if a := b.Submit(shown); a.StatusCode != 303 { // a double click: the browser sends the form twice, and forgets the first answer
		t.Fatalf("the first click: %d\n%s", a.StatusCode, a.Body)
	}
	b.HTTP.Jar = jar
	if a := b.Submit(shown); a.StatusCode != 303 || a.Header.Get("Location") != "/offers/17/" {
		t.Fatalf("the button: %d to %q\n%s", a.StatusCode, a.Header.Get("Location"), a.Body)
	}
	b.Send("GET", "/offers/17/a?x=1", "", "Referer", "https://app.test/.gatehouse/link").Want(t, 200, "X-Gatehouse-User: "+id)
	b.Get(path).Want(t, 303, "") // so does the mail, once more
	if a := b.Get(path); a.Header.Get("Location") != "/offers/17/" {
		t.Errorf("the mail's link, opened: %q", a.Header.Get("Location"))
	}

	for _, tt := range []struct {
		name, method, path string
		status             int
		says               string
	}{
		{"its path", "GET", "/offers/17/a/b", 200, "GET /offers/17/a/b"},
		{"HEAD, where GET is", "HEAD", "/offers/17/", 200, ""},
		{"a wider path", "GET", "/offers/", 403, "link_invalid"},
		{"its neighbour", "GET", "/offers/18/a", 403, "link_invalid"},
		{"another spelling", "GET", "/OFFERS/17/a", 403, "link_invalid"},
		{"another part of the site", "GET", "/", 403, "link_invalid"},
		{"another method", "POST", "/offers/17/a", 403, "link_invalid"},
		{"another method", "DELETE", "/offers/17/a", 403, "link_invalid"},
		{"what everybody may", "GET", "/open/style.css", 200, "GET /open/style.css"},
		{"the account page", "GET", "/.gatehouse/account", 302, ""},
		{"an attack", "GET", "/offers/17/a?q=<script>alert(1)</script>", 403, "waf_blocked"},
	} {
		if a := b.Send(tt.method, tt.path, ""); a.StatusCode != tt.status || !strings.Contains(a.Body, tt.says) {
			t.Errorf("%s: %d, want %d %q: %.300s", tt.name, a.StatusCode, tt.status, tt.says, a.Body)
		}
	}
	if strings.Contains(b.Get("/open/x").Body, id) {
		t.Error("outside of its link, a guest is somebody")
	}
	if a := b.Send("POST", "/offers/17/a", "", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"); a.StatusCode != 403 || !strings.Contains(a.Body, "cross_origin") {
		t.Errorf("another site's form in a guest's name: %d", a.StatusCode)
	}
	// Programs are told in their words, and where a person goes on.
	b.Send("GET", "/offers/18/a", "", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Mode", "cors", "Accept", "application/json").Want(t, 403, `"login_url"`)

	open(t, g.Browser(), path).Want(t, 403, "link_invalid") // a second use, elsewhere
	changed := strings.Replace(path, token[20:30], strings.Repeat("x", 10), 1)
	g.Browser().Get(changed).Want(t, 403, "link_invalid")
	g.Browser().Get(path+"x").Want(t, 403, "link_invalid")
	g.Browser().Get("/.gatehouse/link?t=").Want(t, 403, "link_invalid")
	g.Browser().Get("/.gatehouse/link").Want(t, 403, "allow cookies")
	g.Browser().Send("POST", "/.gatehouse/link", "").Want(t, 403, "link_invalid")
	g.Browser().Send("PUT", "/.gatehouse/link", "").Want(t, 405, "")

	g.WantEvent("link.opened", `"user":"link:`+id+`"`, `"use":"1 of 1"`)
	g.WantEvent("link.created", `"user":"link:`+id+`"`, `"operator":"olga"`)
	g.WantEvent("request.refused", `"reason":"link_invalid"`, "the link "+id+": it was used as often as it may be")
	caddys, err := os.ReadFile(filepath.Join(g.Dir, "caddy.json"))
	if err != nil || !strings.Contains(string(caddys), "/offers/17/a?x=1") {
		t.Fatalf("Caddy's own access log is not there: %v", err)
	}
	for where, text := range map[string]string{"the application": rec.text(), "the log": g.Log(), "Caddy's log": string(caddys), "the state": stored(t, g.Dir)} {
		for what, secret := range map[string]string{"token": token, "secret part of the token": token[14:], "address": "ines@supplier.example"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s knows the %s", where, what)
			}
		}
	}
	if app := rec.text(); strings.Contains(app, "__Host-gatehouse") || strings.Contains(app, "?t=") {
		t.Error("the application sees a cookie of the gateway's, or the address of the link")
	}
	if list := g.ok("link", "list"); !strings.Contains(list, id) || !strings.Contains(list, `"ines@supplier.example"`) || !strings.Contains(list, "used up") || strings.Contains(list, token[14:]) {
		t.Errorf("the list:\n%s", list)
	}

	b.Submit(b.Get("/.gatehouse/link").Want(t, 200, "You are here by a link")).Want(t, 200, "You are signed out")
	b.Get("/offers/17/a").Want(t, 302, "")
}

// deaf is a jar of cookies that takes no new ones.
type deaf struct{ http.CookieJar }

func (deaf) SetCookies(*url.URL, []*http.Cookie) {}

// stored returns all that is in the state directory, audit log included.
func stored(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(filepath.Join(dir, "state"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil || all.Len() == 0 {
		t.Fatalf("the state: %d bytes, %v", all.Len(), err)
	}
	return all.String()
}

// A link and what it opened end when it is revoked, when it expires, and when whoever answers for it is disabled.
func TestLinksEnd(t *testing.T) {
	g, _ := linked(t)
	if err := g.Load(g.text("policy", linkPolicy, "idp", "voucher", "backend", "reverse_proxy 127.0.0.1:1")); err != nil {
		t.Fatal(err)
	}
	as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	on := []string{"--host", "app.test", "--path", "/offers/*", "--uses", "2"}
	revoked, _, id := g.link(on...)
	short, _, _ := g.link(append(on, "--expires", "2s")...)
	owned, _, _ := g.link(append(on, "--owner", "voucher:sam")...)
	browsers := map[string]*gatetest.Browser{}
	for name, path := range map[string]string{"revoked": revoked, "short": short, "owned": owned} {
		browsers[name] = g.Browser()
		open(t, browsers[name], path).Want(t, 303, "")
		browsers[name].Get("/offers/x").Want(t, 502, "") // let through
	}
	if out := g.ok("link", "revoke", "https://app.test"+revoked); !strings.Contains(out, "ended 1 ") { // pasted whole
		t.Errorf("revoke said %q", out)
	}
	g.no("was revoked", "link", "revoke", id)
	g.no("no such record", "link", "revoke", "abcdefghij")
	g.ok("user", "disable", "voucher:sam")
	gatetest.Eventually(t, "the short link has expired", func() bool { return g.Browser().Get(short).StatusCode == 403 })
	for name, path := range map[string]string{"revoked": revoked, "short": short, "owned": owned} {
		g.Browser().Get(path).Want(t, 403, "link_invalid") // although there is a use left
		b := browsers[name]
		b.Get("/offers/x").Want(t, 403, "link_invalid")
		b.Get("/offers/x").Want(t, 302, "") // the cookie is gone: the next person at this browser may log in
	}
	g.no("may not use the gateway", append([]string{"link", "create", "--for", "x", "--owner", "voucher:sam"}, on...)...)
	g.WantEvent("link.revoked", id)
	for says, args := range map[string][]string{
		"no site of this gateway":  {"--host", "other.test", "--path", "/x"},
		"say what the link opens":  {"--host", "app.test"},
		"say for whom":             {"--host", "app.test", "--path", "/x", "--for", ""},
		"within a year":            {"--host", "app.test", "--path", "/x", "--expires", "400d"},
		"1 to 1000 times":          {"--host", "app.test", "--path", "/x", "--uses", "1001"},
		"lasts from 1m":            {"--host", "app.test", "--path", "/x", "--lasts", "25h"},
		"not for this path":        {"--host", "app.test", "--path", "/x", "--start", "/y"},
		"not for this method":      {"--host", "app.test", "--path", "/x", "--method", "POST"},
		"cannot lead to":           {"--host", "app.test", "--path", "/*", "--start", "//evil.example/"},
		"no identity provider":     {"--host", "app.test", "--path", "/x", "--owner", "corp:ada"},
		"neither an address nor a": {"--host", "app.test", "--path", "/x", "--network", "here"},
	} {
		g.no(says, append([]string{"link", "create", "--for", "x"}, args...)...)
	}
}

// What a guest has running is cut within a second of the link's end, or of the account's that answers for it (CER-14).
func TestStreamsEndWithTheLink(t *testing.T) {
	g, _ := linked(t)
	as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	on := []string{"--host", "app.test", "--path", "/offers/*", "--owner", "voucher:sam"}
	first, _, id := g.link(on...)
	second, _, _ := g.link(on...)
	stream := func(path string) *http.Response {
		b := g.Browser()
		open(t, b, path).Want(t, 303, "")
		res, err := b.HTTP.Get("https://app.test/offers/stream")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if _, err := io.ReadFull(res.Body, make([]byte, 6)); err != nil || res.StatusCode != 200 {
			t.Fatalf("%d, %v", res.StatusCode, err)
		}
		return res
	}
	a, b := stream(first), stream(second)
	for _, end := range []struct {
		res  *http.Response
		args []string
		why  string
	}{
		{a, []string{"link", "revoke", id}, "it is no link of this gateway's, or its session has ended|it was revoked"},
		{b, []string{"user", "disable", "voucher:sam"}, "whoever answers for it may not use the gateway any more"},
	} {
		g.ok(end.args...)
		began := time.Now()
		if _, err := io.ReadAll(end.res.Body); err == nil {
			t.Errorf("%s: the stream ended as if it were complete", end.args)
		}
		if took := time.Since(began); took > 2*time.Second { // a second, and another for a busy machine
			t.Errorf("%s: the stream went on for %v", end.args, took)
		}
		gatetest.Eventually(t, "the log says why it was cut", func() bool {
			for why := range strings.SplitSeq(end.why, "|") {
				if strings.Contains(g.Log(), `"session_cut":"`+why+`"`) {
					return true
				}
			}
			return false
		})
	}
}

// However many press the button at one time, a link is opened as often as it may be.
func TestRaceForALink(t *testing.T) {
	g, _ := linked(t)
	for _, uses := range []int{1, 3} {
		path, _, _ := g.link("--host", "app.test", "--path", "/offers/*", "--uses", fmt.Sprint(uses))
		var browsers []*gatetest.Browser
		for range 12 {
			b := g.Browser()
			b.Get(path).Want(t, 303, "")
			browsers = append(browsers, b)
		}
		var in, out atomic.Int32
		var all sync.WaitGroup
		ready := make(chan struct{})
		for _, b := range browsers {
			all.Go(func() {
				<-ready
				req, _ := http.NewRequest(http.MethodPost, "https://app.test/.gatehouse/link", nil)
				req.Header.Set("Sec-Fetch-Site", "same-origin")
				req.Header.Set("Origin", "https://app.test")
				res, err := b.HTTP.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				switch res.StatusCode {
				case 303:
					in.Add(1)
				case 403:
					out.Add(1)
				default:
					t.Errorf("status %d", res.StatusCode)
				}
			})
		}
		close(ready)
		all.Wait()
		if int(in.Load()) != uses || int(out.Load()) != len(browsers)-uses {
			t.Errorf("a link for %d uses let %d in and refused %d", uses, in.Load(), out.Load())
		}
		guests := 0
		for _, b := range browsers {
			if b.Get("/offers/x").StatusCode == 200 {
				guests++
			}
		}
		if guests != uses {
			t.Errorf("%d of %d have an access", guests, uses)
		}
	}
}

// A link can be for a network, or for the one from which it is opened first.
func TestLinksOfANetwork(t *testing.T) {
	g, _ := linked(t)
	from := func(ip string) *http.Client {
		tr := g.Transport()
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).DialContext(ctx, "tcp", g.Addr)
		}
		t.Cleanup(tr.CloseIdleConnections)
		c := g.Client()
		c.Transport = tr
		c.Jar, _ = cookiejar.New(nil)
		return c
	}
	status := func(c *http.Client, method, path string) int {
		t.Helper()
		res, _ := call(t, c, method, "https://app.test"+path, "", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Origin", "https://app.test")
		return res.StatusCode
	}
	want := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	near, _, _ := g.link("--host", "app.test", "--path", "/offers/*", "--network", "127.0.0.1")
	want("from elsewhere", status(from("127.0.0.2"), "GET", near), 403)
	want("from there", status(from("127.0.0.1"), "GET", near), 303)

	pinned, _, _ := g.link("--host", "app.test", "--path", "/offers/*", "--pin", "--uses", "5")
	here, there := from("127.0.0.1"), from("127.0.0.2")
	want("looked at from anywhere", status(there, "GET", pinned), 303)
	want("opened first", status(here, "GET", pinned)+status(here, "POST", "/.gatehouse/link"), 303+303)
	want("opened from elsewhere", status(there, "POST", "/.gatehouse/link"), 403)
	want("an access where it began", status(here, "GET", "/offers/x"), 200)
	stolen := from("127.0.0.2")
	stolen.Jar = here.Jar
	want("its cookie elsewhere", status(stolen, "GET", "/offers/x"), 403)
	want("an access where it began, afterwards", status(here, "GET", "/offers/x"), 200)
}

// CAL-12: a link of one tenant, and what it opened, is nothing on another's site, also when a host changes hands; and a policy that
// names no guests lets none in.
// Controls: CTB-02.
func TestLinksOfTenants(t *testing.T) {
	const sites = `
(site) {
	{{tls}}
	gatehouse {
		%s
		public /open/*
		tenant {args[0]}
	}
	respond hello
}
https://app.test:{{addr}} {
	import site %s
}
https://b.test:{{addr}} {
	import site umbrella
}
`
	var admin string
	house := func(policy, tenant string) string {
		return "{\n{{house}}\nadmin " + admin + "\ngatehouse {\nstate_dir {{dir}}/state\nvoucher\n}\n}\n" + fmt.Sprintf(sites, policy, tenant)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin = ln.Addr().String()
	ln.Close()
	g := &operated{t: t, admin: admin}
	g.Gateway = gatetest.Start(t, house("allow guest", "acme"))
	path, _, _ := g.link("--host", "app.test", "--path", "/*", "--uses", "5")
	b := g.Browser()
	open(t, b, path).Want(t, 303, "")
	b.Get("/offers").Want(t, 200, "hello")

	other := func(c *http.Client, path string, header ...string) int {
		res, _ := get(t, c, "https://b.test"+path, append(header, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")...)
		return res.StatusCode
	}
	if got := other(g.Client(), path); got != 403 {
		t.Errorf("acme's link on umbrella's site: %d", got)
	}
	req, _ := http.NewRequest("GET", "https://app.test/", nil)
	for _, c := range b.HTTP.Jar.Cookies(req.URL) {
		if got := other(g.Client(), "/offers", "Cookie", c.Name+"="+c.Value); got == 200 {
			t.Errorf("acme's cookie %s on umbrella's site: %d", c.Name, got)
		}
		if got := other(g.Client(), "/open/x", "Cookie", c.Name+"="+c.Value); got != 200 {
			t.Errorf("acme's cookie %s spoils what umbrella shows to all: %d", c.Name, got)
		}
	}
	load := func(policy, tenant string) {
		t.Helper()
		if err := g.Load(house(policy, tenant)); err != nil {
			t.Fatal(err)
		}
		b.HTTP.CloseIdleConnections()
	}
	load("allow role staff", "acme")
	b.Get("/offers").Want(t, 403, "forbidden")
	load("allow guest", "umbrella")
	g.Browser().Get(path).Want(t, 403, "link_invalid")
	b.Get("/offers").Want(t, 403, "link_invalid")
}
