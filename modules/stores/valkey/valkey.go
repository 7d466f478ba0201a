package valkey

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	driver "github.com/valkey-io/valkey-go"

	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/secret"
	"gatehouse.internal/modules/internal/store"
)

// Options say where a store is. Addresses, and Keys with a key, are needed.
type Options struct {
	// Addresses are those of servers, or of sentinels if Sentinel is set: host:port, or unix//path. More than one without
	// a Sentinel is a cluster.
	Addresses []string
	// Sentinel names the primary that sentinels know.
	Sentinel string
	// TLS, nil for none.
	TLS *tls.Config
	// User and Password of the server's access list; empty: none. A password without a user is the default user's.
	User     string
	Password secret.String
	// Name tells stores on one server apart; empty: "gatehouse".
	Name string
	// Node is what this gateway says of itself to the others: a host name, a version. Empty: it is not listed.
	Node string
	// Grace is for how long what this gateway knows counts while it hears nothing of the others; zero: DefaultGrace.
	Grace time.Duration
	// Replicas must have a change before it is acknowledged; zero: none need to. Not for a cluster.
	Replicas int
	// ReplicasWithin is how long a change waits for them; zero: DefaultReplicasWithin.
	ReplicasWithin time.Duration
	// Keys seal the store's own key. All nodes need the same.
	Keys *keyring.Ring
	// Tell is told what an operator should know; it may be nil. It must not call the store.
	Tell func(Notice)

	mover bool             // the store is opened to be moved
	wall  func() time.Time // this node's wall clock; nil: the machine's
}

// Notice is something about the store that an operator should know.
type Notice string

// The notices.
const (
	// Cut: the feed of changes was interrupted. Until Joined, this node does not hear what others do.
	Cut Notice = "cut"
	// Alone: it has been cut for longer than the grace. What this node knows counts no more; it is read, or nobody is let in.
	Alone Notice = "alone"
	// Joined: the feed is there again, and local copies are being read anew.
	Joined Notice = "joined"
	// Emptied: the server has lost what it held. Everybody logs in anew; bans are lost.
	Emptied Notice = "emptied"
	// Slow: the server has taken longer than slowAnswer for each of the last slowBeats beats. Until Brisk.
	Slow Notice = "slow"
	// Brisk: it answers soon again.
	Brisk Notice = "brisk"
	// Skewed: store time and this node's wall clock are more than a minute apart; told again when they were not meanwhile.
	Skewed Notice = "skewed"
	// Refused: what is on the server is of another schema, or is being moved: this node may not write to it.
	Refused Notice = "refused"
)

// DefaultGrace is as long as sessions go on that their provider does not renew.
const DefaultGrace = 10 * time.Minute

// dialTimeout bounds connecting, answerTimeout the wait for an answer on a connection: a server that does not answer for
// so long is connected to anew. Callers wait less long, see store.Bounded.
const (
	dialTimeout   = 3 * time.Second
	answerTimeout = 5 * time.Second
)

// remote keeps the store on a server. Three goroutines until Close: the feed, the heart and the sweeper; a fourth while replicas are asked.
type remote struct {
	*store.Feed
	client driver.Client
	opts   Options
	prefix []string // of one element: what scripts get as KEYS
	node   string   // random: tells this node's own messages from others'
	clock  *clock
	sealer *sealer

	key      []byte                       // the store's key, sealed by the ring: what the heart puts back
	epoch    string                       // the heart's: names what the server holds
	heard    atomic.Uint64                // number of the feed's last message; 0: none since the feed began
	base     atomic.Uint64                // number of the feed's last message when it began
	alone    atomic.Bool                  // the feed has been cut for longer than the grace
	feeding  atomic.Bool                  // the feed is there
	cut      atomic.Pointer[func()]       // cuts the feed, so that it begins anew
	down     atomic.Pointer[error]        // what the heart met last; nil: it went well
	refused  atomic.Pointer[error]        // of another form, or moved, by the last beat: nothing is read or written; nil: it is not
	beaten   atomic.Pointer[time.Time]    // when the server last answered a beat
	beats    atomic.Uint64                // that might have asked who is there
	took     atomic.Int64                 // nanoseconds that the last answer to a beat took
	few      atomic.Pointer[error]        // the last change is on too few replicas; nil: on enough
	replicas atomic.Int64                 // that had the last change
	asking   atomic.Bool                  // somebody asks whether enough replicas have it now
	turns    chan struct{}                // one element for each change that waits for replicas
	nodes    atomic.Pointer[[]store.Node] // as of the last beat
	kick     chan struct{}                // capacity 1: a reader met an expired item
	done     context.Context              // ends with Close
	end      context.CancelFunc           // ends done
	running  sync.WaitGroup               // the goroutines

	mu     sync.RWMutex // held for reading by calls
	closed bool         // guarded by mu
}

