package testenv

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// redis is Debian's redis-server behind a socket, durable as an operator would have it.
type redis struct {
	t    testing.TB
	dir  string
	also []string // further arguments
	proc *process
}

func startRedis(t testing.TB, also ...string) *redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is missing: run testenv/install.sh")
	}
	dir, err := os.MkdirTemp("", "ghr")
	if err != nil {
		t.Fatal(err)
	}
	r := &redis{t: t, dir: dir, also: also}
	t.Cleanup(func() {
		r.kill9()
		_ = os.RemoveAll(dir)
	})
	r.start()
	return r
}

func (r *redis) socket() string { return filepath.Join(r.dir, "s") }

func (r *redis) start() {
	r.t.Helper()
	args := []string{"--port", "0", "--unixsocket", r.socket(), "--dir", r.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always"}
	p, err := startProcess("redis-server", append(args, r.also...), []string{"PATH=" + os.Getenv("PATH")}, r.dir, filepath.Join(r.dir, "out"), filepath.Join(r.dir, "err"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.proc = p
	eventually(r.t, readyIn, "redis-server listens", func() bool {
		c, err := net.Dial("unix", r.socket())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func (r *redis) kill9() {
	if r.proc != nil {
		_ = r.proc.stop(syscall.SIGKILL, stopsIn)
		r.proc = nil
	}
	_ = os.Remove(r.socket())
}

// cluster are gateways that share one state.
func startCluster(t *testing.T, n int, r *redis, be string) []*gateway {
	t.Helper()
	return startClusterWith(t, n, r, config{Race: true, Backend: be})
}

func startClusterWith(t *testing.T, n int, r *redis, c config) []*gateway {
	t.Helper()
	return startClusterAt(t, slices.Repeat([]string{"unix/" + r.socket()}, n), c, "")
}

// startClusterAt starts a gateway for each address that leads to the store, with further words in the store's block. Each has a copy of
// the keys.
func startClusterAt(t *testing.T, addresses []string, c config, words string) []*gateway {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	bin := c.Bin
	if bin == "" {
		bin = gatehouseBin(t)
	}
	if out, err := exec.Command(bin, "keys", "create", keys).CombinedOutput(); err != nil {
		t.Fatalf("keys create: %v\n%s", err, out)
	}
	text, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort() // the same for all: a balancer's clients see one origin
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*gateway, len(addresses))
	for i, address := range addresses {
		own := fmt.Sprintf("%s-%d", keys, i)
		if err := os.WriteFile(own, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c.Port, c.IP, c.Env = port, fmt.Sprintf("127.0.0.%d", 11+i), []string{"KEYS=" + own, "VALKEY=" + address}
		c.House = "keys file {$KEYS}\n\t\tstore valkey {$VALKEY} {\n\t\t\t" + words + "\n\t\t}\n\t\t" + defaultHouse
		all[i] = startGateway(t, c)
	}
	return all
}

// at is the same person at another gateway: the same cookies, connections of its own.
func (c *client) at(g *gateway) *client {
	other := g.newClient()
	other.jar, other.stolen = c.jar, c.stolen
	for _, h := range other.http {
		h.Jar = c.jar
	}
	return other
}

// crowd asks all gateways, without a pause, as somebody who is logged in and with the cookies of somebody who was logged out.
type crowd struct {
	stop                     chan struct{}
	wg                       sync.WaitGroup
	asked, refused, admitted atomic.Int64 // of who is logged in: all, and those not answered 200; of who is not: answered 200
}

func underLoad(in, out *client, gateways []*gateway) *crowd {
	l := &crowd{stop: make(chan struct{})}
	for _, g := range gateways {
		inside, outside := in.at(g), out.at(g)
		l.wg.Go(func() {
			defer inside.close()
			defer outside.close()
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				a, err := inside.do(request{Path: "/whoami"})
				l.asked.Add(1)
				if err != nil || a.Status != http.StatusOK {
					l.refused.Add(1)
				}
				if a, err := outside.do(request{Path: "/whoami"}); err == nil && a.Status == http.StatusOK {
					l.admitted.Add(1)
				}
			}
		})
	}
	return l
}

func (l *crowd) end() {
	close(l.stop)
	l.wg.Wait()
}

// TestCluster tells of three gateways with one state on a Redis server.
func TestCluster(t *testing.T) {
	t.Parallel()
	be, r := startBackend(t), startRedis(t)
	g := startCluster(t, 3, r, be.Listen)
	const user, password = "alice", "two cranes over a tin roof"

	// A login on one is one everywhere. One that begins on the first may end on the second.
	alice := g[2].newUser(t, user, password) // the one that started last has the set-up link
	for i := range g {
		if a := alice.at(g[i]).must(t, request{Path: "/whoami"}); a.Status != http.StatusOK {
			t.Errorf("gateway %d: status %d", i, a.Status)
		}
	}
	wanders := g[0].stranger(t)
	page := wanders.must(t, request{Path: "/.gatehouse/login?next=/", Nav: true})
	form, err := page.form()
	if err != nil {
		t.Fatal(err)
	}
	there := wanders.at(g[1])
	if a, err := there.submit(form.person(user, password)); err != nil || there.expectLogin(a) != nil {
		t.Fatalf("a login that ends elsewhere: %v", there.expectLogin(a))
	}

	// A logout on the second ends what runs on the third, and the session everywhere.
	conn := wanders.at(g[2]).mustOpen(t)
	if err := there.logoutStolen(); err != nil {
		t.Fatal(err)
	}
	wanders.stolen = there.stolen
	t.Logf("a websocket at another gateway is cut %v after the logout", cutIn(t, conn))
	for i := range g {
		if !wanders.at(g[i]).gone(t) {
			t.Errorf("gateway %d still knows who was logged out at another", i)
		}
	}
	propagation(t, g[0], g[1])

	// The server dies and comes back, while people go on asking: who is logged in stays so, who is not does not come in,
	// and nobody can log in anew.
	during := underLoad(alice, wanders, g)
	r.kill9()
	eventually(t, readyIn, "a new login is refused", func() bool {
		a, err := g[1].newClient().loginOnce(user, password, "/")
		return err != nil && a != nil && a.Status == http.StatusServiceUnavailable
	})
	r.start()
	eventually(t, readyIn, "logins work again", func() bool {
		c := g[1].newClient()
		defer c.close()
		_, err := c.loginOnce(user, password, "/")
		return err == nil
	})
	during.end()
	during.report(t, "while the server was away")

	// A gateway dies. The others do not notice, and it joins again.
	during = underLoad(alice, wanders, g[1:])
	if err := g[0].kill9(); err != nil {
		t.Fatal(err)
	}
	if err := g[0].start(); err != nil {
		t.Fatal(err)
	}
	during.end()
	during.report(t, "while a gateway was killed")
	if a := alice.at(g[0]).must(t, request{Path: "/whoami"}); a.Status != http.StatusOK {
		t.Errorf("after its restart the gateway does not know alice: %d", a.Status)
	}
	if !wanders.at(g[0]).gone(t) {
		t.Error("after its restart the gateway knows who was logged out")
	}
}

func (l *crowd) report(t *testing.T, when string) {
	t.Helper()
	t.Logf("%s: %d requests of who is logged in, %d not answered", when, l.asked.Load(), l.refused.Load())
	if n := l.admitted.Load(); n > 0 {
		t.Errorf("%s: %d requests passed of somebody who was logged out", when, n)
	}
	if n := l.refused.Load(); n > 0 {
		t.Errorf("%s: %d of %d requests were not answered", when, n, l.asked.Load())
	}
}

// propagation measures how long a ban at one gateway takes to be in force at another, as their administration endpoints see
// it, and the one's own answering included.
func propagation(t *testing.T, from, to *gateway) {
	t.Helper()
	var took []time.Duration
	for i := range 20 {
		network := fmt.Sprintf("203.0.113.%d", i)
		if _, stderr, code, err := from.command("ban", "add", network, "--for", "10m", "--address", "unix/"+from.env["ADMIN"]); err != nil || code != 0 {
			t.Fatalf("ban add: %v, exit code %d\n%s", err, code, stderr)
		}
		begin := time.Now()
		eventually(t, logSoonIn, "the ban is in force at the other gateway", func() bool {
			return to.bans(network)
		})
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("a ban reaches the other gateway within %v after it was acknowledged (median %v)", took[len(took)-1], took[len(took)/2])
}
