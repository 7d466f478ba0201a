package testenv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// pageIn bounds one step in a browser: on a busy machine, with the race detector behind it, pages are slow.
const pageIn = 60 * time.Second

// browser is one Chromium, driven over CDP: a fresh profile that believes the run's certificate authority and can reach
// nothing but the loopback address.
type browser struct {
	ctx context.Context
}

// startBrowser starts Chromium for a test, which ends it.
func startBrowser(t testing.TB) *browser {
	t.Helper()
	bin := needProgram(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	home, err := os.MkdirTemp("", "ghweb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	believe(t, home)
	alloc, free := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(bin),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home, "XDG_DATA_HOME="+filepath.Join(home, "data")),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless,
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true), // QUIC takes only what Chromium's own root store knows
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-default-apps", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-breakpad", true),
		chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("metrics-recording-only", true),
		chromedp.Flag("password-store", "basic"),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("lang", "en-GB"),
		chromedp.Flag("window-size", "1280,800"),
		chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND"),
	)
	t.Cleanup(free)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", bin, err)
	}
	return &browser{ctx: ctx}
}

// believe makes the certificate authority of the run one that a Chromium with this home believes, as an administrator
// would: no check of certificates is switched off.
func believe(t testing.TB, home string) {
	t.Helper()
	certutil := needProgram(t, "libnss3-tools", "certutil")
	db := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(home, "ca.pem")
	if err := os.WriteFile(authority, ca().pem, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-N", "-d", "sql:" + db, "--empty-password"},
		{"-A", "-d", "sql:" + db, "-n", "testenv", "-t", "C,,", "-i", authority},
	} {
		if out, err := exec.Command(certutil, args...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %s: %v\n%s", args[0], err, out)
		}
	}
}

// needProgram is the path of a program that a story needs. Where testenv/install.sh should have installed it, it is a
// failure that it is not there.
func needProgram(t testing.TB, debianPackage string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	cannot(t, "%s is not installed (Debian package %s): run `sh testenv/install.sh`", names[0], debianPackage)
	return ""
}

