package testenv

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestEarlyData: nothing is accepted before the handshake is over (0-RTT can be replayed), over TCP and over QUIC.
func TestEarlyData(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	early := func(g *gateway) string {
		out, err := exec.Command(workshop.binary(t, "testenv/earlydata", false), g.addr(), appHost, g.env["CA"], g.origin()+"/healthz").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := early(startGateway(t, config{Backend: be.Listen, Site: "public /*"})); got != "refused" {
		t.Errorf("a request in 0-RTT data: %s", got)
	}
	// The negative control.
	if got := early(startPlain(t, config{Backend: be.Listen})); got != "used" {
		t.Errorf("plain Caddy, a request in 0-RTT data: %s: this test would not notice a gateway that accepts it", got)
	}
}

// TestListeners: the gateway listens where it was told, and nowhere else: not on port 80, not on Caddy's admin port.
// Controls: BRF-12, CAL-13.
func TestListeners(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("needs Linux's /proc")
	}
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	listening, err := listeners(g.pid())
	if err != nil {
		t.Fatal(err)
	}
	if len(listening) != 1 || listening[0] != g.addr() {
		t.Errorf("listens on %q, want only %s", listening, g.addr())
	}
	info, err := os.Stat(g.env["ADMIN"])
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the admin socket has mode %o", mode)
	}
}

// listeners are the TCP addresses on which a process listens.
func listeners(pid int) ([]string, error) {
	fds := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(fds)
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil {
			own[strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")] = true
		}
	}
	var found []string
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if err != nil {
			continue
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			fields := strings.Fields(s.Text())
			if len(fields) < 10 || fields[3] != "0A" || !own[fields[9]] { // 0A: listening
				continue
			}
			ip, port, _ := strings.Cut(fields[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				return nil, err
			}
			if ip == "0100007F" {
				ip = "127.0.0.1"
			}
			found = append(found, net.JoinHostPort(ip, strconv.FormatUint(n, 10)))
		}
	}
	return found, nil
}

// TestAdministrationIsHidden: nobody who comes through the site's port reaches Caddy's administration, its metrics or
// its profiles (CVE-2022-24797 of another gateway).
// Controls: BRF-12.
func TestAdministrationIsHidden(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	user, stranger := g.newUser(t, "alice", "two cranes over a tin roof"), g.stranger(t)
	for _, path := range []string{
		"/config/", "/config/apps", "/load", "/stop", "/adapt", "/id/x", "/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine",
		"/debug/vars", "/reverse_proxy/upstreams", "/pki/ca/local", "/gatehouse/", "/health", "/ready", "/status", "/.gatehouse/metrics", "/.gatehouse/debug",
		"/.gatehouse/config", "/.gatehouse/admin", "/.gatehouse/", "/.gatehouse", "/.well-known/acme-challenge/x",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			be.mustForget(t)
			a := stranger.must(t, request{Method: method, Path: path})
			if a.Status < 400 {
				t.Errorf("a stranger's %s %s: status %d", method, path, a.Status)
			}
			if n := be.mustSee(t).Total; n != 0 {
				t.Errorf("a stranger's %s %s reached the application", method, path)
			}
			if a, err := user.do(request{Method: method, Path: path}); err != nil || a.Status < 400 {
				t.Errorf("a user's %s %s: %v, %v", method, path, a, err)
			}
			// By the names that the admin endpoint goes by.
			for _, host := range []string{"localhost:2019", "127.0.0.1:2019", "localhost", ""} {
				if host == "" {
					continue
				}
				if a, err := user.do(request{Method: method, Path: path, Host: host, HTTP: "1.1"}); err == nil && a.Status < 400 {
					t.Errorf("%s %s with Host %s: status %d", method, path, host, a.Status)
				}
			}
		}
	}
	if !g.answers() {
		t.Error("the gateway is gone")
	}
}
