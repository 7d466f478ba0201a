package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Reloads under load. The load is modest: what matters is that connections are opened and used all the time.

// load is what several visitors experience at once.
type load struct {
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	ok      atomic.Int64
	failed  atomic.Int64
	mu      sync.Mutex
	samples []string // guarded by mu; the first failures
}

// startLoad runs visit in each of n goroutines, again and again, until end. Every error is a failed request.
func startLoad(n int, visit func(ctx context.Context, worker int) error) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for worker := range n {
		l.wg.Go(func() {
			for ctx.Err() == nil {
				err := visit(ctx, worker)
				switch {
				case ctx.Err() != nil: // ended in the middle of a request
				case err != nil:
					l.failed.Add(1)
					l.mu.Lock()
					if len(l.samples) < 5 {
						l.samples = append(l.samples, err.Error())
					}
					l.mu.Unlock()
				default:
					l.ok.Add(1)
				}
			}
		})
	}
	return l
}

func (l *load) end() {
	l.cancel()
	l.wg.Wait()
}

func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d answered, %d failed %q", l.ok.Load(), l.failed.Load(), l.samples)
}

// fetch is a GET that must be answered 200 with the application's own words.
func fetch(ctx context.Context, h *http.Client, url, want string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := h.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
		return fmt.Errorf("status %d: %s", resp.StatusCode, excerpt(body, 200))
	}
	return nil
}

// churn sends requests that each open a connection of their own.
func (g *gateway) churn(version string) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		c := g.newClient()
		defer c.close()
		return fetch(ctx, c.http[version], g.origin()+"/healthz", "ok")
	}
}

// reloads loads a configuration n times, with some traffic between two loads: at least so many answers, or a second.
func reloads(t *testing.T, g *gateway, n int, traffic func() int64) {
	t.Helper()
	conf, err := g.adapted()
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := g.loadJSON(conf); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
		if traffic != nil {
			before := traffic()
			_ = until(time.Second, "some answers", func() bool { return traffic() >= before+20 })
		}
	}
}

// TestReloadUnderLoad (F1): visitors who keep their connections notice nothing of 15 reloads.
func TestReloadUnderLoad(t *testing.T) {
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	user := g.newUser(t, "alice", "two cranes over a tin roof")
	loads := map[string]*load{}
	for _, version := range []string{"1.1", "2", "3"} {
		loads["HTTP/"+version+" with a session"] = startLoad(2, func(ctx context.Context, _ int) error {
			return fetch(ctx, user.http[version], g.origin()+"/api/notes", "Welcome")
		})
	}
	stranger := g.stranger(t)
	loads["public"] = startLoad(1, func(ctx context.Context, _ int) error {
		return fetch(ctx, stranger.http["2"], g.origin()+"/healthz", "ok")
	})
	reloads(t, g, 15, func() int64 { return loads["public"].ok.Load() })
	for name, l := range loads {
		l.end()
		t.Logf("%s: %v", name, l)
		if l.failed.Load() > 0 || l.ok.Load() == 0 {
			t.Errorf("%s: %v", name, l)
		}
	}
}

// TestReloadUnderChurn (F2): visitors whose every request opens a connection notice nothing either. Plain Caddy loses
// some of these, those accepted just before the old configuration stops.
func TestReloadUnderChurn(t *testing.T) {
	be := startBackend(t)
	run := func(name string, g *gateway) (lost bool) {
		loads := map[string]*load{}
		for _, version := range []string{"1.1", "2", "3"} {
			loads[version] = startLoad(3, g.churn(version))
		}
		reloads(t, g, 15, loads["1.1"].ok.Load)
		for version, l := range loads {
			l.end()
			t.Logf("%s, HTTP/%s: %v", name, version, l)
			lost = lost || l.failed.Load() > 0 || l.ok.Load() == 0
		}
		return lost
	}
	run("plain Caddy", startPlain(t, config{Backend: be.Listen}))
	if run("gatehouse", startGateway(t, config{Race: true, Backend: be.Listen})) {
		t.Error("new connections were lost")
	}
}

