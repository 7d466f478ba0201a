package gatehouse

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Why the house opens its own sockets is in decisions/0001: with Caddy's, a reload resets what waits in the closing
// socket's queue, and net/http drops a connection whose first request arrives after its server began to shut down.
// Here one socket serves an address for as long as any configuration uses it, the newest configuration gets every new
// connection, and the one before it is given time to hear the first request of those it already has.

// networkPrefix marks the networks below; the rest of the name is the real network.
const networkPrefix = "gatehouse_"

// firstRequestWait bounds how long a reload waits for connections of the old configuration to send their first
// request. Whoever needs longer may lose the connection; a client that never speaks delays each reload by no more.
const firstRequestWait = time.Second

func init() {
	for _, network := range []string{"tcp", "tcp4", "tcp6"} {
		caddy.RegisterNetwork(networkPrefix+network, listen)
		caddyhttp.RegisterNetworkHTTP3(networkPrefix+network, strings.Replace(network, "tcp", "udp", 1))
	}
}

// sockets holds the open *socket of each address, keyed by network/address.
var sockets = caddy.NewUsagePool()

// sharedAddress returns the address with its network replaced by ours, or unchanged when it is not plain TCP.
func sharedAddress(listen string) string {
	addr, err := caddy.ParseNetworkAddress(listen)
	if err != nil {
		return listen // Caddy reports it better
	}
	switch addr.Network {
	case "tcp", "tcp4", "tcp6":
		addr.Network = networkPrefix + addr.Network
		return addr.String()
	}
	return listen
}

func listen(ctx context.Context, network, host, portRange string, offset uint, cfg net.ListenConfig) (any, error) {
	first, _, _ := strings.Cut(portRange, "-")
	port, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return nil, err
	}
	network = strings.TrimPrefix(network, networkPrefix)
	address := net.JoinHostPort(host, strconv.FormatUint(port+uint64(offset), 10))
	key := network + "/" + address
	pooled, _, err := sockets.LoadOrNew(key, func() (caddy.Destructor, error) {
		ln, err := cfg.Listen(ctx, network, address)
		if err != nil {
			return nil, err
		}
		s := &socket{ln: ln, closed: make(chan struct{}), changed: make(chan struct{})}
		go s.accept()
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	s := pooled.(*socket)
	l := &listener{socket: s, key: key, accepted: make(chan accepted), closed: make(chan struct{})}
	if old := s.push(l); old != nil {
		select {
		case <-old.quiet():
		case <-time.After(firstRequestWait):
		}
	}
	return l, nil
}

// socket is one listening socket and the goroutine that accepts on it.
type socket struct {
	ln     net.Listener
	closed chan struct{}

	mu      sync.Mutex
	open    []*listener   // guarded by mu; the last one gets the connections
	changed chan struct{} // guarded by mu; closed, and replaced, when the last one is another
}

type accepted struct {
	conn net.Conn
	err  error
}

// accept hands over what the socket accepts until it closes. Nothing is buffered: the kernel's queue is the only
// queue, and a server that backs off after a temporary error slows the loop down as it would without us.
func (s *socket) accept() {
	for {
		conn, err := s.ln.Accept()
		if err == nil && s.shutsOut(conn) {
			abort(conn)
			continue
		}
		if !s.deliver(accepted{conn, err}) {
			return
		}
	}
}

// shutsOut reports whether the peer is banned, as far as that is known before anything is made of the connection.
func (s *socket) shutsOut(c net.Conn) bool {
	newest, _ := s.newest()
	if newest == nil {
		return false
	}
	app := newest.app.Load()
	peer, known := peerOf(c)
	return app != nil && known && app.shutsOut(peer)
}

// deliver gives a to the newest listener; it reports false, having closed the connection, when the socket is closed.
func (s *socket) deliver(a accepted) bool {
	for {
		newest, changed := s.newest()
		var to chan accepted // nil blocks
		if newest != nil {
			to = newest.accepted
		}
		select {
		case to <- a:
			return true
		case <-changed:
		case <-s.closed:
			if a.conn != nil {
				a.conn.Close()
			}
			return false
		}
	}
}

func (s *socket) newest() (*listener, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) == 0 {
		return nil, s.changed
	}
	return s.open[len(s.open)-1], s.changed
}

// push makes l the newest listener and returns the one that was, if any.
func (s *socket) push(l *listener) (old *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.open); n > 0 {
		old = s.open[n-1]
	}
	s.open = append(s.open, l)
	s.turn()
	return old
}

// drop takes l out. If it was the newest, because its configuration failed, the one before it is in office again.
func (s *socket) drop(l *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.open, l); i >= 0 {
		s.open = slices.Delete(s.open, i, i+1)
		s.turn()
	}
}

// turn wakes whoever waits for another newest listener. s.mu must be held.
func (s *socket) turn() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Destruct closes the socket when its last listener has closed.
func (s *socket) Destruct() error {
	close(s.closed)
	return s.ln.Close()
}

// listener is one configuration's use of a socket.
type listener struct {
	*socket
	key      string
	accepted chan accepted
	once     sync.Once
	closed   chan struct{}
	app      atomic.Pointer[App] // whose it is; nil until the first connection has told, and where listener wrappers stand before us

	freshMu sync.Mutex
	fresh   int           // guarded by freshMu; connections whose first request has not been read
	idle    chan struct{} // guarded by freshMu; closed when fresh falls to zero, nil when nobody waits
}

