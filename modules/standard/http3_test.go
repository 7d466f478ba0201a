package standard_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"gatehouse.internal/modules/internal/gatetest"
)

func over3(g *gatetest.Gateway) *http.Client {
	tr := &http3.Transport{TLSClientConfig: g.Transport().TLSClientConfig, Dial: func(ctx context.Context, _ string, conf *tls.Config, q *quic.Config) (*quic.Conn, error) {
		return quic.DialAddr(ctx, g.Addr, conf, q)
	}}
	g.Cleanup(func() { _ = tr.Close() })
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
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
	g := limited(t, "body_rate 500B grace 300ms", "backend", "reverse_proxy "+up)

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
