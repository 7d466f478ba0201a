package standard_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"gatehouse.internal/modules/internal/gatetest"
)

// h2 opens an HTTP/2 connection of the test's own, past the exchange of SETTINGS.
func h2(t *testing.T, g *gatetest.Gateway) (*tls.Conn, *http2.Framer) {
	t.Helper()
	c, err := tls.Dial("tcp", g.Addr, &tls.Config{ServerName: "app.test", InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	fr := http2.NewFramer(c, c)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c, fr
}

// cut reports whether the server closes the connection while send, which appends the nth bytes of a flood, is sent 20,000
// times. What the server says meanwhile is read.
func cut(c *tls.Conn, send func(fr *http2.Framer, n uint32)) bool {
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, c)
		close(gone)
	}()
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	for n := range uint32(20_000) {
		send(fr, 2*n+1)
		if b.Len() < 8<<10 {
			continue
		}
		if _, err := c.Write(b.Bytes()); err != nil {
			return true
		}
		b.Reset()
	}
	select {
	case <-gone:
		return true
	case <-time.After(3 * time.Second):
		return false
	}
}

// Frames that cost a server work and their sender nothing end the connection, and a few such connections bring a ban.
func TestFloodsOfFramesAreCut(t *testing.T) {
	var fields bytes.Buffer
	enc := hpack.NewEncoder(&fields)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "app.test"}, {":path", "/"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	open := func(fr *http2.Framer, stream uint32) {
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: fields.Bytes(), EndStream: true, EndHeaders: true})
	}
	floods := map[string]func(fr *http2.Framer, n uint32){
		"SETTINGS":      func(fr *http2.Framer, _ uint32) { _ = fr.WriteSettings() },
		"PING":          func(fr *http2.Framer, _ uint32) { _ = fr.WritePing(false, [8]byte{}) },
		"PRIORITY":      func(fr *http2.Framer, n uint32) { _ = fr.WritePriority(n, http2.PriorityParam{Weight: 1}) },
		"WINDOW_UPDATE": func(fr *http2.Framer, _ uint32) { _ = fr.WriteWindowUpdate(0, 1) },
		"unknown":       func(fr *http2.Framer, _ uint32) { _ = fr.WriteRawFrame(0xf3, 0, 0, nil) },
		"RST_STREAM": func(fr *http2.Framer, n uint32) {
			open(fr, n)
			_ = fr.WriteRSTStream(n, http2.ErrCodeCancel)
		},
		"CONTINUATION": func(fr *http2.Framer, n uint32) {
			if n == 1 {
				_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: n, BlockFragment: fields.Bytes()})
			}
			_ = fr.WriteContinuation(1, false, []byte{0x00, 0x01, 'x', 0x01, 'y'})
		},
	}
	g := openSite(t)
	ordinary := g.Client()
	for name, send := range floods {
		c, _ := h2(t, g)
		if !cut(c, send) {
			t.Errorf("%s: the connection is still there", name)
		}
		awaitLog(t, g, "protocol.flood", "HTTP/2 "+name+" frames")
		if res, _ := get(t, ordinary, "https://app.test/"); res.StatusCode != http.StatusOK {
			t.Errorf("an ordinary client beside %s: %d", name, res.StatusCode)
		}
	}

	// The server resets these streams itself, each with a request under way.
	c, _ := h2(t, g)
	if !cut(c, func(fr *http2.Framer, n uint32) {
		open(fr, n)
		_ = fr.WriteRawFrame(http2.FrameWindowUpdate, 0, n, []byte{0, 0, 0, 0})
	}) {
		t.Error("streams that the server has to reset: the connection is still there")
	}

	g = jailed(t, "jail flood 2 in 1m for 10m")
	for range 2 {
		c, _ := h2(t, g)
		cut(c, floods["PING"])
	}
	awaitDropped(t, g)
}

