package gatehouse

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/net/http2"

	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/flood"
)

// Go's HTTP/2 server answers whatever frames it is sent, as fast as they come, so that one connection can keep all
// processors busy. Here the bytes of each HTTP/2 connection are shown to a meter (package flood) on their way from TLS to that
// server, and a connection that floods is closed. decisions/0016 says why just there.

// writeTimeout is how long a client may take none of what waits for it to be sent, before its connection is closed, where an
// operator has not written another write_idle.
const writeTimeout = 30 * time.Second

// maxStreams is how many requests of one connection are worked on at a time. RFC 9113 wants at least a hundred.
const maxStreams = 100

// h2Servers are the servers whose HTTP/2 connections are metered.
type h2Servers struct {
	mu   sync.Mutex
	done map[*http.Server]bool // guarded by mu
}

// guard has a server show its HTTP/2 connections to meters. It is called for each connection before net/http serves that,
// and acts the first time: so whoever reads what it writes has been here before.
func (s *h2Servers) guard(hs *http.Server, serve func(*tls.Conn) net.Conn, write time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done[hs] {
		return
	}
	if s.done == nil {
		s.done = map[*http.Server]bool{}
	}
	s.done[hs] = true
	if hs.TLSNextProto[http2.NextProtoTLS] == nil { // HTTP/2 is off
		return
	}
	// The HTTP/2 server that Caddy has configured takes none but a *tls.Conn, so others stand in its place.
	conns := &h2Conns{idle: cmp.Or(hs.IdleTimeout, hs.ReadTimeout), write: max(write, 0)}
	hs.RegisterOnShutdown(conns.goAway)
	hs.TLSNextProto[http2.NextProtoTLS] = func(hs *http.Server, c *tls.Conn, h http.Handler) {
		var ctx context.Context
		if base, ok := h.(interface{ BaseContext() context.Context }); ok { // as net/http hands it to HTTP/2 servers
			ctx = base.BaseContext()
		}
		conns.serve(serve(c), http2.ServeConnOpts{Context: ctx, Handler: h, BaseConfig: hs})
	}
}

// meteredConn is an HTTP/2 connection whose frames are counted.
type meteredConn struct {
	*tls.Conn
	meter *flood.Meter
	tell  func(c *tls.Conn, frame string)
	over  bool // used by who reads
}

// errFlood ends the reading of a connection.
var errFlood = errors.New("too many frames that ask for nothing")

// Read implements net.Conn.
func (c *meteredConn) Read(p []byte) (int, error) {
	if c.over {
		return 0, errFlood
	}
	n, err := c.Conn.Read(p)
	if c.meter.See(p[:n]) {
		c.over = true
		c.tell(c.Conn, c.meter.Frame())
		_ = c.Conn.NetConn().Close() // without a word: what waits to be sent would not be read
		return 0, errFlood
	}
	return n, err
}

// Write implements net.Conn.
func (c *meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.meter.Wrote(p[:n])
	return n, err
}

// metered returns the connection with a meter on it.
func (app *App) metered(c *tls.Conn) net.Conn {
	return &meteredConn{Conn: c, meter: flood.New(time.Now), tell: app.flooded}
}

// flooded tells of a connection that was closed.
func (app *App) flooded(c *tls.Conn, frame string) {
	floods.WithLabelValues(frame).Inc()
	e := event.Event{Kind: event.ProtocolFlood, Detail: "HTTP/2 " + frame + " frames"}
	if peer, err := clientip.Parse(c.RemoteAddr().String()); err == nil {
		e.ClientIP = peer
	}
	if state, err := app.State(); err == nil {
		state.Bus.Publish(e)
		return
	}
	app.logger.Warn("connection closed", zap.String("detail", e.Detail))
}

var resets = prometheus.NewCounter(prometheus.CounterOpts{
	Namespace: "gatehouse", Name: "h2_reset_early_total",
	Help: "HTTP/2 requests that were not begun, because their client, or their connection, had gone before.",
})

var floods = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "gatehouse", Name: "h2_floods_total",
	Help: "HTTP/2 connections that were closed for frames, or resets, that cost a server work and their sender nothing, by the last frame's type.",
}, []string{"frame"})
