package gatehouse

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, port string) net.Listener {
	t.Helper()
	ln, err := listen(context.Background(), networkPrefix+"tcp", "127.0.0.1", port, 0, net.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return ln.(net.Listener)
}

// greet accepts until the listener closes and tells each peer which generation it met.
func greet(ln net.Listener, name string, done *sync.WaitGroup) {
	done.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(name))
			c.Close()
		}
	})
}

// A configuration that closes while connections wait in the kernel's queue must not take them with it: the story of
// the ten connections that Caddy's SO_REUSEPORT sockets lose at each reload under load.
func TestReloadLosesNoNewConnection(t *testing.T) {
	const generations, dialers, perDialer = 20, 4, 50
	var servers sync.WaitGroup
	current := open(t, "0")
	addr := current.Addr().String()
	greet(current, "x", &servers)

	var clients sync.WaitGroup
	failures := make(chan error, dialers*perDialer)
	for range dialers {
		clients.Go(func() {
			for range perDialer {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					failures <- err
					continue
				}
				if b, err := io.ReadAll(c); err != nil || len(b) != 1 {
					failures <- errors.Join(errors.New("no greeting"), err)
				}
				c.Close()
			}
		})
	}
	for range generations {
		next := open(t, "0") // same key: shares the socket, port and all
		if next.Addr().String() != addr {
			t.Fatalf("the next generation listens on %s, not %s", next.Addr(), addr)
		}
		greet(next, "x", &servers)
		if err := current.Close(); err != nil {
			t.Fatal(err)
		}
		current = next
	}
	clients.Wait()
	if err := current.Close(); err != nil {
		t.Fatal(err)
	}
	servers.Wait()
	close(failures)
	for err := range failures {
		t.Errorf("a connection was lost: %v", err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the socket is still open after its last listener closed")
	}
}

func TestQueuedConnectionsGoToTheNextGeneration(t *testing.T) {
	old := open(t, "0")
	const queued = 16 // connected in the kernel, accepted by nobody
	conns := make([]net.Conn, queued)
	for i := range conns {
		c, err := net.Dial("tcp", old.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	next := open(t, "0")
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Accept after Close: %v, want net.ErrClosed", err)
	}
	var servers sync.WaitGroup
	greet(next, "n", &servers)
	for i, c := range conns {
		if b, err := io.ReadAll(c); err != nil || string(b) != "n" {
			t.Errorf("connection %d was lost: %q, %v", i, b, err)
		}
		c.Close()
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	servers.Wait()
}

func TestSecondGatewayOnTheSamePortFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	if _, err := listen(context.Background(), networkPrefix+"tcp", "127.0.0.1", port, 0, net.ListenConfig{}); err == nil {
		t.Fatal("a port that another process has was opened once more")
	}
}

func TestSharedAddress(t *testing.T) {
	for in, want := range map[string]string{
		":443":                  "gatehouse_tcp/:443",
		"tcp/127.0.0.1:8443":    "gatehouse_tcp/127.0.0.1:8443",
		"tcp6/[::1]:443":        "gatehouse_tcp6/[::1]:443",
		":8443-8445":            "gatehouse_tcp/:8443-8445",
		"unix//run/x.sock|0600": "unix//run/x.sock|0600",
		"fd/3":                  "fd/3",
		"gatehouse_tcp/:443":    "gatehouse_tcp/:443",
	} {
		if got := sharedAddress(in); got != want {
			t.Errorf("sharedAddress(%q) = %q, want %q", in, got, want)
		}
	}
}

// A configuration that began to listen and then failed to start must leave the old one in office.
func TestFailedConfigurationGivesTheSocketBack(t *testing.T) {
	old := open(t, "0")
	defer old.Close()
	if err := open(t, "0").Close(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", old.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := old.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
}

// Whoever waits for the old configuration's connections waits until each has spoken or gone, however it is wrapped.
func TestQuietOnceEveryConnectionHasSpoken(t *testing.T) {
	ln := open(t, "0").(*listener)
	defer ln.Close()
	var conns []net.Conn
	for range 3 {
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	quiet := ln.quiet()
	steps := []func(){
		func() { Heard(new(App).onConn(context.Background(), tls.Server(conns[0], nil), false, 0)) },
		func() { onState(conns[1], http.StateActive); onState(tls.Server(conns[1], nil), http.StateIdle) },
		func() { conns[2].Close(); onState(conns[2], http.StateClosed) },
	}
	for i, step := range steps {
		onState(conns[i], http.StateNew)
		select {
		case <-quiet:
			t.Fatalf("quiet before connection %d has spoken", i)
		default:
		}
		step()
	}
	<-quiet
	<-ln.quiet() // and at once when there is nothing to wait for
}

// What waits for a client that takes nothing is thrown away with the connection, and not kept for as long as the client likes.
func TestStuckConnectionsAreReset(t *testing.T) {
	for _, stuck := range []bool{true, false} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		below, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{Conn: below}
		c.heard.Store(true)
		if stuck {
			_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			for err == nil {
				_, err = c.Write(make([]byte, 64<<10))
			}
		} else if _, err := c.Write(make([]byte, 16<<10)); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if n, err := io.Copy(io.Discard, client); (err != nil) != stuck || !stuck && n != 16<<10 {
			t.Errorf("stuck %v: the client has %d bytes and %v", stuck, n, err)
		}
	}
}