// cannot ends a test whose real parts cannot be had: as a failure in the pipeline and where install.sh installs them,
// elsewhere as skipped.
func cannot(t testing.TB, format string, args ...any) {
	t.Helper()
	_, err := os.Stat("/etc/debian_version")
	if os.Getenv("CI") == "true" || err == nil && os.Getuid() == 0 {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// tab is one tab of a browser, and keeps what happened in it.
type tab struct {
	ctx context.Context

	mu       sync.Mutex
	errors   []string                      // guarded by mu; of the console, but not the status of a page
	requests []string                      // guarded by mu; every URL asked for, redirects included
	pending  map[network.RequestID]string  // guarded by mu; what is not answered yet
	sockets  map[network.RequestID]*socket // guarded by mu
}

// socket is a websocket that a page opened.
type socket struct {
	URL      string
	Status   int64     // of the handshake's answer; 0: none yet
	Opened   time.Time // when the answer was there
	Closed   time.Time // zero: open
	Error    string
	Received []string
	Sent     int
}

// person is the first tab of somebody with no cookies.
func (b *browser) person(t testing.TB) *tab {
	t.Helper()
	return newTab(t, b.ctx, chromedp.WithNewBrowserContext())
}

// another is a further tab of the same person.
func (p *tab) another(t testing.TB) *tab {
	t.Helper()
	return newTab(t, p.ctx, chromedp.WithExistingBrowserContext(chromedp.FromContext(p.ctx).BrowserContextID))
}

func newTab(t testing.TB, from context.Context, opts ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(from, opts...)
	t.Cleanup(cancel)
	p := &tab{ctx: ctx, pending: map[network.RequestID]string{}, sockets: map[network.RequestID]*socket{}}
	if err := chromedp.Listen(ctx, p.note); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	p.do(t, "watching the tab", chromedp.EmulateViewport(1280, 800))
	_, err1 := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	_, err2 := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	_, err3 := chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatalf("watching the tab: %v", err)
	}
	return p
}

// note must be quick: it runs where the browser's messages are read.
func (p *tab) note(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	complain := func(format string, args ...any) { p.errors = append(p.errors, fmt.Sprintf(format, args...)) }
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		if d := ev.ExceptionDetails; d.Exception != nil {
			complain("exception: %s %s (%s:%d)", d.Text, d.Exception.Description, d.URL, d.LineNumber)
		} else {
			complain("exception: %s (%s:%d)", d.Text, d.URL, d.LineNumber)
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "assert" {
			var words []string
			for _, arg := range ev.Args {
				words = append(words, strings.Trim(string(arg.Value), `"`)+arg.Description)
			}
			complain("console.%s: %s", ev.Type, strings.Join(words, " "))
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == "error" {
			complain("%s: %s (%s)", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, ev.Request.URL)
		p.pending[ev.RequestID] = ev.Request.Method + " " + ev.Request.URL
	case *network.EventLoadingFinished:
		delete(p.pending, ev.RequestID)
	case *network.EventLoadingFailed:
		delete(p.pending, ev.RequestID)
	case *network.EventWebSocketCreated:
		p.sockets[ev.RequestID] = &socket{URL: ev.URL}
	case *network.EventWebSocketHandshakeResponseReceived:
		if s := p.sockets[ev.RequestID]; s != nil {
			s.Status, s.Opened = ev.Response.Status, time.Now()
		}
	case *network.EventWebSocketFrameReceived:
		if s := p.sockets[ev.RequestID]; s != nil {
			s.Received = append(s.Received, string(ev.Response.PayloadData))
		}
	case *network.EventWebSocketFrameSent:
		if s := p.sockets[ev.RequestID]; s != nil {
			s.Sent++
		}
	case *network.EventWebSocketFrameError:
		if s := p.sockets[ev.RequestID]; s != nil {
			s.Error = ev.ErrorMessage
		}
	case *network.EventWebSocketClosed:
		if s := p.sockets[ev.RequestID]; s != nil {
			s.Closed = time.Now()
		}
	}
}

// complaints are the errors in the console since they were last asked for. Those that mention one of the texts are
// left out.
func (p *tab) complaints(but ...string) (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
next:
	for _, e := range p.errors {
		for _, text := range but {
			if strings.Contains(e, text) {
				continue next
			}
		}
		all = append(all, e)
	}
	p.errors = nil
	return all
}

// asked are the URLs asked for that contain a text, redirects included, in order.
func (p *tab) asked(text string) (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.requests {
		if strings.Contains(u, text) {
			all = append(all, u)
		}
	}
	return all
}

// socket is the last websocket that was opened at a path.
func (p *tab) socket(path string) (last socket, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sockets {
		u, err := url.Parse(s.URL)
		if err != nil || u.Path != path {
			continue
		}
		n++
		if !s.Opened.Before(last.Opened) {
			last = *s
			last.Received = append([]string(nil), s.Received...)
		}
	}
	return last, n
}

// do runs steps that lead to no other page.
func (p *tab) do(t testing.TB, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, pageIn)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("%s: %v\n%s", what, err, p.describe())
	}
}

// turn runs steps that lead to another page, and returns its answer when it has loaded.
func (p *tab) turn(t testing.TB, what string, steps ...chromedp.Action[chromedp.Void]) *network.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, pageIn)
	defer cancel()
	resp, err := chromedp.RunResponse(ctx, steps...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", what, err, p.describe())
	}
	return resp
}

// open is what is typed into the address bar.
func (p *tab) open(t testing.TB, address string) *network.Response {
	t.Helper()
	return p.turn(t, "opening "+address, chromedp.Navigate(address))
}

// click presses a button or a link that leads to another page. It is pressed by the keyboard: between a mouse button's way down and
// up scripts may move what is under it, and nothing is pressed then.
func (p *tab) click(t testing.TB, selector string) *network.Response {
	t.Helper()
	at := chromedp.CSS(selector)
	return p.turn(t, "pressing "+selector, chromedp.WaitVisible(at), chromedp.Focus(at), chromedp.KeyEvent(kb.Enter))
}

// typing types into a field as it is. It is not chromedp's SendKeys, which reads a node's attributes while they change.
func typing(selector, text string) []chromedp.Action[chromedp.Void] {
	return []chromedp.Action[chromedp.Void]{chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent(text)}
}

// fill types into empty fields: selector, text, selector, text …
func (p *tab) fill(t testing.TB, pairs ...string) {
	t.Helper()
	var steps []chromedp.Action[chromedp.Void]
	for i := 0; i+1 < len(pairs); i += 2 {
		steps = append(append(steps, chromedp.Clear(chromedp.CSS(pairs[i]))), typing(pairs[i], pairs[i+1])...)
	}
	p.do(t, "filling in the form", steps...)
}

