package gatehouse

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// h2Conns are the HTTP/2 connections of one server.
type h2Conns struct {
	idle  time.Duration // without requests, before one is told to go; 0: for ever
	write time.Duration // that a client may take none of what waits for it

	mu   sync.Mutex
	open map[*h2Conn]bool // guarded by mu
}

// h2Conn is one connection, and the handler of its requests. It knows itself when it is idle: the timer that x/net/http2 has
// for that is started again by each stream that ends, also by those that end because the connection has, and keeps the
// connection with the requests that wait for their turn, some 350 KB of a flood's, for as long as that takes (v0.60.0,
// serverConn.closeStream).
type h2Conn struct {
	handler http.Handler
	tied    *http.Server // never serves; its shutdown says GOAWAY to this connection
	idle    time.Duration

	mu      sync.Mutex
	running int         // guarded by mu
	timer   *time.Timer // guarded by mu; nil: nobody waits for it to be idle, or it has ended
}

// serve serves a connection until that ends.
func (s *h2Conns) serve(c net.Conn, opts http2.ServeConnOpts) {
	h := &h2Conn{handler: opts.Handler, tied: new(http.Server), idle: s.idle}
	own := &http2.Server{MaxConcurrentStreams: maxStreams, WriteByteTimeout: s.write}
	if http2.ConfigureServer(h.tied, own) != nil {
		_ = c.Close() // cannot be: it refuses cipher suites of TLS 1.2 only, and here are none
		return
	}
	s.mu.Lock()
	if s.open == nil {
		s.open = map[*h2Conn]bool{}
	}
	s.open[h] = true
	s.mu.Unlock()
	if h.idle > 0 {
		h.timer = time.AfterFunc(h.idle, h.goAway)
	}
	opts.Handler = h
	own.ServeConn(c, &opts)
	h.ended()
	s.mu.Lock()
	delete(s.open, h)
	s.mu.Unlock()
}

// goAway tells all connections to go when their requests are answered.
func (s *h2Conns) goAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.open {
		h.goAway()
	}
}

func (h *h2Conn) goAway() { _ = h.tied.Shutdown(context.Background()) }

// ServeHTTP leaves out the requests that were given up before anybody looked at them: on a busy machine nearly all of a
// flood's. Nothing is said of them, as nothing is of those that wait for their turn in Go's server when they are reset.
func (h *h2Conn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Context().Err() != nil {
		resets.Inc()
		return
	}
	h.begin()
	defer h.end()
	h.handler.ServeHTTP(w, r)
}

func (h *h2Conn) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running++
	if h.timer != nil {
		h.timer.Stop()
	}
}

func (h *h2Conn) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running--; h.running == 0 && h.timer != nil {
		h.timer.Reset(h.idle)
	}
}

// ended has nothing wait for the connection any more.
func (h *h2Conn) ended() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
}
