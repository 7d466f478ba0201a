package evidence

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxAnswer = 1 << 20 // of a body that is read

// reply is an answer, with its body.
type reply struct {
	status int
	header http.Header
	body   string
	reason string // the gateway's, when it refused
	id     string // the request's
}

// ask sends a request to a site, as a stranger. Nothing is verified of the certificate: that is probeCertificate's.
func (r *Run) ask(ctx context.Context, s *Site, method, path string, header http.Header) (*reply, error) {
	dial, host := r.address(s)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", dial)
		},
		TLSClientConfig:   &tls.Config{ServerName: s.Host(), InsecureSkipVerify: true},
		DisableKeepAlives: true,
	}
	client := &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+host+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if other := req.Header.Get("Host"); other != "" {
		req.Host = other
		req.Header.Del("Host")
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	got := &reply{status: res.StatusCode, header: res.Header, body: string(body), id: res.Header.Get("X-Request-Id")}
	var problem struct{ Reason string }
	if json.Unmarshal(body, &problem) == nil {
		got.reason = problem.Reason
	}
	return got, nil
}

// browser are the headers with which a browser asks for a page.
func browser() http.Header {
	return headerOf("Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none")
}

const otherHost = "gatehouse-evidence.invalid"

// Strict-Transport-Security as it is promised: two years at least, and subdomains.
const promisedHSTS = 63072000

func strictTransport(values []string) error {
	if len(values) != 1 {
		return fmt.Errorf("Strict-Transport-Security stands there %d times", len(values))
	}
	var age int
	subdomains := false
	for part := range strings.SplitSeq(values[0], ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(name) {
		case "max-age":
			age, _ = strconv.Atoi(strings.Trim(value, `"`))
		case "includesubdomains":
			subdomains = true
		}
	}
	if age < promisedHSTS || !subdomains {
		return fmt.Errorf("Strict-Transport-Security is %q", values[0])
	}
	return nil
}

// hsts reads the header of one answer; nil: there was none.
func (r *Run) hsts(ctx context.Context, s *Site) []string {
	a, err := r.ask(ctx, s, http.MethodGet, "/.gatehouse/"+nonce(), nil)
	if err != nil {
		return nil
	}
	return a.header["Strict-Transport-Security"]
}

func probeHSTS(ctx context.Context, r *Run, s *Site) Result {
	id := nonce()
	seen := map[int]bool{}
	for _, q := range []struct {
		what, method, path string
		header             http.Header
	}{
		{"the login", "GET", "/.gatehouse/login", browser()},
		{"a redirect to the login", "GET", "/" + id, browser()},
		{"a program's request", "GET", "/" + id, nil},
		{"a page that is not there", "GET", "/.gatehouse/" + id, browser()},
		{"an ambiguous path", "GET", "/" + id + "/../x", nil},
		{"an attack", "GET", "/" + id + "?q=" + url.QueryEscape("' UNION SELECT password FROM users--"), nil},
		{"a method that is not allowed", "BREW", "/" + id, nil},
		{"another host", "GET", "/" + id, headerOf("Host", otherHost)},
		{"the start page", "GET", "/", browser()},
	} {
		a, err := r.ask(ctx, s, q.method, q.path, q.header)
		if err != nil {
			return unreachable(err)
		}
		if err := strictTransport(a.header["Strict-Transport-Security"]); err != nil {
			return failed("nothing behind the gateway may take it away: is there a proxy in front, or a site without `gatehouse`?", "%s (%d): %v", q.what, a.status, err)
		}
		seen[a.status] = true
	}
	var all []string
	for status := range seen {
		all = append(all, strconv.Itoa(status))
	}
	slices.Sort(all)
	return passed("two years and subdomains, once, on 9 answers (%s)", strings.Join(all, ", "))
}

