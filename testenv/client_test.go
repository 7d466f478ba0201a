package testenv

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/html"
)

const (
	hsts          = "max-age=63072000; includeSubDomains"
	sessionCookie = "__Host-gatehouse"
	deviceCookie  = "__Host-gatehouse-device"
	answersIn     = 30 * time.Second
)

// client is one visitor: a cookie jar and its connections. It follows no redirects.
type client struct {
	gw   *gateway
	jar  *cookiejar.Jar
	http map[string]*http.Client // by HTTP version
	h3   *http3.Transport

	stolen string // cookies that it sends whatever it is told, as a thief would; "": those of the jar
}

// newClient is a visitor who has never been here.
func (g *gateway) newClient() *client {
	jar, _ := cookiejar.New(nil) // never fails
	c := &client{gw: g, jar: jar, http: map[string]*http.Client{}}
	// Every name is dialled on the gateway's address, on the port that the URL says.
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(g.ip, port))
	}
	for version, h2 := range map[string]bool{"1.1": false, "2": true} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!h2)
		protocols.SetHTTP2(h2)
		c.http[version] = c.around(&http.Transport{
			DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: ca().pool}, Protocols: protocols,
			DisableCompression: true, MaxIdleConnsPerHost: 64,
		})
	}
	c.h3 = &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: ca().pool}, DisableCompression: true,
		Dial: func(ctx context.Context, addr string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return quic.DialAddr(ctx, net.JoinHostPort(g.ip, port), tlsConf, conf)
		},
	}
	c.http["3"] = c.around(c.h3)
	return c
}