// eval is what an expression is in the page.
func eval[T any](t testing.TB, p *tab, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, pageIn)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v\n%s", expression, err, p.describe())
	}
	return v
}

// until waits for an expression to be true in the page.
func (p *tab) until(t testing.TB, what, expression string) {
	t.Helper()
	p.do(t, "waiting until "+what, func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Poll[any](expression, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(pageIn))(ctx, target)
		return chromedp.Void{}, err
	})
}

// words are what the page says.
func (p *tab) words(t testing.TB) string {
	t.Helper()
	return eval[string](t, p, "document.body.innerText")
}

// mustSay fails when the page does not say one of these.
func (p *tab) mustSay(t testing.TB, texts ...string) {
	t.Helper()
	words := p.words(t)
	for _, text := range texts {
		if !strings.Contains(words, text) {
			t.Fatalf("the page does not say %q:\n%s", text, p.describe())
		}
	}
}

// where is the address in the address bar.
func (p *tab) where(t testing.TB) string {
	t.Helper()
	return eval[string](t, p, "location.href")
}

// mustBeAt fails when the address in the address bar is another one.
func (p *tab) mustBeAt(t testing.TB, address string) {
	t.Helper()
	if got := p.where(t); got != address {
		t.Fatalf("the address is %s, want %s\n%s", got, address, p.describe())
	}
}

// describe is what a failed story needs to say.
func (p *tab) describe() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	page, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.title + "\n" + document.body.innerText`))
	if err != nil {
		page = err.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(excerpt([]byte(page), 2000)) + "\nconsole: " + strings.Join(p.errors, "\n         ") +
		"\nnot answered: " + strings.Join(slices.Sorted(maps.Values(p.pending)), "\n              ")
}

// cookies are all that this person's browser holds, by name and host.
func (p *tab) cookies(t testing.TB) map[string]*network.Cookie {
	t.Helper()
	got, err := chromedp.CallBrowser(p.ctx, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID})
	if err != nil {
		t.Fatalf("reading the cookies: %v", err)
	}
	all := map[string]*network.Cookie{}
	for _, c := range got.Cookies {
		all[c.Name] = c
	}
	return all
}

// session is the value of the session cookie, which must never be in a log.
func (p *tab) session(t testing.TB, g *gateway) string {
	t.Helper()
	c := p.cookies(t)[sessionCookie]
	if c == nil {
		return ""
	}
	g.secret(c.Value)
	return c.Value
}

// withoutScripts switches JavaScript off in this tab.
func (p *tab) withoutScripts(t testing.TB) {
	t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatalf("switching JavaScript off: %v", err)
	}
}

// shot keeps a picture of the page among the test's artifacts; `go test -artifacts` keeps those.
func (p *tab) shot(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, pageIn)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), png, 0o600)
	}
	if err != nil {
		t.Errorf("taking a picture: %v", err)
	}
}

// TestBrowserIsNoFool is the negative control of every story in a browser: a certificate that is not for the site, or
// not from the authority it believes, keeps it out.
func TestBrowserIsNoFool(t *testing.T) {
	t.Parallel()
	stranger, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	p := startBrowser(t).person(t)
	for _, tt := range []struct {
		name, host, want string
		from             *authority
	}{
		{"right", appHost, "", ca()},
		{"another name", "other.test", "ERR_CERT_COMMON_NAME_INVALID", ca()},
		{"another authority", appHost, "ERR_CERT_AUTHORITY_INVALID", stranger},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert, key, err := tt.from.leaf(tt.host)
			if err != nil {
				t.Fatal(err)
			}
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			site := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			site.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
			site.Config.ErrorLog = quiet
			site.StartTLS()
			defer site.Close()
			_, port, _ := strings.Cut(site.Listener.Addr().String(), ":")
			ctx, cancel := context.WithTimeout(p.ctx, pageIn)
			defer cancel()
			err = chromedp.Do(ctx, chromedp.Navigate("https://"+appHost+":"+port+"/"))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// quiet is for servers of tests whose clients hang up on them.
var quiet = stdlog.New(io.Discard, "", 0)