// plainAnswer says what is wrong with an answer to plain HTTP; nil for a refusal.
func plainAnswer(address, host string) (saw string, err error) {
	c, err := (&net.Dialer{Timeout: patience}).Dial("tcp", address)
	if err != nil {
		return "nothing listens", nil
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience)) // a connection that was just made takes it
	fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", nonce(), host)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "closed without an answer", nil
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode < 400:
		return "", fmt.Errorf("answered with %s", res.Status)
	case res.Header.Get("Location") != "" || len(res.Header["Set-Cookie"]) > 0:
		return "", fmt.Errorf("answered with %s, and a Location or a cookie", res.Status)
	}
	return "refused with " + res.Status, nil
}

func probePlainHTTP(_ context.Context, r *Run, s *Site) Result {
	dial, host := r.address(s)
	machine, port, err := net.SplitHostPort(dial)
	if err != nil {
		return unreachable(err)
	}
	const fix = "`auto_https disable_redirects` in the global options, and no other server on these ports"
	onTLS, err := plainAnswer(dial, host)
	if err != nil {
		return failed(fix, "plain HTTP to port %s is %v", port, err)
	}
	plain := cmp.Or(r.HTTPPort, "80")
	onHTTP, err := plainAnswer(net.JoinHostPort(machine, plain), s.Host())
	if err != nil {
		return failed(fix, "plain HTTP to port %s is %v", plain, err)
	}
	return passed("port %s: %s; port %s: %s", port, onTLS, plain, onHTTP)
}

func probeServerName(ctx context.Context, r *Run, s *Site) Result {
	a, err := r.ask(ctx, s, http.MethodGet, "/"+nonce(), headerOf("Host", otherHost))
	if err != nil {
		return unreachable(err)
	}
	if a.status != http.StatusMisdirectedRequest {
		return failed("take `strict_sni_host insecure_off` out of the servers option", "another host than the server name is answered with %d", a.status)
	}
	return passed("another host than the server name: 421")
}

func probeStranger(ctx context.Context, r *Run, s *Site) Result {
	var policy struct {
		Public []string `json:"public"`
	}
	if s.has("gatehouse_authorize", &policy) && slices.Contains(policy.Public, "/*") {
		return notApplicable("the whole site is public")
	}
	const fix = "take `public` out of the site, or name fewer paths"
	path := "/gatehouse-evidence-" + nonce()
	program, err := r.ask(ctx, s, http.MethodGet, path, nil)
	if err != nil {
		return unreachable(err)
	}
	if program.status != http.StatusUnauthorized && program.status != http.StatusForbidden {
		return failed(fix, "a stranger's request is answered with %d", program.status)
	}
	page, err := r.ask(ctx, s, http.MethodGet, path, browser())
	if err != nil {
		return unreachable(err)
	}
	led := strings.HasPrefix(page.header.Get("Location"), "/.gatehouse/")
	if page.status < 400 && !(page.status == http.StatusFound && led) {
		return failed(fix, "a stranger's browser is answered with %d", page.status)
	}
	return passed("a program gets %d %s, a browser %d %s", program.status, program.reason, page.status, page.header.Get("Location"))
}

func probeSecurityTxt(ctx context.Context, r *Run, s *Site) Result {
	const fix = "`security_txt { … }` with a contact, and a date within a year"
	a, err := r.ask(ctx, s, http.MethodGet, "/.well-known/security.txt", nil)
	if err != nil {
		return unreachable(err)
	}
	if a.status != http.StatusOK {
		return failed(fix, "/.well-known/security.txt is answered with %d", a.status)
	}
	contact, until := false, time.Time{}
	for line := range strings.Lines(a.body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch strings.ToLower(name) {
		case "contact":
			contact = strings.TrimSpace(value) != ""
		case "expires":
			until, _ = time.Parse(time.RFC3339, strings.TrimSpace(value))
		}
	}
	switch {
	case !contact:
		return failed(fix, "it names no contact")
	case !until.After(time.Now()):
		return failed(fix, "it has expired, or says no date")
	}
	return passed("a contact, until %s", until.UTC().Format(time.DateOnly))
}
