package gatehouse

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Served is a server of ours over HTTP/2; wrap is asked for each connection.
func h2Served(t *testing.T, idle time.Duration, h http.HandlerFunc, wrap func(*tls.Conn) net.Conn) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.IdleTimeout = idle
	var servers h2Servers
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		servers.guard(s.Config, wrap, 0)
		return ctx
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// h2Client opens a connection.
func h2Client(t *testing.T, s *httptest.Server) (*tls.Conn, *http2.Framer) {
	t.Helper()
	c, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	if err = errors.Join(err, f.WriteSettings()); err != nil {
		t.Fatal(err)
	}
	return c, f
}

// ask sends a request.
func ask(t *testing.T, f *http2.Framer, stream uint32) {
	t.Helper()
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "example.com"}, {":path", "/"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
}

// until reads frames until one is what it should be.
func until(t *testing.T, f *http2.Framer, what string, is func(http2.Frame) bool) {
	t.Helper()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if is(frame) {
			return
		}
	}
}

// TestEndedConnectionsAreForgotten: a connection that ends while requests run, or wait for their turn, is not kept for the time
// that idle connections have.
func TestEndedConnectionsAreForgotten(t *testing.T) {
	begun, forgotten := make(chan struct{}, 8), make(chan struct{})
	s := h2Served(t, time.Hour, func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
	}, func(c *tls.Conn) net.Conn {
		seen := &struct{ net.Conn }{c}
		runtime.AddCleanup(seen, func(ch chan struct{}) { close(ch) }, forgotten)
		return seen
	})
	c, f := h2Client(t, s)
	for n := range uint32(3) {
		ask(t, f, 2*n+1)
		<-begun
	}
	_ = c.Close()
	for end := time.Now().Add(20 * time.Second); ; {
		runtime.GC()
		select {
		case <-forgotten:
			return
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatal("the connection is still kept")
		}
	}
}

// TestIdleConnectionsAreToldToGo: after the time for it without a request, and not while one runs.
func TestIdleConnectionsAreToldToGo(t *testing.T) {
	const idle = 300 * time.Millisecond
	held := make(chan struct{})
	s := h2Served(t, idle, func(http.ResponseWriter, *http.Request) { <-held }, func(c *tls.Conn) net.Conn { return c })
	c, f := h2Client(t, s)
	ask(t, f, 1)
	time.AfterFunc(2*idle, func() { close(held) })
	began := time.Now()
	until(t, f, "an answer before any farewell", func(f http2.Frame) bool {
		if _, ok := f.(*http2.GoAwayFrame); ok {
			t.Fatal("told to go while a request ran")
		}
		return f.Header().Type == http2.FrameHeaders
	})
	until(t, f, "a farewell", func(f http2.Frame) bool {
		g, ok := f.(*http2.GoAwayFrame)
		return ok && g.ErrCode == http2.ErrCodeNo
	})
	if took := time.Since(began); took < 3*idle {
		t.Errorf("told to go %v after the request began, which took %v", took, 2*idle)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("not closed in an orderly way: %v", err)
	}
}

// TestShutdownSaysGoodbye: the server's shutdown tells each connection, and waits for what runs.
func TestShutdownSaysGoodbye(t *testing.T) {
	held, begun := make(chan struct{}), make(chan struct{})
	s := h2Served(t, 0, func(http.ResponseWriter, *http.Request) { close(begun); <-held }, func(c *tls.Conn) net.Conn { return c })
	_, f := h2Client(t, s)
	ask(t, f, 1)
	<-begun
	down := make(chan error, 1)
	go func() { down <- s.Config.Shutdown(t.Context()) }()
	until(t, f, "a farewell", func(f http2.Frame) bool { return f.Header().Type == http2.FrameGoAway })
	close(held)
	until(t, f, "the answer", func(f http2.Frame) bool { return f.Header().Type == http2.FrameHeaders })
	if err := <-down; err != nil {
		t.Error(err)
	}
}