// TestReloadBeforeTheFirstRequest: a connection that was accepted before a reload and whose request is complete a
// quarter of a second later, as over a slow network, is answered. net/http drops such a request without an answer
// (conn.serve looks at shuttingDown when it has read the head), which is where HTTP/1.1 connections are lost even when
// no listening socket is closed.
func TestReloadBeforeTheFirstRequest(t *testing.T) { // not parallel: the reload waits a second, which a busy machine can lose
	be := startBackend(t)
	ask := func(g *gateway, before string) error {
		conn, err := g.dialTLS(appHost, "http/1.1")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, before); err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		time.AfterFunc(250*time.Millisecond, func() { // the slow network
			_, err := exchange(conn, g.lines1("GET", "/healthz")[len(before):])
			answered <- err
		})
		reloads(t, g, 1, nil)
		return <-answered
	}
	ours, plain := startGateway(t, config{Race: true, Backend: be.Listen}), startPlain(t, config{Backend: be.Listen})
	for _, before := range []string{"", "G", "GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nHo"} {
		if err := ask(ours, before); err != nil {
			t.Errorf("%q was sent before the reload, the rest after it: %v", before, err)
		}
		t.Logf("plain Caddy, %q: %v", before, ask(plain, before))
	}
}

// TestReloadInFlight: a request that is being answered, an upload that is being sent and the session of both survive a
// reload; a configuration that cannot be loaded changes nothing.
func TestReloadInFlight(t *testing.T) {
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen, Env: []string{"GRACE=30s"}})
	user := g.newUser(t, "alice", "two cranes over a tin roof")

	// A slow answer and a slow upload, both of which the application has begun to handle.
	slow := make(chan error, 1)
	go func() { slow <- fetch(t.Context(), user.http["1.1"], g.origin()+"/slow?ms=4000", "slow") }()
	body, feed := io.Pipe()
	uploaded := make(chan error, 1)
	go func() {
		req, err := http.NewRequest(http.MethodPut, g.origin()+"/whoami", body)
		if err != nil {
			uploaded <- err
			return
		}
		req.Header.Set("Content-Type", "application/octet-stream")
		resp, err := user.http["2"].Do(req)
		if err != nil {
			uploaded <- err
			return
		}
		defer resp.Body.Close()
		echo, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(echo, []byte(`"bytes":20000`))) {
			err = fmt.Errorf("status %d: %s", resp.StatusCode, excerpt(echo, 300))
		}
		uploaded <- err
	}()
	half := bytes.Repeat([]byte("x"), 10000)
	if _, err := feed.Write(half); err != nil {
		t.Fatal(err)
	}
	eventually(t, answersIn, "the application handles the slow request", func() bool {
		return strings.Contains(fmt.Sprint(be.mustSee(t).Requests), "/slow")
	})

	if _, err := g.reload(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(g.conf)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		strings.Replace(string(good), "allow role staff", "allow nonsense", 1),
		strings.Replace(string(good), "{$CERT}", "/nowhere.pem", 1),
		"{",
	} {
		if err := g.configure(bad); err != nil {
			t.Fatal(err)
		}
		if stderr, err := g.reload(); err == nil {
			t.Errorf("loaded:\n%s\n%s", bad, stderr)
		}
	}
	if alive, err := user.alive(); err != nil || !alive {
		t.Errorf("after the failed reloads the session is alive: %v, %v", alive, err)
	}
	if err := g.configure(string(good)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.reload(); err != nil {
		t.Errorf("after the failed reloads: %v", err)
	}

	if _, err := feed.Write(half); err != nil {
		t.Errorf("the upload: %v", err)
	}
	_ = feed.Close()
	if err := <-uploaded; err != nil {
		t.Errorf("the upload in flight: %v", err)
	}
	if err := <-slow; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if alive, err := user.alive(); err != nil || !alive {
		t.Errorf("the session is alive: %v, %v", alive, err)
	}
	if a := g.stranger(t).get(t, "/"); a.Status != http.StatusUnauthorized {
		t.Errorf("a stranger after the reloads: status %d", a.Status)
	}
}

