package testenv

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// person is a visitor of the crash story, with what the gateway has acknowledged.
type person struct {
	*client
	out    bool // the logout was acknowledged
	unsure bool // the logout was sent and not acknowledged: either is right
}

// TestKill9 (F5): the gateway is killed ten times at random instants while people log in and out. A login that was
// acknowledged is good after the restart; a session whose end was acknowledged never comes back; and what has been
// seen ended once stays ended.
func TestKill9(t *testing.T) {
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	const user, password = "alice", "two cranes over a tin roof"
	first := g.newUser(t, user, password)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	people := []*person{{client: first}}
	var slowest time.Duration
	for round := range 10 {
		var (
			mu    sync.Mutex
			wg    sync.WaitGroup
			fresh []*person // guarded by mu
		)
		delay := time.Duration(random.Int64N(int64(900 * time.Millisecond)))
		killed, acknowledged := make(chan struct{}), make(chan struct{}, 1)
		for range 2 {
			wg.Go(func() {
				for {
					select {
					case <-killed:
						return
					default:
					}
					p := &person{client: g.newClient()}
					if _, err := p.login(user, password, "/"); err != nil {
						p.close()
						continue // not acknowledged, or the gateway is gone
					}
					mu.Lock()
					fresh = append(fresh, p)
					leave := len(fresh)%2 == 0
					mu.Unlock()
					select {
					case acknowledged <- struct{}{}:
					default:
					}
					if leave {
						_, err := p.logout()
						p.out, p.unsure = err == nil, err != nil
					}
				}
			})
		}
		// A crash tells nothing before somebody has logged in, which on a busy machine takes a while. From then on the
		// random instant is the point; nothing is waited for.
		select {
		case <-acknowledged:
		case <-time.After(readyIn):
			t.Errorf("round %d: nobody could log in", round)
		}
		<-time.After(delay)
		if err := g.kill9(); err != nil {
			t.Fatal(err)
		}
		close(killed)
		wg.Wait()

		start := time.Now()
		if err := g.start(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		slowest = max(slowest, time.Since(start))
		people = append(people, fresh...)
		// Asked in a random order, with fresh connections; a few of those that were asked before as well.
		for _, i := range random.Perm(len(people))[:min(len(people), 40)] {
			p := people[i]
			p.client.reconnect()
			alive, err := p.alive()
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if alive == p.out && !p.unsure {
				t.Errorf("round %d: person %d is logged in: %v, but was told otherwise", round, i, alive)
			}
			p.out, p.unsure = !alive, false // and so it stays
		}
	}
	t.Logf("%d sessions over ten crashes; the slowest start took %v", len(people), slowest)
	for _, p := range people {
		p.close()
	}
	if len(people) < 5 {
		t.Errorf("only %d people logged in: the story tells nothing", len(people))
	}
}

// reconnect drops the client's connections but keeps its cookies.
func (c *client) reconnect() {
	fresh := c.gw.newClient()
	c.close()
	for version, h := range fresh.http {
		c.http[version].Transport = h.Transport
	}
	c.h3 = fresh.h3
}

// TestRestart: an ordinary restart keeps sessions, keys, the user and the deadness of the setup link.
func TestRestart(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	link := g.setupLink()
	stays, leaves := g.newUser(t, "alice", "two cranes over a tin roof"), g.stranger(t)
	if _, err := leaves.login("alice", "two cranes over a tin roof", "/"); err != nil {
		t.Fatal(err)
	}
	old := leaves.cookie(sessionCookie)
	if _, err := leaves.logout(); err != nil {
		t.Fatal(err)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	stays.reconnect()
	if alive, err := stays.alive(); err != nil || !alive {
		t.Errorf("the session is alive: %v, %v", alive, err)
	}
	a := g.stranger(t).must(t, request{Path: "/.gatehouse/account", Header: http.Header{"Cookie": {fmt.Sprintf("%s=%s", sessionCookie, old)}}})
	if a.Status == http.StatusOK {
		t.Error("the restart brought an ended session back")
	}
	if again := g.setupLink(); again != "" {
		t.Errorf("there is a setup link again: %s", again)
	}
	if a := g.stranger(t).visit(t, link); a.Status < 400 {
		t.Errorf("the used setup link answers %d", a.Status)
	}
	if _, err := g.stranger(t).login("alice", "two cranes over a tin roof", "/"); err != nil {
		t.Errorf("logging in after the restart: %v", err)
	}
}
