package valkey

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	driver "github.com/valkey-io/valkey-go"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/store/storetest"
)

// server is a Redis of the test's own, behind a unix socket.
type server struct {
	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
}

// startServer starts Debian's redis-server. What it writes survives a restart.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server here: testenv/install.sh installs it")
	}
	dir, err := os.MkdirTemp("", "gh") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{t: t, dir: dir, args: args}
	s.start()
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *server) socket() string { return filepath.Join(s.dir, "s") }

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", append([]string{
		"--port", "0", "--unixsocket", s.socket(), "--dir", s.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "always",
	}, s.args...)...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for begin := time.Now(); ; {
		c, err := net.Dial("unix", s.socket())
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Since(begin) > 10*time.Second {
			s.t.Fatalf("redis-server does not listen: %v", err)
		}
		time.Sleep(5 * time.Millisecond) // until it listens
	}
}

// kill ends it as a crash does.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = os.Remove(s.socket())
}

// do asks the server directly, as whoever controls it may.
func (s *server) do(args ...string) driver.ValkeyResult {
	s.t.Helper()
	o := Options{Addresses: []string{"unix/" + s.socket()}}
	c, err := driver.NewClient(o.driver())
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.Do(context.Background(), c.B().Arbitrary(args...).Build())
}

var testKeys = func() *keyring.Ring {
	ring, err := keyring.New(keyring.Generate())
	if err != nil {
		panic(err)
	}
	return ring
}()

// open opens a store of that name, closed with the test.
func (s *server) open(t testing.TB, name string, also ...func(*Options)) store.Store {
	t.Helper()
	o := Options{Addresses: []string{"unix/" + s.socket()}, Name: name, Keys: testKeys, Node: "node of " + t.Name()}
	for _, change := range also {
		change(&o)
	}
	st, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return st
}

func TestConformance(t *testing.T) {
	s := startServer(t)
	storetest.Suite{RealTime: true, Open: func(t *testing.T) store.Store { return s.open(t, t.Name()) }}.Run(t)
}