// Accept returns the next connection, or net.ErrClosed after Close. One too many is closed and never seen.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.next()
		if err != nil {
			return nil, err
		}
		if crowded.enter() {
			l.count(1)
			return &conn{Conn: c, of: l}, nil
		}
		connectionsRefused.WithLabelValues("all").Inc()
		abort(c)
	}
}

// next waits for the socket's next connection.
func (l *listener) next() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.closedErr()
	default:
	}
	select {
	case a := <-l.accepted:
		select {
		case <-l.closed: // both were ready and chance chose: it belongs to another configuration
			go l.deliver(a)
			return nil, l.closedErr()
		default:
		}
		return a.conn, a.err
	case <-l.closed:
		return nil, l.closedErr()
	}
}

// Close ends this use; the socket stays open while another configuration uses it.
func (l *listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closed)
		l.drop(l)
		_, err = sockets.Delete(l.key)
	})
	return err
}

// Addr is the address the socket really has, also when port 0 was asked for.
func (l *listener) Addr() net.Addr { return l.ln.Addr() }

func (l *listener) closedErr() error {
	return &net.OpError{Op: "accept", Net: l.ln.Addr().Network(), Addr: l.ln.Addr(), Err: net.ErrClosed}
}

func (l *listener) count(n int) {
	l.freshMu.Lock()
	defer l.freshMu.Unlock()
	if l.fresh += n; l.fresh == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// quiet returns a channel that is closed once the first request of every accepted connection has been read.
func (l *listener) quiet() <-chan struct{} {
	l.freshMu.Lock()
	defer l.freshMu.Unlock()
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	if l.fresh == 0 {
		close(l.idle)
		l.idle = nil
	}
	return idle
}

// conn remembers whether its first request has been read, and sees what comes in the clear (clear.go).
type conn struct {
	net.Conn
	of      *listener
	heard   atomic.Bool
	closed  atomic.Bool
	stuck   atomic.Bool         // the client did not take what was written last
	tunnel  atomic.Bool         // it was taken over from HTTP/1.1, as a websocket is: nobody else sets deadlines any more
	network netip.Prefix        // which it counts for (connections.go); the server's accept loop writes it, before anything is read
	write   time.Duration       // within which a tunnel's client must take what is written; not positive: whenever it likes. Written before anything is read
	began   bool                // something was read; the reader's
	leaked  func(*http.Request) // told of a request in the clear; nil: nobody is. Written before anything is read
}

// NetConn returns the connection below, as that of tls.Conn does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Write implements net.Conn. What is written to a tunnel is a record of TLS, 16 KiB at the most.
func (c *conn) Write(p []byte) (int, error) {
	if c.tunnel.Load() && c.write > 0 {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.write)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Write(p)
	if late := errors.Is(err, os.ErrDeadlineExceeded); late != c.stuck.Load() {
		c.stuck.Store(late)
	}
	return n, err
}

// Close implements net.Conn. Of a client that takes nothing the kernel would keep what waits for it, megabytes, for as long as
// the client likes: that is thrown away.
func (c *conn) Close() error {
	c.hear()
	if c.closed.CompareAndSwap(false, true) {
		crowded.leave(c.network)
	}
	if c.stuck.Load() {
		abort(c.Conn)
		return nil
	}
	return c.Conn.Close()
}

func (c *conn) hear() {
	if !c.heard.Load() && c.heard.CompareAndSwap(false, true) {
		c.of.count(-1)
	}
}

// connKey is where a request's context holds its *conn.
type connKey struct{}

// onConn is registered with every gated server. Bare says that no listener wrapper of an operator's is in use; write is how long
// a client may take none of what waits for it.
func (app *App) onConn(ctx context.Context, c net.Conn, bare bool, write time.Duration) context.Context {
	if hs, ok := ctx.Value(http.ServerContextKey).(*http.Server); ok {
		app.h2.guard(hs, app.metered, write)
	}
	if ours := ourConn(c); ours != nil {
		ours.leaked, ours.write = app.CredentialLeaked, write
		if bare && !app.proxiesUnknown {
			ours.of.app.Store(app)
		}
		app.join(c, ours)
		return context.WithValue(ctx, connKey{}, ours)
	}
	return ctx
}

// Heard says that a handler has the connection's first request, which net/http will now answer whatever happens to its
// server. (Of HTTP/1, StateActive is too early: the server looks at whether it is shutting down after that.)
func Heard(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.hear()
	}
}

// onState is registered with every gated server, for what no handler sees: connections that end without a request, and
// HTTP/2, whose server answers every stream that it has taken.
func onState(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		return
	}
	if state == http.StateActive {
		secure, ok := c.(interface{ ConnectionState() tls.ConnectionState })
		if !ok || secure.ConnectionState().NegotiatedProtocol != "h2" {
			return
		}
	}
	if ours := ourConn(c); ours != nil {
		ours.hear()
		if state == http.StateHijacked {
			ours.tunnel.Store(true)
		}
	}
}

// ourConn looks for ours below a connection; nil when an operator's listener wrapper hides it.
func ourConn(c net.Conn) *conn {
	for c != nil {
		if ours, ok := c.(*conn); ok {
			return ours
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = outer.NetConn()
	}
	return nil
}