// Open connects to the store, and makes it if the server holds none of the name. It fails when no server answers, when it
// is no Redis 7 or Valkey, or when the store was made by gateways with other master keys.
func Open(ctx context.Context, o Options) (store.Store, error) {
	if o.Name == "" {
		o.Name = "gatehouse"
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.ReplicasWithin == 0 {
		o.ReplicasWithin = DefaultReplicasWithin
	}
	if o.Tell == nil {
		o.Tell = func(Notice) {}
	}
	client, err := driver.NewClient(o.driver())
	if err == nil && o.Replicas > 0 && client.Mode() == driver.ClientModeCluster { // it may be named by one address
		client.Close()
		err = errCluster
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", strings.Join(o.Addresses, ", "), err)
	}
	s := &remote{
		Feed: store.NewFeed(), client: client, opts: o, clock: newClock(),
		prefix: []string{"{gatehouse:" + o.Name + "}:"}, node: rand.Text(),
		kick: make(chan struct{}, 1), turns: make(chan struct{}, blocking-2),
	}
	if o.wall != nil {
		s.clock.wallIs = o.wall
	}
	if o.mover {
		s.node = mover + s.node
	}
	s.done, s.end = context.WithCancel(context.Background())
	if err := s.begin(ctx); err != nil {
		s.end()
		client.Close()
		return nil, fmt.Errorf("opening the store at %s: %w", strings.Join(o.Addresses, ", "), err)
	}
	return s, nil
}

func (o Options) driver() driver.ClientOption {
	c := driver.ClientOption{
		InitAddress: o.Addresses, TLSConfig: o.TLS,
		Username: o.User, Password: o.Password.Reveal(),
		ClientName: "gatehouse", DisableCache: true, ConnWriteTimeout: answerTimeout,
		Dialer: net.Dialer{Timeout: dialTimeout, KeepAlive: time.Second},
		// A write that was sent may have happened: it is never repeated. Reads are repeated once, by us (ask).
		DisableRetry: true,
		// Buffers for items of a megabyte are for the few that are so large.
		ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10,
		BlockingPoolSize: blocking,
	}
	if o.Sentinel != "" {
		c.Sentinel = driver.SentinelOption{
			MasterSet: o.Sentinel, TLSConfig: o.TLS, Username: o.User, Password: o.Password.Reveal(), ClientName: "gatehouse",
		}
	}
	c.DialCtxFn = func(ctx context.Context, address string, d *net.Dialer, secure *tls.Config) (net.Conn, error) {
		if err := egress.Check("tcp", address); err != nil {
			return nil, err
		}
		if secure != nil {
			return (&tls.Dialer{NetDialer: d, Config: secure}).DialContext(ctx, "tcp", address)
		}
		return d.DialContext(ctx, "tcp", address)
	}
	if len(o.Addresses) == 1 {
		if path, ok := strings.CutPrefix(o.Addresses[0], "unix/"); ok {
			c.InitAddress = []string{path}
			c.ForceSingleClient = true
			c.DialCtxFn = func(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
				return d.DialContext(ctx, "unix", path)
			}
		}
	}
	return c
}

// begin makes or opens the store's key, and starts what goes on in the background. The feed is there when it returns.
func (s *remote) begin(ctx context.Context) error {
	beat, err := s.beat(ctx, newStoreKey(s.opts.Keys, s.prefix[0]))
	if err != nil {
		return err
	}
	s.key, s.epoch = beat.key, beat.epoch
	if s.sealer, err = openStoreKey(s.opts.Keys, s.prefix[0], beat.key); err != nil {
		return err
	}
	if s.opts.Replicas > 0 {
		if err := s.mayWait(ctx); err != nil {
			return err
		}
	}
	joined := make(chan error, 1)
	s.running.Go(func() { s.feedLoop(joined) })
	select {
	case err := <-joined:
		if err != nil {
			s.end()
			s.running.Wait()
			return err
		}
	case <-ctx.Done():
		s.end()
		s.running.Wait()
		return ctx.Err()
	}
	s.running.Go(s.heartLoop)
	s.running.Go(s.sweepLoop)
	return nil
}

// enter begins a call, unless what lies on the server is not for this program: then what it would read may mean something else, or
// may have been changed elsewhere since. leave must be called if there is no error.
func (s *remote) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, store.ErrClosed
	}
	if no := s.refused.Load(); no != nil {
		s.mu.RUnlock()
		return nil, *no
	}
	return s.mu.RUnlock, nil
}

