package testenv

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// balancer passes TCP on to the gateways that say they are ready, in turn.
type balancer struct {
	ln      net.Listener
	members []*member
	turn    atomic.Uint64
	every   time.Duration // between questions
	end     chan struct{}
	running sync.WaitGroup
}

type member struct {
	address string
	ready   atomic.Bool
}

// startBalancer listens at 127.0.0.1, on the port that all gateways have on addresses of their own. It returns the gateway that its
// clients see.
func startBalancer(t *testing.T, every time.Duration, gateways []*gateway) (*balancer, *gateway) {
	t.Helper()
	front := &gateway{ip: "127.0.0.1", port: gateways[0].port, env: gateways[0].env, secrets: map[string]bool{}}
	b := &balancer{every: every, end: make(chan struct{})}
	for _, g := range gateways {
		b.members = append(b.members, &member{address: g.addr()})
	}
	var err error
	if b.ln, err = net.Listen("tcp", front.addr()); err != nil {
		t.Fatal(err)
	}
	for _, m := range b.members {
		b.running.Go(func() { b.ask(m) })
	}
	b.running.Go(func() {
		for {
			c, err := b.ln.Accept()
			if err != nil {
				return
			}
			go b.carry(c)
		}
	})
	t.Cleanup(func() {
		close(b.end)
		_ = b.ln.Close()
		b.running.Wait()
	})
	eventually(t, readyIn, "the balancer finds all gateways ready", func() bool { return b.ready() == len(gateways) })
	return b, front
}

func (b *balancer) ready() (n int) {
	for _, m := range b.members {
		if m.ready.Load() {
			n++
		}
	}
	return n
}

// ask asks a gateway again and again whether it takes on work, as balancers do.
func (b *balancer) ask(m *member) {
	c := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca().pool, ServerName: appHost},
	}}
	_, port, _ := net.SplitHostPort(m.address)
	for {
		r, _ := http.NewRequest(http.MethodGet, "https://"+m.address+"/.gatehouse/readyz", nil) // it is one
		r.Host = appHost + ":" + port
		res, err := c.Do(r)
		m.ready.Store(err == nil && res.StatusCode == http.StatusOK)
		if err == nil {
			_ = res.Body.Close()
		}
		select {
		case <-b.end:
			return
		case <-time.After(b.every):
		}
	}
}

// carry passes a connection on to the next gateway that is ready and answers.
func (b *balancer) carry(c net.Conn) {
	defer c.Close()
	first := b.turn.Add(1)
	for i := range uint64(len(b.members)) {
		m := b.members[(first+i)%uint64(len(b.members))]
		if !m.ready.Load() {
			continue
		}
		up, err := net.DialTimeout("tcp", m.address, time.Second)
		if err != nil {
			continue
		}
		defer up.Close()
		var both sync.WaitGroup
		for _, way := range [][2]net.Conn{{c, up}, {up, c}} {
			both.Go(func() {
				_, _ = io.Copy(way[1], way[0]) // it ends
				_ = way[1].(*net.TCPConn).CloseWrite()
			})
		}
		both.Wait()
		return
	}
}

// TestClusterRolls restarts three gateways one after the other, behind a balancer, while people use them: no request is lost. Before that
// it tells of a server that comes back empty.
func TestClusterRolls(t *testing.T) {
	t.Parallel()
	be, r := startBackend(t), startRedis(t)
	g := startClusterWith(t, 3, r, config{Backend: be.Listen, Global: "\tshutdown_delay 3s\n"})
	const every = 100 * time.Millisecond
	_, front := startBalancer(t, every, g)
	const user, password = "alice", "two cranes over a tin roof"
	alice := g[2].newUser(t, user, password) // the one that started last has the set-up link
	out := front.stranger(t)
	if _, err := out.loginOnce(user, password, "/"); err != nil {
		t.Fatal(err)
	}
	if err := out.logoutStolen(); err != nil {
		t.Fatal(err)
	}
	during := underLoad(alice, out, []*gateway{front, front, front})
	for i, one := range g {
		begin := time.Now()
		if err := one.stop(); err != nil {
			t.Fatal(err)
		}
		stopped := time.Since(begin)
		if err := one.start(); err != nil {
			t.Fatal(err)
		}
		t.Logf("gateway %d stopped in %v and was back in %v", i, stopped, time.Since(begin)-stopped)
		time.Sleep(5 * every) // as whoever rolls waits until the balancer has it again
	}
	during.end()
	during.report(t, "while all gateways were restarted, one after the other")

	// The server comes back empty: nobody is let in any more by what a gateway remembers, and it is told of.
	r.kill9()
	entries, err := os.ReadDir(r.dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(r.dir, e.Name())))
	}
	if err != nil {
		t.Fatal(err)
	}
	r.start()
	for i := range g {
		eventually(t, readyIn, "who was logged in is so no longer", func() bool { return alice.at(g[i]).gone(t) })
		eventually(t, logSoonIn, "the event", func() bool { return strings.Contains(g[i].log(t), "store.emptied") })
	}
	if _, err := g[0].newClient().loginOnce(user, password, "/"); err == nil {
		t.Error("a user who is lost can log in")
	}
}

// log is all that the gateway has logged.
func (g *gateway) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(g.env["LOG"])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