// usage is what a gateway occupies.
type usage struct {
	goroutines int
	heap       int64 // bytes in use after a collection
	rss        int64
	files      int
}

func (u usage) String() string {
	return fmt.Sprintf("%d goroutines, %d files, heap %.1f MB, RSS %.1f MB", u.goroutines, u.files, float64(u.heap)/1e6, float64(u.rss)/1e6)
}

var (
	goroutineTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)
	heapAlloc      = regexp.MustCompile(`# HeapAlloc = (\d+)`)
	vmRSS          = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
)

func (g *gateway) usage() (u usage, err error) {
	number := func(re *regexp.Regexp, in []byte) int64 {
		m := re.FindSubmatch(in)
		if m == nil {
			err = errors.Join(err, fmt.Errorf("no %v in %s", re, excerpt(in, 200)))
			return 0
		}
		n, perr := strconv.ParseInt(string(m[1]), 10, 64)
		err = errors.Join(err, perr)
		return n
	}
	// Twice: what has a finaliser goes with the second collection.
	for range 2 {
		heap, herr := g.adminGet("/debug/pprof/heap?gc=1&debug=1")
		if herr != nil {
			return u, herr
		}
		u.heap = number(heapAlloc, heap)
	}
	goroutines, gerr := g.adminGet("/debug/pprof/goroutine?debug=1")
	if gerr != nil {
		return u, gerr
	}
	u.goroutines = int(number(goroutineTotal, goroutines))
	status, serr := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.pid()))
	if serr != nil {
		return u, err // no Linux: no RSS
	}
	u.rss = 1024 * number(vmRSS, status)
	files, ferr := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.pid()))
	u.files = len(files)
	return u, errors.Join(err, ferr)
}

// TestReloadFiftyTimes: fifty reloads leave nothing behind, and a session begun before them is good after them.
func TestReloadFiftyTimes(t *testing.T) {
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	user := g.newUser(t, "alice", "two cranes over a tin roof")
	measure := func() (u usage) {
		t.Helper()
		// Old generations end a moment after the load has returned.
		last := -1
		_ = until(10*time.Second, "the goroutines settle", func() bool {
			var err error
			if u, err = g.usage(); err != nil {
				t.Fatal(err)
			}
			settled := u.goroutines == last
			last = u.goroutines
			return settled
		})
		return u
	}
	round := func(n int) usage {
		reloads(t, g, n, nil)
		for _, version := range []string{"1.1", "2", "3"} {
			if a := user.must(t, request{Path: "/", HTTP: version}); a.Status != http.StatusOK {
				t.Fatalf("after %d reloads: status %d over %s", n, a.Status, version)
			}
		}
		return measure()
	}
	warm := round(10)
	half := round(20)
	end := round(20)
	t.Logf("after 10 reloads: %v", warm)
	t.Logf("after 30 reloads: %v", half)
	t.Logf("after 50 reloads: %v", end)
	if grown := end.goroutines - warm.goroutines; grown > 10 {
		t.Errorf("%d more goroutines after 40 reloads", grown)
	}
	if grown := end.files - warm.files; grown > 10 {
		t.Errorf("%d more open files after 40 reloads", grown)
	}
	// What a reload leaves behind adds up; what varies does not.
	if grown := end.heap - warm.heap; grown > 8<<20 && end.heap > half.heap {
		t.Errorf("the heap has grown by %.1f MB in 40 reloads", float64(grown)/1e6)
	}
	if end.rss > 0 && end.rss > 2*warm.rss {
		t.Errorf("the resident memory has grown from %d to %d MB in 40 reloads", warm.rss>>20, end.rss>>20)
	}
}