// Snapshot is unsupported: the server has its own.
func (s *remote) Snapshot(ctx context.Context, _ io.Writer) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return fmt.Errorf("store: snapshot of a server: %w", errors.ErrUnsupported)
}

// Health asks the server, and says what keeps the feed of changes or the last sweep from working.
func (s *remote) Health(ctx context.Context) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.failure(ctx, s.client.Do(ctx, s.client.B().Get().Key(s.prefix[0]+"key").Build()).Error()); err != nil {
		return err
	}
	if p := s.down.Load(); p != nil {
		return *p
	}
	if p := s.few.Load(); p != nil {
		return *p
	}
	if !s.feeding.Load() {
		return fmt.Errorf("%w: no feed of changes", store.ErrDown)
	}
	if d := s.skew(); d.Abs() > skewWarn {
		return fmt.Errorf("%w: this node's differs from the store's by %v", store.ErrClock, d.Round(time.Second))
	}
	return nil
}

// Close implements store.Store.
func (s *remote) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.running.Wait()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.running.Wait()
	s.unlist()
	s.client.Close()
	s.Feed.Shut()
	return nil
}

// unlist has the others know at once that this node is gone. If that fails, they know once it has been silent for long enough.
func (s *remote) unlist() {
	if s.opts.Node == "" || s.down.Load() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.client.Do(ctx, s.client.B().Hdel().Key(s.prefix[0]+"nodes").Field(s.node).Build())
}

// failure tells what an error of the driver means to a caller.
func (s *remote) failure(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, driver.ErrClosing):
		return store.ErrClosed
	}
	if answer, ok := driver.IsValkeyErr(err); ok {
		switch what, rest, _ := strings.Cut(answer.Error(), " "); what {
		case "OOM":
			return fmt.Errorf("%w: the server is out of memory", store.ErrFull)
		case "MOVING":
			return store.ErrMoving
		case "SCHEMA":
			other, _, _ := strings.Cut(rest, " ")
			whose := "a newer version's"
			if n, err := strconv.Atoi(other); err == nil && n < schemaNumber {
				whose = "an older version's"
			}
			return fmt.Errorf("%w: %w: the state on the server has form %s, which is %s; this program's is %d: run the same version everywhere", store.ErrDown, store.ErrSchema, other, whose, schemaNumber)
		}
	}
	return fmt.Errorf("%w: %w", store.ErrDown, err)
}
