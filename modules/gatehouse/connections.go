package gatehouse

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/internal/clientip"
)

// How many TCP connections there may be at a time: all together, and from one client network. A connection costs memory
// (some 40 KiB with TLS) and a file descriptor before anybody is known, so that only their number can be bounded.
const (
	defaultConnections       = 16384
	defaultClientConnections = 4096 // of an office or a mobile network behind one address, too
)

var (
	connectionsOpen = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "gatehouse", Name: "connections_open", Help: "TCP connections that are open.",
	}, func() float64 { return float64(crowded.all.Load()) })
	connectionsMost = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "gatehouse", Name: "connections_limit", Help: "How many TCP connections may be open.",
	}, func() float64 { return float64(crowded.limit()) })
	connectionsRefused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "gatehouse", Name: "connections_refused_total",
		Help: "TCP connections closed at once because there were too many: of all clients, or of the client's network.",
	}, []string{"limit"})
)

// crowded counts the connections of all sockets, which outlive configurations.
var crowded = crowd{of: map[netip.Prefix]int{}}

type crowd struct {
	most atomic.Int64 // as the configuration in office says; zero: the default
	all  atomic.Int64

	peak   atomic.Int64 // how many there were at the most since memory was last given back
	giving atomic.Bool  // it will be, soon

	mu sync.Mutex
	of map[netip.Prefix]int // guarded by mu; of client networks that have any
}

// limit is how many there may be.
func (c *crowd) limit() int64 { return cmp.Or(c.most.Load(), defaultConnections) }

// enter counts a connection, unless there are too many.
func (c *crowd) enter() bool {
	n := c.all.Add(1)
	if n > c.limit() {
		c.all.Add(-1)
		return false
	}
	for peak := c.peak.Load(); n > peak && !c.peak.CompareAndSwap(peak, n); peak = c.peak.Load() {
	}
	return true
}

// manyConnections is from how many on their memory is given back to the system when most have gone, and giveBackAfter when.
const (
	manyConnections = 512
	giveBackAfter   = 30 * time.Second
)

// left says how many there are after one has left. Of a crowd that has gone, the memory is given back: a server that
// has nothing to do collects no garbage, and what it has collected it keeps for minutes. That costs a collection, and there is
// one in half a minute at the most, whatever clients do.
func (c *crowd) left(n int64) {
	if peak := c.peak.Load(); peak < manyConnections || n > peak/4 || !c.giving.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(giveBackAfter, func() {
		c.peak.Store(c.all.Load())
		debug.FreeOSMemory()
		c.giving.Store(false)
	})
}

func (c *crowd) leave(network netip.Prefix) {
	c.left(c.all.Add(-1))
	if !network.IsValid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[network]--; c.of[network] <= 0 {
		delete(c.of, network)
	}
}

// enterAs counts a connection, which is counted with all already, as the network's, unless that has too many.
func (c *crowd) enterAs(network netip.Prefix, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[network] >= most {
		return false
	}
	c.of[network]++
	return true
}

// BoundConnections says how many TCP connections there may be, all together and from one client network; zero leaves the
// default. It must be called while provisioning; the last word counts.
func (app *App) BoundConnections(all, client int) {
	if all > 0 {
		app.connections.all = all
	}
	if client > 0 {
		app.connections.client = client
	}
}

// join counts the connection as its client's, or closes it: of who is banned, and of who has too many. Nothing is known of it but its peer: proxies that the server
// trusts are no clients, nor is the peer one where a listener wrapper may learn of another from it (PROXY protocol).
func (app *App) join(c net.Conn, ours *conn) {
	most := app.connections.client
	if most == 0 {
		most = defaultClientConnections
	}
	if app.proxiesUnknown || !rightAbove(c, ours) {
		return
	}
	addr, known := peerOf(ours)
	if !known || app.trusts(addr) {
		return
	}
	if app.shutsOut(addr) {
		abort(ours.Conn)
		return
	}
	network := clientip.Network(addr)
	if !crowded.enterAs(network, most) {
		connectionsRefused.WithLabelValues("client").Inc()
		abort(ours.Conn)
		return
	}
	ours.network = network
}

// peerOf returns the address of the connection's other end.
func peerOf(c net.Conn) (netip.Addr, bool) {
	peer, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return clientip.Canonical(peer.AddrPort().Addr()), true
}

func (app *App) trusts(peer netip.Addr) bool {
	return slices.ContainsFunc(app.proxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// rightAbove reports whether nothing stands between the connection's TLS and ours.
func rightAbove(c net.Conn, ours *conn) bool {
	for c != nil {
		if outer, ok := c.(*tls.Conn); ok {
			return outer.NetConn() == net.Conn(ours)
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return false
		}
		c = outer.NetConn()
	}
	return false
}

// abort closes a connection without a farewell: whoever has too many is told so by the kernel, at the least cost.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
