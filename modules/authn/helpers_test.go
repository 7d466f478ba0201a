package authn

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/store"
)

// issuer is an identity provider that renews: with rotation, as strict ones do, it accepts what it gave last only.
type issuer struct {
	takes time.Duration // what an answer takes
	lasts time.Duration // for how long it vouches each time
	calls atomic.Int64

	mu    sync.Mutex
	last  string                      // guarded by mu; what it gave last
	roles []string                    // guarded by mu
	fail  func(n int64) error         // guarded by mu; what the nth call answers, if not nil
	check func(v *gatehouse.Vouching) // guarded by mu; changes the answer
	seen  func(ctx context.Context)   // guarded by mu; called while the answer is being made
}

func (i *issuer) vouch(subject string) *gatehouse.Vouching {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.vouchLocked(subject)
}

func (i *issuer) vouchLocked(subject string) *gatehouse.Vouching {
	i.last += "x"
	return &gatehouse.Vouching{
		Identity: person(subject, i.roles...), Keep: []byte(subject + " " + i.last), SID: "sid-" + subject, Renew: time.Now().Add(i.lasts),
	}
}

func (i *issuer) Renew(ctx context.Context, keep []byte) (*gatehouse.Vouching, error) {
	n := i.calls.Add(1)
	i.mu.Lock()
	seen, fail := i.seen, i.fail
	i.mu.Unlock()
	if seen != nil {
		seen(ctx)
	}
	select {
	case <-time.After(i.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if fail != nil {
		if err := fail(n); err != nil {
			return nil, err
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if string(keep) != "ada "+i.last {
		return nil, errVouchingEnded
	}
	v := i.vouchLocked("ada")
	if i.check != nil {
		i.check(v)
	}
	return v, nil
}

func (i *issuer) set(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// limits are the usual ones, with this issuer to renew.
func (i *issuer) limits() Limits {
	l := limits
	l.Grace = 10 * time.Minute
	l.Renewer = func(provider string) renewer {
		if provider != "local" {
			return nil
		}
		return i
	}
	return l
}

func (i *issuer) login(t testing.TB, s *Sessions) string {
	t.Helper()
	return i.loginUnder(t, s, i.limits())
}

func (i *issuer) loginUnder(t testing.TB, s *Sessions, l Limits) string {
	t.Helper()
	token, _, err := s.Create(t.Context(), *i.vouch("ada"), host, Meta{Agent: "Firefox on Linux", Network: "192.0.2.0/24"}, l)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// log collects events.
type log struct {
	mu     sync.Mutex
	events []event.Event // guarded by mu
}

func (l *log) publish(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func (l *log) kinds(kind event.Kind) (found []event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// enter opens a visit that the test will find cut or not.
func enter(t testing.TB, s *Sessions, token string, l Limits) *Visit {
	t.Helper()
	v, err := s.Enter(runs(t), token, host, l, Use{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// faulty is a store whose methods can be made to fail.
type faulty struct {
	store.Store
	put atomic.Pointer[func(k store.Key) error]
	get atomic.Pointer[func(k store.Key) error]
	// counts of calls on sessions
	gets, puts, touches atomic.Int64
}

func (f *faulty) Put(ctx context.Context, k store.Key, value []byte, o store.PutOptions) (uint64, error) {
	if k.Bucket == sessionBucket {
		f.puts.Add(1)
	}
	if fail := f.put.Load(); fail != nil {
		if err := (*fail)(k); err != nil {
			return 0, err
		}
	}
	return f.Store.Put(ctx, k, value, o)
}

func (f *faulty) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if k.Bucket == sessionBucket {
		f.gets.Add(1)
	}
	if fail := f.get.Load(); fail != nil {
		if err := (*fail)(k); err != nil {
			return store.Item{}, err
		}
	}
	return f.Store.Get(ctx, k)
}

func (f *faulty) Touch(ctx context.Context, to map[store.Key]time.Time) error {
	f.touches.Add(int64(len(to)))
	return f.Store.Touch(ctx, to)
}

var errBroken = errors.Join(store.ErrDown, errors.New("broken for a test"))

func down(store.Key) error { return errBroken }

// runs returns a request that runs as long as the test does.
func runs(t testing.TB) *running.Run { return running.New(t.Context(), nil) }

// cutBy returns why the visit was cut, or "".
func (v *Visit) cutBy() string {
	c, _ := v.run.WasCut()
	return c.Why
}
