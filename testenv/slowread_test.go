package testenv

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// slowReading is a client that asks for more than it takes. Each connection has its requests answered from /large, and go is
// called with it until it ends; it must come to an end by itself when the gateway gives up.
type slowReading struct {
	name        string
	connections int
	requests    int    // of each
	protocol    string // of ALPN
	trickles    bool   // it reads on what its own kernel has, and so sees late that it was cut
	over        func(c *tls.Conn, port int)
}

var slowReadings = []slowReading{
	// What `slowhttptest -X` does: a small window, of which a few bytes are read now and then.
	{"HTTP/1.1, 32 bytes now and then", 50, 1, "http/1.1", true, func(c *tls.Conn, port int) {
		_, _ = fmt.Fprintf(c, "GET /large HTTP/1.1\r\nHost: %s:%d\r\n\r\n", appHost, port)
		for b := make([]byte, 32); ; time.Sleep(50 * time.Millisecond) {
			if _, err := c.NetConn().Read(b); err != nil { // of what came, not of what was deciphered long ago
				return
			}
		}
	}},
	{"HTTP/1.1, nothing", 50, 1, "http/1.1", false, func(c *tls.Conn, port int) {
		_, _ = fmt.Fprintf(c, "GET /large HTTP/1.1\r\nHost: %s:%d\r\n\r\n", appHost, port)
		untilClosed(c)
	}},
	{"HTTP/2, windows of nothing", 2, 100, "h2", false, func(c *tls.Conn, port int) { askAll(c, port, 0, 0) }},
	{"HTTP/2, windows of a byte now and then", 2, 100, "h2", false, func(c *tls.Conn, port int) { askAll(c, port, 1, 2*time.Second) }},
	{"HTTP/2, large windows of which nothing is read", 2, 100, "h2", false, func(c *tls.Conn, port int) {
		askLarge(c, port, 1<<30)
		untilClosed(c)
	}},
}

// askLarge sends the preface and a hundred requests whose answers may have so many bytes each, as far as the connection goes.
func askLarge(c *tls.Conn, port int, window uint32) {
	var b, head bytes.Buffer
	f, enc := http2.NewFramer(&b, nil), hpack.NewEncoder(&head)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", appHost + ":" + strconv.Itoa(port)}, {":path", "/large"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	b.WriteString(http2.ClientPreface)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
	_ = f.WriteWindowUpdate(0, 1<<30)
	enc.SetMaxDynamicTableSize(0)
	for stream := uint32(1); stream < 200; stream += 2 {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
	}
	_, _ = c.Write(b.Bytes())
}

// askAll is askLarge, but that all is read, each window is opened by a byte in each pause, and the connection ends when the server has
// reset all streams.
func askAll(c *tls.Conn, port int, window uint32, pause time.Duration) {
	askLarge(c, port, window)
	if pause > 0 {
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			var b bytes.Buffer
			f := http2.NewFramer(&b, nil)
			for stream := uint32(1); stream < 200; stream += 2 {
				_ = f.WriteWindowUpdate(stream, 1)
			}
			for {
				select {
				case <-stop:
					return
				case <-time.After(pause):
					_, _ = c.Write(b.Bytes())
				}
			}
		}()
	}
	f, reset := http2.NewFramer(nil, c), 0
	for reset < 100 {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		if _, ok := frame.(*http2.RSTStreamFrame); ok {
			reset++
		}
	}
}

// untilClosed reads nothing and returns when the other side has closed the connection, or as soon as that is known.
func untilClosed(c *tls.Conn) {
	for {
		time.Sleep(100 * time.Millisecond)
		// A byte that is no record of TLS is no offence before the other side reads it: what is asked for is whether the
		// kernel still takes it.
		if _, err := c.NetConn().Write([]byte{22}); err != nil {
			return
		}
	}
}