func (c *client) around(rt http.RoundTripper) *http.Client {
	return &http.Client{Transport: rt, Jar: c.jar, Timeout: answersIn, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// close ends the client's connections.
func (c *client) close() {
	for _, h := range c.http {
		h.CloseIdleConnections()
	}
	_ = c.h3.Close()
}

// request is what a client sends. The zero request is a program's GET of nothing: Path is needed.
type request struct {
	Method string      // default: GET
	Path   string      // path and query, or a whole URL
	HTTP   string      // 1.1, 2 or 3; default: 2
	Host   string      // the Host header, when it differs from the URL
	Header http.Header // as given, no canonical form
	Body   []byte
	Nav    bool // a person's browser going to a page, not a program
	Bare   bool // without this client's cookies
}

// answer is what came back.
type answer struct {
	Status  int
	Proto   string
	Header  http.Header
	Trailer http.Header
	Body    []byte
	Nav     bool // the request was a navigation
	Close   bool // the connection ends with the answer
}

// navigation is what browsers say when a person goes to a page.
var navigation = http.Header{
	"Accept":                    {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
	"Accept-Language":           {"en-GB,en;q=0.7"},
	"Upgrade-Insecure-Requests": {"1"},
	"Sec-Fetch-Dest":            {"document"},
	"Sec-Fetch-Mode":            {"navigate"},
	"Sec-Fetch-User":            {"?1"},
	"User-Agent":                {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
}

// do sends a request. Every answer is held to the promise about HTTPS, so every story tests it.
func (c *client) do(r request) (*answer, error) {
	version := r.HTTP
	if version == "" {
		version = "2"
	}
	h := c.http[version]
	if h == nil {
		return nil, fmt.Errorf("HTTP version %q: 1.1, 2 or 3", version)
	}
	if c.stolen != "" && !r.Bare {
		r.Bare, r.Header = true, r.Header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set("Cookie", c.stolen)
	}
	if r.Bare {
		h = &http.Client{Transport: h.Transport, Timeout: h.Timeout, CheckRedirect: h.CheckRedirect}
	}
	target := r.Path
	if strings.HasPrefix(target, "/") {
		target = c.gw.origin() + target
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequest(method, target, body)
	if err != nil {
		return nil, err
	}
	if r.Host != "" {
		req.Host = r.Host
	}
	if r.Nav {
		req.Header = navigation.Clone()
		site := "none"
		if method != http.MethodGet {
			site = "same-origin"
			req.Header.Set("Origin", c.gw.origin())
		}
		req.Header.Set("Sec-Fetch-Site", site)
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	resp, err := h.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{Status: resp.StatusCode, Proto: resp.Proto, Header: resp.Header, Trailer: resp.Trailer, Nav: r.Nav}
	if a.Body, err = io.ReadAll(resp.Body); err != nil {
		return a, err
	}
	for _, cookie := range resp.Cookies() {
		c.gw.secret(cookie.Value)
	}
	if want := map[string]int{"1.1": 1, "2": 2, "3": 3}[version]; resp.ProtoMajor != want {
		return a, fmt.Errorf("answered over %s, not HTTP/%s", resp.Proto, version)
	}
	return a, c.gw.held(a)
}

// held reports an answer over TLS that does not promise HTTPS exactly once and as long as we say.
func (g *gateway) held(a *answer) error {
	if g.plain {
		return nil
	}
	if got := a.Header.Values("Strict-Transport-Security"); len(got) != 1 || got[0] != hsts {
		return fmt.Errorf("a %d answer has Strict-Transport-Security %q, want exactly one %q", a.Status, got, hsts)
	}
	return nil
}

// must is do for tests.
func (c *client) must(t testing.TB, r request) *answer {
	t.Helper()
	a, err := c.do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.Path, err)
	}
	return a
}

// get is a program's GET that must be answered.
func (c *client) get(t testing.TB, path string) *answer {
	t.Helper()
	return c.must(t, request{Path: path})
}

// visit is a person's GET that must be answered.
func (c *client) visit(t testing.TB, path string) *answer {
	t.Helper()
	return c.must(t, request{Path: path, Nav: true})
}

// id is the request's id.
func (a *answer) id() string { return a.Header.Get("X-Request-Id") }

// problem reads an RFC 9457 body.
func (a *answer) problem() (p struct {
	Type, Title, Reason, Detail string
	Status                      int
	RequestID                   string `json:"request_id"`
	LoginURL                    string `json:"login_url"`
}, err error) {
	return p, json.Unmarshal(a.Body, &p)
}

// refusedAs reports an answer that is not a refusal for this reason, told in the way the client understands.
func (a *answer) refusedAs(reason string, status int) error {
	if a.Status != status {
		return fmt.Errorf("status %d, want %d (%s)\n%s", a.Status, status, reason, excerpt(a.Body, 400))
	}
	if a.id() == "" {
		return errors.New("the answer has no X-Request-Id")
	}
	kind := a.Header.Get("Content-Type")
	if cc := a.Header.Get("Cache-Control"); !strings.Contains(cc, "no-store") {
		return fmt.Errorf("the refusal may be cached: Cache-Control %q", cc)
	}
	if a.Nav {
		if !strings.HasPrefix(kind, "text/html") {
			return fmt.Errorf("a navigation is refused as %q, want text/html", kind)
		}
		for _, part := range []string{reason, a.id()} {
			if !bytes.Contains(a.Body, []byte(part)) {
				return fmt.Errorf("the page does not name %q:\n%s", part, excerpt(a.Body, 2000))
			}
		}
		return nil
	}
	if kind != "application/problem+json" {
		return fmt.Errorf("a program is refused as %q, want application/problem+json\n%s", kind, excerpt(a.Body, 400))
	}
	p, err := a.problem()
	if err != nil {
		return fmt.Errorf("the problem document is not JSON: %w\n%s", err, excerpt(a.Body, 400))
	}
	if p.Reason != reason || p.RequestID != a.id() || p.Status != status {
		return fmt.Errorf("the problem says reason %q, request_id %q, status %d; want %q, %q, %d", p.Reason, p.RequestID, p.Status, reason, a.id(), status)
	}
	return nil
}

// cookie is the value of a cookie that the client holds for the site; empty: none.
func (c *client) cookie(name string) string {
	u, err := url.Parse(c.gw.origin())
	if err != nil {
		return ""
	}
	for _, cookie := range c.jar.Cookies(u) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// cookieHeader is the Cookie header a browser would send: for clients that are not an http.Client.
func (c *client) cookieHeader() string {
	if c.stolen != "" {
		return c.stolen
	}
	u, err := url.Parse(c.gw.origin())
	if err != nil {
		return ""
	}
	var parts []string
	for _, cookie := range c.jar.Cookies(u) {
		parts = append(parts, cookie.Name+"="+cookie.Value)
	}
	return strings.Join(parts, "; ")
}

// form is the first HTML form of a page.
type form struct {
	Action string
	Method string
	Fields url.Values
	Masked []string // the fields of type password
}

// person fills in who they are; a form may ask for the password twice.
func (f form) person(user, password string) form {
	f.Fields.Set("username", user)
	for _, name := range f.Masked {
		f.Fields.Set(name, password)
	}
	return f
}

func (a *answer) form() (form, error) {
	f := form{Fields: url.Values{}}
	in := false
	for z := html.NewTokenizer(bytes.NewReader(a.Body)); ; {
		if z.Next() == html.ErrorToken {
			if f.Method == "" {
				return f, fmt.Errorf("no form in the page (status %d):\n%s", a.Status, excerpt(a.Body, 2000))
			}
			return f, nil
		}
		token := z.Token()
		attr := map[string]string{}
		for _, at := range token.Attr {
			attr[at.Key] = at.Val
		}
		switch {
		case token.Type == html.EndTagToken && token.Data == "form":
			return f, nil
		case token.Data == "form":
			in = true
			f.Action, f.Method = attr["action"], strings.ToUpper(attr["method"])
		case in && token.Data == "input" && attr["name"] != "":
			f.Fields.Set(attr["name"], attr["value"])
			if attr["type"] == "password" {
				f.Masked = append(f.Masked, attr["name"])
			}
		}
	}
}

// submit sends a form as a browser does.
func (c *client) submit(f form) (*answer, error) {
	return c.do(request{
		Method: http.MethodPost, Path: f.Action, Nav: true, Body: []byte(f.Fields.Encode()),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
}

// setupLink is the one-time link of a new installation; empty when there is none.
func (g *gateway) setupLink() string {
	link, err := os.ReadFile(filepath.Join(g.env["STATE"], "setup-link"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(link))
}

// setup follows the one-time link and makes the first user, who is then logged in.
func (c *client) setup(link, user, password string) (*answer, error) {
	if link == "" {
		return nil, errors.New("there is no setup link")
	}
	c.gw.secret(password)
	page, err := c.do(request{Path: link, Nav: true})
	if err != nil {
		return page, err
	}
	f, err := page.form()
	if err != nil {
		return page, err
	}
	a, err := c.submit(f.person(user, password))
	return a, errors.Join(err, c.expectLogin(a))
}

// login fills in the login form, as a person who wants to go to next, and who waits when told to.
func (c *client) login(user, password, next string) (*answer, error) {
	for deadline := time.Now().Add(answersIn); ; {
		a, err := c.loginOnce(user, password, next)
		if a == nil || a.Status != http.StatusTooManyRequests {
			return a, err
		}
		seconds, aerr := strconv.Atoi(a.Header.Get("Retry-After"))
		wait := time.Duration(seconds) * time.Second
		if aerr != nil || time.Now().Add(wait).After(deadline) {
			return a, errors.Join(err, aerr)
		}
		time.Sleep(wait)
	}
}

func (c *client) loginOnce(user, password, next string) (*answer, error) {
	c.gw.secret(password)
	page, err := c.do(request{Path: "/.gatehouse/login?next=" + url.QueryEscape(next), Nav: true})
	if err != nil {
		return page, err
	}
	f, err := page.form()
	if err != nil {
		return page, err
	}
	a, err := c.submit(f.person(user, password))
	return a, errors.Join(err, c.expectLogin(a))
}

func (c *client) expectLogin(a *answer) error {
	switch {
	case a == nil:
		return nil
	case a.Status != http.StatusSeeOther:
		return fmt.Errorf("not logged in: status %d\n%s", a.Status, excerpt(a.Body, 1500))
	case c.cookie(sessionCookie) == "":
		return fmt.Errorf("not logged in: no %s cookie", sessionCookie)
	}
	return nil
}

// logout ends the session as a person does.
func (c *client) logout() (*answer, error) {
	page, err := c.do(request{Path: "/.gatehouse/logout", Nav: true})
	if err != nil {
		return page, err
	}
	f, err := page.form()
	if err != nil {
		return page, err
	}
	a, err := c.submit(f)
	if err == nil && a.Status >= 400 {
		err = fmt.Errorf("logout: status %d\n%s", a.Status, excerpt(a.Body, 400))
	}
	return a, err
}

// logoutStolen ends the session as a person does whose cookies somebody else has: from then on the client is the thief.
func (c *client) logoutStolen() error {
	cookies := c.cookieHeader()
	_, err := c.logout()
	c.stolen = cookies
	return err
}

// alive reports whether the client's session is good.
func (c *client) alive() (bool, error) {
	a, err := c.do(request{Path: "/.gatehouse/account", Nav: true})
	if err != nil {
		return false, err
	}
	return a.Status == http.StatusOK, nil
}

// newUser sets the first user up and returns the client that is logged in.
func (g *gateway) newUser(t testing.TB, user, password string) *client {
	t.Helper()
	c := g.newClient()
	t.Cleanup(c.close)
	if _, err := c.setup(g.setupLink(), user, password); err != nil {
		t.Fatalf("setting %s up: %v", user, err)
	}
	return c
}

// stranger is a client without a session.
func (g *gateway) stranger(t testing.TB) *client {
	t.Helper()
	c := g.newClient()
	t.Cleanup(c.close)
	return c
}