// A connection has a hundred requests at a time, whatever its client says: those above are refused, one by one, and reach neither
// a room nor the application; and when some are over, as many more are taken.
func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	var begun, running atomic.Int64
	release := make(chan struct{})
	up := handlerBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			begun.Add(1)
			running.Add(1)
			defer running.Add(-1)
			<-release
		}
	})
	g := openSite(t, "backend", "reverse_proxy "+up)
	c, fr := h2(t, g)
	var fields bytes.Buffer
	enc := hpack.NewEncoder(&fields)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "app.test"}, {":path", "/hold"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	enc.SetMaxDynamicTableSizeLimit(0)
	open := func(stream uint32) {
		if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: fields.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
	}
	const all, most = 150, 100
	for n := range uint32(all) {
		open(2*n + 1)
	}
	// answers reads until so many streams are over, and tells how many of them were refused and how many answered.
	answers := func(n int) (refused, answered int) {
		in := http2.NewFramer(nil, c)
		for refused+answered < n {
			f, err := in.ReadFrame()
			if err != nil {
				t.Fatalf("after %d refused and %d answered: %v", refused, answered, err)
			}
			switch f := f.(type) {
			case *http2.RSTStreamFrame:
				if f.ErrCode == http2.ErrCodeRefusedStream {
					refused++
				}
			case *http2.HeadersFrame, *http2.DataFrame:
				if f.Header().Flags.Has(http2.FlagHeadersEndStream) {
					answered++
				}
			case *http2.GoAwayFrame:
				t.Fatalf("the connection ends: %v", f.ErrCode)
			}
		}
		return refused, answered
	}
	if refused, answered := answers(all - most); answered != 0 || refused != all-most {
		t.Errorf("%d streams were refused and %d answered, want %d and none", refused, answered, all-most)
	}
	gatetest.Eventually(t, "a hundred requests run", func() bool { return running.Load() == most })
	close(release)
	if _, answered := answers(most); answered != most || begun.Load() != most {
		t.Errorf("%d are answered, of %d that began; want %d", answered, begun.Load(), most)
	}
	open(2*all + 1)
	if _, answered := answers(1); answered != 1 {
		t.Error("nothing is taken afterwards")
	}
}

// Whoever navigates away resets all that was under way, and goes on: the connection stays.
func TestWhoNavigatesAwayIsNoFlood(t *testing.T) {
	var running atomic.Int64
	up := handlerBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			return
		}
		running.Add(1)
		defer running.Add(-1)
		<-r.Context().Done()
	})
	g := openSite(t, "backend", "reverse_proxy "+up)
	c := g.Client()
	connections := 0
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			connections++
		}
	}}
	ask := func(ctx context.Context, path string) error {
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://app.test"+path, nil)
		res, err := c.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	for page := range 3 {
		if err := ask(httptrace.WithClientTrace(t.Context(), trace), "/"); err != nil {
			t.Fatalf("page %d: %v", page, err)
		}
		ctx, navigate := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 60 {
			all.Go(func() { _ = ask(ctx, "/slow") })
		}
		gatetest.Eventually(t, "pictures are under way", func() bool { return running.Load() == 60 })
		navigate()
		all.Wait()
		gatetest.Eventually(t, "nothing is", func() bool { return running.Load() == 0 })
	}
	if err := ask(httptrace.WithClientTrace(t.Context(), trace), "/"); err != nil || connections != 1 {
		t.Errorf("after three pages: %v, over %d connections", err, connections)
	}
}

// What HTTP/2 connections are for goes on working: many requests at once, long answers, large bodies, and TLS is known.
func TestMeteredConnectionsWork(t *testing.T) {
	up := handlerBackend(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n != 100<<10 {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write(make([]byte, 1<<20))
	})
	g := openSite(t, "backend", "reverse_proxy "+up)
	c := g.Client()
	done := make(chan string, 60)
	for range 60 {
		go func() {
			req, _ := http.NewRequest("POST", "https://app.test/", bytes.NewReader(make([]byte, 100<<10)))
			req.Header.Set("Content-Type", "application/octet-stream")
			res, err := c.Do(req)
			if err != nil {
				done <- err.Error()
				return
			}
			defer res.Body.Close()
			n, err := io.Copy(io.Discard, res.Body)
			switch {
			case err != nil:
				done <- err.Error()
			case res.ProtoMajor != 2 || res.StatusCode != 200 || n != 1<<20:
				done <- res.Proto + " " + res.Status
			default:
				done <- ""
			}
		}()
	}
	for range 60 {
		if what := <-done; what != "" {
			t.Fatal(what)
		}
	}
}
