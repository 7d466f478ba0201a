package standing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const (
	bucket  store.Bucket = "standing"
	purpose              = "standing"

	// pendingFor is how long somebody who asked for an account is remembered without an answer.
	pendingFor = 90 * 24 * time.Hour
	// retryEvery is how often what could not be read is read again.
	retryEvery = time.Second
	// attempts bound how often an update is tried against others.
	attempts = 16
)

// MaxPending is how many people may wait for approval at one time, of each provider.
const MaxPending = 10_000

// ErrTooMany says that too many people wait for approval already.
var ErrTooMany = errors.New("too many people wait for approval")

// Book keeps the records, and the node's copy of those that forbid something. Make one with [Open]; it is safe for
// concurrent use and must be closed before the store.
type Book struct {
	store store.Store
	keys  *keyring.Ring

	marked atomic.Int64 // len(marks)

	reading sync.Mutex // held from reading a record until it is noted, so that what is noted last was read last

	mu    sync.RWMutex
	marks map[id]mark                // guarded by mu; who is not in good standing, or has credentials that do not count
	names map[Person]mark            // guarded by mu; the same, as far as it is known who they are
	due   map[id]struct{}            // guarded by mu; records that could not be read
	hears map[*func(Person)]struct{} // guarded by mu

	stop context.CancelFunc
	done sync.WaitGroup
}

// mark is what a node remembers of a record that forbids something.
type mark struct {
	barred    bool
	notBefore time.Time
	who       Person // zero when that could not be read
}

func (m mark) allows(issued time.Time) bool { return !m.barred && !issued.Before(m.notBefore) }

// Open reads the book and follows what other nodes write into it.
func Open(st store.Store, keys *keyring.Ring) (*Book, error) {
	ctx, cancel := context.WithCancel(context.Background())
	b := &Book{
		store: st, keys: keys, stop: cancel,
		marks: map[id]mark{}, names: map[Person]mark{}, due: map[id]struct{}{}, hears: map[*func(Person)]struct{}{},
	}
	feed, err := st.Watch(ctx, bucket)
	if err == nil {
		err = b.read(ctx)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("reading people's standing: %w", err)
	}
	b.done.Go(func() { b.follow(ctx, feed) })
	return b, nil
}

// Destruct stops following.
func (b *Book) Destruct() error {
	b.stop()
	b.done.Wait()
	return nil
}

// Allows reports whether a credential that was issued to the person at that time counts on this node. A zero time is
// before any revocation.
func (b *Book) Allows(provider, subject string, issued time.Time) bool {
	if b.marked.Load() == 0 { // Fast path
		return true
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if len(b.names) < len(b.marks) { // some could not be read: theirs have no names
		if m, ok := b.marks[idOf(provider, subject)]; ok {
			return m.allows(issued)
		}
	}
	m, ok := b.names[Person{provider, subject}]
	return !ok || m.allows(issued)
}

// Get returns the person's record from the store: of somebody without one, State Unknown.
func (b *Book) Get(ctx context.Context, p Person) (Record, error) {
	r, _, err := b.get(ctx, p)
	return r, err
}

func (b *Book) get(ctx context.Context, p Person) (Record, uint64, error) {
	item, err := b.store.Get(ctx, idOf(p.Provider, p.Subject).key())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Record{Person: p}, 0, nil
	case err != nil:
		return Record{}, 0, fmt.Errorf("reading somebody's standing: %w", err)
	}
	r, err := b.open(item)
	return r, item.Version, err
}

// Update has change alter the person's record, and stores it durably; change may be called more than once. When it
// returns an error, nothing is written and Update returns it with the record as it was. A record that is damaged is
// replaced.
func (b *Book) Update(ctx context.Context, p Person, change func(*Record) error) (Record, error) {
	for range attempts {
		r, version, err := b.get(ctx, p)
		if err != nil && (version == 0 || errors.Is(err, keyring.ErrUnknownKey)) { // what another gateway has sealed is not replaced
			return Record{}, err
		}
		if err != nil {
			r = Record{}
		}
		before := r
		r.Person = p
		if err := change(&r); err != nil {
			return before, err
		}
		o := store.PutOptions{Match: store.Absent, Index: []string{index(p.Provider, r.State)}}
		if version != 0 {
			o.Match, o.Version = store.Version, version
		}
		if r.State == Pending {
			o.TTL = pendingFor
		}
		err = b.put(ctx, r, o)
		if !errors.Is(err, store.ErrConflict) {
			return r, err
		}
	}
	return Record{}, fmt.Errorf("writing somebody's standing: %w", store.ErrConflict)
}

// Ask files that a person wants to log in who needs approval, unless something is known of them, and returns what is.
// filed says that they are new. ErrTooMany: so many wait that this one is not remembered.
func (b *Book) Ask(ctx context.Context, asking Record) (r Record, filed bool, err error) {
	n := 0
	for _, err := range b.store.Scan(ctx, bucket, index(asking.Provider, Pending)) {
		if err != nil {
			return Record{}, false, fmt.Errorf("counting who waits for approval: %w", err)
		}
		if n++; n >= MaxPending {
			return Record{}, false, ErrTooMany
		}
	}
	r, err = b.Update(ctx, asking.Person, func(r *Record) error {
		if r.State != Unknown {
			return errKnown
		}
		now := time.Now().UTC().Truncate(time.Second)
		notBefore := r.NotBefore
		*r = asking
		r.State, r.NotBefore, r.Asked, r.Changed = Pending, notBefore, now, now
		return nil
	})
	if errors.Is(err, errKnown) {
		return r, false, nil
	}
	return r, err == nil, err
}

var errKnown = errors.New("known already")

// Forget removes the record, and with it what it forbade.
func (b *Book) Forget(ctx context.Context, p Person) error {
	i := idOf(p.Provider, p.Subject)
	if err := b.store.Delete(ctx, i.key()); err != nil {
		return fmt.Errorf("forgetting somebody's standing: %w", err)
	}
	b.reread(ctx, i)
	return nil
}

// List returns the records of a provider in that state; of all providers and states when they are empty.
func (b *Book) List(ctx context.Context, provider string, state State) ([]Record, error) {
	ix := ""
	if provider != "" && state != Unknown {
		ix = index(provider, state)
	}
	var all []Record
	for item, err := range b.store.Scan(ctx, bucket, ix) {
		if err != nil {
			return nil, fmt.Errorf("listing people's standing: %w", err)
		}
		r, err := b.open(item)
		if err != nil {
			return nil, err
		}
		if (provider == "" || r.Provider == provider) && (state == Unknown || r.State == state) {
			all = append(all, r)
		}
	}
	return all, nil
}

// OnChange has f called with each person whose record was written, on any node, after Allows says so here; perhaps more
// than once. f must not block. stop ends that; f may be running still when it returns.
func (b *Book) OnChange(f func(Person)) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hears[&f] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.hears, &f)
	}
}

func index(provider string, s State) string { return provider + "/" + string(s) }

func (b *Book) put(ctx context.Context, r Record, o store.PutOptions) error {
	plain, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding somebody's standing: %w", err)
	}
	i := idOf(r.Provider, r.Subject)
	key := i.key()
	if _, err := b.store.Put(ctx, key, b.keys.Seal(purpose, plain, []byte(key.ID)), o); err != nil {
		return fmt.Errorf("writing somebody's standing: %w", err)
	}
	b.reread(ctx, i)
	return nil
}
