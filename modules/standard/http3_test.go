package standard_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"gatehouse.internal/modules/internal/gatetest"
)

// over3 returns a client that speaks HTTP/3 alone, which the house has to allow: insecure_http3.
func over3(g *gatetest.Gateway) *http.Client {
	tr := &http3.Transport{TLSClientConfig: g.Transport().TLSClientConfig, Dial: func(ctx context.Context, _ string, conf *tls.Config, q *quic.Config) (*quic.Conn, error) {
		return quic.DialAddr(ctx, g.Addr, conf, q)
	}}
	g.Cleanup(func() { _ = tr.Close() })
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// HTTP/3 has no meter of floods: without a word for it nothing listens on UDP and no answer invites browsers there, also where
// the server's own protocols name it. With the word both are as Caddy has them, in the same process, before and after.
func TestHTTP3IsOffUnlessTheHouseSaysSo(t *testing.T) {
	for _, tt := range []struct {
		name, idp, protocols string
		on                   bool
	}{
		{"the newcomer's", "local", "", false},
		{"allowed", "local\n insecure_http3", "", true},
		{"named by the server", "local", "protocols h1 h2 h3", false},
		{"named and allowed", "local\n insecure_http3", "protocols h1 h2 h3", true},
		{"allowed and not named", "local\n insecure_http3", "protocols h1 h2", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			change := []string{"idp", tt.idp}
			if tt.protocols != "" {
				change = append(change, "global", "servers {\n "+tt.protocols+"\n }")
			}
			g := openSite(t, change...)
			invited := func() bool {
				res, _ := get(t, g.Client(), "https://app.test/")
				return res.Header.Get("Alt-Svc") != ""
			}
			if tt.on { // the listener on UDP begins a moment later, and nobody is invited before
				eventually(t, "the invitation to HTTP/3", invited)
			} else if invited() {
				t.Error("browsers are invited to HTTP/3, which is off")
			}
			l, err := net.ListenPacket("udp", g.Addr)
			if err == nil { // nobody else has the port
				l.Close()
			}
			if (err != nil) != tt.on {
				t.Errorf("taking the UDP port: %v, HTTP/3 is on: %v", err, tt.on)
			}
			if !tt.on {
				return
			}
			if res, _ := get(t, over3(g), "https://app.test/"); res.StatusCode != http.StatusOK || res.ProtoMajor != 3 {
				t.Errorf("over HTTP/3: %s %d", res.Proto, res.StatusCode)
			}
			if log := g.Log(); !strings.Contains(log, "insecure_http3") {
				t.Error("the log does not say that it is on")
			}
		})
	}
}

// What bounds an HTTP/3 client: quic-go lets a connection have 100 streams at a time, Caddy takes 16 KiB of header, and the
// rooms judge as they do otherwise: a body that trickles is cut.
func TestHTTP3IsBounded(t *testing.T) {
	var running, most atomic.Int64
	release := make(chan struct{})
	up := handlerBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hold" {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		running.Add(-1)
	})
	g := openSite(t, "idp", "local\n insecure_http3\n client_limits {\n body_rate 500B grace 300ms\n }", "backend", "reverse_proxy "+up)

	c, answered := over3(g), make(chan int, 120)
	for range cap(answered) {
		go func() {
			res, err := c.Get("https://app.test/hold")
			if err != nil {
				answered <- 0
				return
			}
			res.Body.Close()
			answered <- res.StatusCode
		}()
	}
	gatetest.Eventually(t, "a hundred requests run", func() bool { return running.Load() >= 100 })
	close(release)
	for range cap(answered) {
		if status := <-answered; status != http.StatusOK {
			t.Errorf("one of many: %d", status)
		}
	}
	if n := most.Load(); n != 100 {
		t.Errorf("%d requests of one connection ran at a time, want 100", n)
	}

	req, _ := http.NewRequest(http.MethodGet, "https://app.test/", nil)
	req.Header.Set("X-Long", strings.Repeat("x", 20<<10))
	if res, err := over3(g).Do(req); err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("20 KiB of header: %d", res.StatusCode)
		}
	}

	r, w := io.Pipe()
	defer r.Close()
	go trickle(w, 20*time.Millisecond, 1000)
	began := time.Now()
	res, err := over3(g).Post("https://app.test/", "text/plain", r)
	if err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusRequestTimeout {
			t.Errorf("a body that trickles: %d", res.StatusCode)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it was cut after %v", took)
	}
}