// TestSlowReaders has clients ask for large answers and take next to nothing of them, over HTTP/1.1 and HTTP/2: an ordinary client
// is answered meanwhile, what runs for them ends in about the time that they have, and takes no memory to speak of. (Debian's
// slowhttptest has this test too, -X; it can name no server in its TLS, and what stands between would read for it.) `make attack`
// has it take as long as a gateway comes with, 30 seconds. (BRF-21; H8)
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	global, within := "\tservers {\n\t\ttimeouts {\n\t\t\twrite_idle 2s\n\t\t}\n\t}", 20*time.Second
	if os.Getenv("GATEHOUSE_ATTACK") != "" {
		global, within = "", time.Minute
	}
	app := newLargeAnswers(t)
	g := startGateway(t, config{Backend: app.address, Site: "public /*", Global: global})
	if _, failed := g.ordinary(t, time.Second); len(failed) > 0 {
		t.Fatal(failed[0])
	}
	before := g.live(t)
	for _, slow := range slowReadings {
		t.Run(slow.name, func(t *testing.T) {
			quiet, failures := g.ordinary(t, 200*time.Millisecond)
			app.begun.Store(0)
			began, ended := time.Now(), make(chan struct{}, slow.connections)
			for range slow.connections {
				c, err := smallWindow(g, slow.protocol)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				go func() {
					slow.over(c, g.port)
					ended <- struct{}{}
				}()
			}
			eventually(t, readyIn, "one is answered", func() bool { return app.begun.Load() > 0 })
			most, took, open := before, []time.Duration(nil), slow.connections
			for (open > 0 && !slow.trickles || app.begun.Load() < int64(slow.connections) || app.running.Load() > 0) && time.Since(began) < within {
				some, failed := g.ordinary(t, 100*time.Millisecond)
				took, failures = append(took, some...), append(failures, failed...)
				if most == before && app.begun.Load() == int64(slow.connections*slow.requests) {
					most = g.live(t) // now all wait
				}
				open = slow.connections - len(ended)
			}
			slices.Sort(took)
			t.Logf("%d answers over %d connections: the last was given up after %v; memory in use %d MB before, %d MB meanwhile; the ordinary client's p99 %v, %v before",
				app.begun.Load(), slow.connections, time.Since(began).Round(100*time.Millisecond), before>>20, most>>20, percentile(took, 99), percentile(quiet, 99))
			if n := app.running.Load(); n > 0 || open > 0 && !slow.trickles {
				t.Errorf("after %v %d answers are still being given over %d connections", within, n, open)
			}
			if most-before > 48<<20 { // H8: 64 MB; 25 as it is, for 200 answers
				t.Errorf("they took %d MB", (most-before)>>20)
			}
			if len(failures) > 0 {
				t.Errorf("%d requests of the ordinary client were not answered: %s", len(failures), failures[0])
			}
		})
	}
}

// live is what the gateway has in use, in bytes, when garbage has been collected. What it has from the system depends on what was
// asked of it before, and goes up to twice that.
func (g *gateway) live(t testing.TB) int64 {
	t.Helper()
	if _, err := g.adminGet("/debug/pprof/heap?gc=1"); err != nil {
		t.Fatal(err)
	}
	return int64(g.metric(t, "go_memstats_heap_alloc_bytes") + g.metric(t, "go_memstats_stack_inuse_bytes"))
}

// smallWindow connects as somebody does who wants to be sent as little as possible at a time.
func smallWindow(g *gateway, protocol string) (*tls.Conn, error) {
	c, err := net.Dial("tcp", g.addr())
	if err != nil {
		return nil, err
	}
	_ = c.(*net.TCPConn).SetReadBuffer(1) // as small as there is
	return tls.Client(c, &tls.Config{ServerName: appHost, RootCAs: ca().pool, NextProtos: []string{protocol}}), nil
}

// largeAnswers is an application that answers 64 MB to /large, and a few bytes to everything else.
type largeAnswers struct {
	address        string
	begun, running atomic.Int64 // of the large ones
}

func newLargeAnswers(t *testing.T) *largeAnswers {
	t.Helper()
	app, chunk := new(largeAnswers), bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/large" {
			_, _ = io.WriteString(w, "hello")
			return
		}
		app.running.Add(1)
		defer app.running.Add(-1)
		app.begun.Add(1)
		w.Header().Set("Content-Type", "application/octet-stream")
		for range 64 << 20 / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	app.address = strings.TrimPrefix(srv.URL, "http://")
	return app
}
