package gatehouse

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Caddy opens one more SO_REUSEPORT socket at each reload and closes the old one. The kernel spreads new connections
// over both, and what waits in the old one's accept queue when it closes is reset: about ten connections per reload
// at 2,000 a second. A gated server's TCP addresses are therefore opened through a network of our own: one listening
// socket for as long as any configuration uses the address, whose accepted connections go to whichever configuration
// is listening. Nothing is ever queued on a socket that closes (test: TestReloadLosesNoNewConnection).

// networkPrefix marks the networks below; the rest of the name is the real network.
const networkPrefix = "gatehouse_"

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
	shared, _, err := sockets.LoadOrNew(key, func() (caddy.Destructor, error) {
		ln, err := cfg.Listen(ctx, network, address)
		if err != nil {
			return nil, err
		}
		s := &socket{ln: ln, accepted: make(chan accepted), closed: make(chan struct{})}
		go s.accept()
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	return &listener{socket: shared.(*socket), key: key, closed: make(chan struct{})}, nil
}

// socket is one listening socket and the goroutine that accepts on it.
type socket struct {
	ln       net.Listener
	accepted chan accepted
	closed   chan struct{}
}

type accepted struct {
	conn net.Conn
	err  error
}

// accept hands over what the socket accepts until it closes. The channel has no buffer: the kernel's queue is the
// only queue, and a server that backs off after a temporary error slows the loop down as it would without us.
func (s *socket) accept() {
	for {
		conn, err := s.ln.Accept()
		if !s.hand(accepted{conn, err}) {
			return
		}
	}
}

// hand gives a to one listener; it reports false, having closed the connection, when the socket is closed.
func (s *socket) hand(a accepted) bool {
	select {
	case s.accepted <- a:
		return true
	case <-s.closed:
		if a.conn != nil {
			a.conn.Close()
		}
		return false
	}
}

// Destruct closes the socket when its last listener has closed.
func (s *socket) Destruct() error {
	close(s.closed)
	return s.ln.Close()
}

// listener is one configuration's use of a socket.
type listener struct {
	*socket
	key    string
	once   sync.Once
	closed chan struct{}
}

// Accept returns the next connection, or net.ErrClosed after Close.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.closedErr()
	default:
	}
	select {
	case a := <-l.socket.accepted:
		select {
		case <-l.closed: // both were ready and chance chose: it belongs to the next configuration
			go l.hand(a)
			return nil, l.closedErr()
		default:
			return a.conn, a.err
		}
	case <-l.closed:
		return nil, l.closedErr()
	}
}

// Close ends this use; the socket stays open while another configuration uses it.
func (l *listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closed)
		_, err = sockets.Delete(l.key)
	})
	return err
}

// Addr is the address the socket really has, also when port 0 was asked for.
func (l *listener) Addr() net.Addr { return l.ln.Addr() }

func (l *listener) closedErr() error {
	return &net.OpError{Op: "accept", Net: l.ln.Addr().Network(), Addr: l.ln.Addr(), Err: net.ErrClosed}
}
