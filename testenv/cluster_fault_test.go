package testenv

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// link is the way from one gateway to the store: it can be slow, and it can be there without anything coming through.
type link struct {
	path, network, to string
	ln                net.Listener

	mu    sync.Mutex
	delay time.Duration         // guarded by mu
	open  bool                  // guarded by mu
	ends  map[net.Conn]struct{} // guarded by mu
	again chan struct{}         // guarded by mu; closed when something changes
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	dir, err := os.MkdirTemp("", "ghl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return newLinkOn(t, "unix", filepath.Join(dir, "s"), to)
}

// newLinkOn is a way by sockets or by TCP.
func newLinkOn(t *testing.T, network, at, to string) *link {
	t.Helper()
	l := &link{path: at, network: network, to: to, open: true, ends: map[net.Conn]struct{}{}, again: make(chan struct{})}
	var err error
	if l.ln, err = net.Listen(network, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.ln.Close()
		l.set(func() { l.open = true })
		l.hangUp()
	})
	go func() {
		for {
			c, err := l.ln.Accept()
			if err != nil {
				return
			}
			go l.carry(c)
		}
	}()
	return l
}

func (l *link) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.again)
	l.again = make(chan struct{})
}

func (l *link) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.ends {
		_ = c.Close()
	}
}

// pass waits until something may come through.
func (l *link) pass() {
	for {
		l.mu.Lock()
		open, delay, again := l.open, l.delay, l.again
		l.mu.Unlock()
		if open {
			time.Sleep(delay) // it is a slow line
			return
		}
		<-again
	}
}

func (l *link) carry(c net.Conn) {
	up, err := net.Dial(l.network, l.to)
	if err != nil {
		_ = c.Close()
		return
	}
	l.mu.Lock()
	l.ends[c], l.ends[up] = struct{}{}, struct{}{}
	l.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, up}, {up, c}} {
		both.Go(func() {
			defer way[0].Close()
			defer way[1].Close()
			buf := make([]byte, 64<<10)
			for {
				n, err := way[0].Read(buf)
				if n > 0 {
					l.pass()
					if _, err := way[1].Write(buf[:n]); err != nil {
						return
					}
				}
				if err != nil {
					return
				}
			}
		})
	}
	both.Wait()
	l.mu.Lock()
	delete(l.ends, c)
	delete(l.ends, up)
	l.mu.Unlock()
}

// TestClusterPartition tells of a gateway whose way to the store is slow, and then leads nowhere, while another is well: who is logged
// in waits for nothing, is let in for the grace and no longer, and what happened meanwhile counts when the way is there again.
func TestClusterPartition(t *testing.T) {
	t.Parallel()
	const grace = 8 * time.Second
	be, r := startBackend(t), startRedis(t)
	l := newLink(t, r.socket())
	g := startClusterAt(t, []string{"unix/" + r.socket(), "unix/" + l.path}, config{Race: true, Backend: be.Listen}, "grace "+grace.String())
	near, far := g[0], g[1]
	const alice, password = "alice", "two cranes over a tin roof"
	a := far.newUser(t, alice, password) // the one that started last has the set-up link
	b := near.stranger(t)
	if _, err := b.loginOnce(alice, password, "/"); err != nil {
		t.Fatal(err)
	}
	status := func(c *client, at *gateway) int {
		t.Helper()
		return c.at(at).must(t, request{Path: "/whoami"}).Status
	}
	for _, c := range []*client{a, b} {
		if s := status(c, far); s != http.StatusOK {
			t.Fatalf("before: %d", s)
		}
	}

	// Slow: nobody who is known waits; a login does, and comes to pass.
	l.set(func() { l.delay = 100 * time.Millisecond })
	asks := a.at(far)
	asks.must(t, request{Path: "/whoami"})
	var took []time.Duration
	for range 50 {
		begin := time.Now()
		if s := asks.must(t, request{Path: "/whoami"}).Status; s != http.StatusOK {
			t.Fatalf("while the way is slow: %d", s)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("way to the store 100 ms: a request of who is known takes %v at the median, %v at the most", took[25], took[49])
	if took[25] >= 100*time.Millisecond {
		t.Error("requests wait for the store")
	}
	if _, err := far.stranger(t).loginOnce(alice, password, "/"); err != nil {
		t.Errorf("a login over a slow way: %v", err)
	}

	// Nothing comes through: for the grace who is known goes on, whoever is not is told that it is the gateway's fault.
	conn := a.at(far).mustOpen(t)
	l.set(func() { l.open, l.delay = false, 0 })
	began := time.Now()
	if s := status(a, far); s != http.StatusOK {
		t.Errorf("in the grace: %d", s)
	}
	if err := b.logoutStolen(); err != nil { // which far cannot hear of
		t.Fatal(err)
	}
	if s := status(b, near); s == http.StatusOK {
		t.Error("who has logged out is let in where that happened")
	}
	if _, stderr, code, err := near.command("ban", "add", "203.0.113.7", "--for", "10m", "--address", "unix/"+near.env["ADMIN"]); err != nil || code != 0 {
		t.Fatalf("ban add: %v, exit code %d\n%s", err, code, stderr)
	}
	eventually(t, readyIn, "whoever is logged in is let in no longer", func() bool { return status(a, far) == http.StatusServiceUnavailable })
	over := time.Since(began)
	t.Logf("let in for %v, the grace is %v", over, grace)
	if s := status(b, far); s == http.StatusOK {
		t.Error("who has logged out elsewhere is let in after the grace")
	}
	t.Logf("a websocket is cut %v later", cutIn(t, conn))
	if s := status(a, near); s != http.StatusOK {
		t.Errorf("at the other gateway: %d", s)
	}

	// The way is there again.
	l.set(func() { l.open = true })
	eventually(t, readyIn, "whoever is logged in is let in again", func() bool { return status(a, far) == http.StatusOK })
	if !b.at(far).gone(t) {
		t.Error("who has logged out meanwhile is let in")
	}
	eventually(t, readyIn, "the ban is in force", func() bool { return far.bans("203.0.113.7") })
}
