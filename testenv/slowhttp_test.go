package testenv

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// slowSite is a site by two names: slowhttptest knows no other than localhost, and our clients ask for app.test.
const slowSite = `{
	import {$COMMON}
	gatehouse {
		state_dir {$STATE}
		local
		%s
	}
	%s
}
https://localhost:{$PORT}, https://app.test:{$PORT} {
	tls {$CERT} {$KEY}
	gatehouse {
		public /*
	}
	reverse_proxy {$BACKEND}
}
`

// TestSlowClients has Debian's slowhttptest send heads, and bodies, that never end, while an ordinary client asks: that one is
// answered, and the attacker has no connection left long before it would give up. `make attack` has it take a thousand
// connections against the limits that a gateway comes with, of 10 and 20 seconds; here they are shorter. (BRF-21; H12)
func TestSlowClients(t *testing.T) {
	t.Parallel()
	slow := needProgram(t, "slowhttptest", "slowhttptest")
	connections, seconds := 100, 60
	house, global := "client_limits {\n\t\t\tbody_rate 500B grace 2s\n\t\t}", "servers {\n\t\ttimeouts {\n\t\t\tread_header 2s\n\t\t}\n\t}"
	if os.Getenv("GATEHOUSE_ATTACK") != "" {
		connections, house, global = 1000, "", ""
	}
	for name, way := range map[string]string{"heads": "-H", "bodies": "-B"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			be := startBackend(t)
			g := startGateway(t, config{Backend: be.Listen, Caddyfile: fmt.Sprintf(slowSite, house, global)})
			c := g.stranger(t)
			said, began := make(chan string, 1), time.Now()
			go func() {
				said <- tool(t, slow, way, "-c", strconv.Itoa(connections), "-r", strconv.Itoa(connections), "-i", "1", "-x", "8",
					"-s", "8192", "-l", strconv.Itoa(seconds), "-u", "http://"+bridge(t, g)+"/")
			}()
			answers := 0
			for {
				if a := c.get(t, "/"); a.Status != http.StatusOK {
					t.Fatalf("the ordinary client's request %d: %d", answers, a.Status)
				}
				answers++
				select {
				case out := <-said:
					took := time.Since(began)
					t.Logf("slowhttptest %s: the last of %d connections was closed after %v, with %d answers beside", way, connections, took.Round(time.Second), answers)
					if !strings.Contains(out, "No open connections left") {
						t.Errorf("it still had connections after %v:\n%s", took, out[max(0, len(out)-1500):])
					}
					log, err := os.ReadFile(g.env["LOG"])
					if name == "bodies" && (err != nil || !strings.Contains(string(log), `"slow_body"`)) {
						t.Errorf("the log names no slow body: %v", err)
					}
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
}

// bridge listens for plain connections and carries each over TLS to the gateway: slowhttptest names no server in its own TLS,
// so that each of its requests would be misdirected. What one side ends is ended on the other.
func bridge(t testing.TB, g *gateway) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := tls.Dial("tcp", g.addr(), &tls.Config{ServerName: "localhost", RootCAs: ca().pool})
				if err != nil {
					return
				}
				defer far.Close()
				go func() {
					defer near.Close()
					_, _ = io.Copy(near, far)
				}()
				_, _ = io.Copy(far, near)
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return "localhost:" + port
}
