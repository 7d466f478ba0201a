package gatehouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/store"
)

// State is what outlives a configuration: the store, the keys, the bus, and what rooms keep beside them.
// It is opened by the first generation that needs it, shared by overlapping ones, and closed with the last (CADDY 2).
type State struct {
	Store store.Store
	Keys  *keyring.Ring
	Bus   *event.Bus
	// Audit keeps what the bus carries, but for what only tells of requests.
	Audit *AuditLog
	// Standing says who may use the house at all. Whoever accepts a credential asks it, for each request.
	Standing *standing.Book

	leave func() // the key file is followed no more

	mu     sync.Mutex
	kept   map[string]any     // guarded by mu
	order  []caddy.Destructor // guarded by mu
	closed bool               // guarded by mu
}

// states holds the open State of each distinct opening, keyed by stateKey.
var states = caddy.NewUsagePool()

type stateKey struct{ dir, keys, store string }

func (k stateKey) keysFile() string { return cmp.Or(k.keys, filepath.Join(k.dir, "keys")) }

// KeysPath is where the house's master keys are.
func (app *App) KeysPath() string { return app.key.keysFile() }

// Keep returns the value that was kept under name, making it at first use. It is destructed, in reverse order of
// making, before the store closes. Names are "room.what"; make must not call Keep.
func (s *State) Keep(name string, make func() (caddy.Destructor, error)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if v, ok := s.kept[name]; ok {
		return v, nil
	}
	v, err := make()
	if err != nil {
		return nil, fmt.Errorf("keeping %s: %w", name, err)
	}
	s.kept[name] = v
	s.order = append(s.order, v)
	return v, nil
}

// Destruct closes everything: called by the pool when the last generation has let go.
func (s *State) Destruct() error {
	s.mu.Lock()
	s.closed = true
	order := s.order
	s.order, s.kept = nil, nil
	s.mu.Unlock()

	var errs []error
	for i := len(order) - 1; i >= 0; i-- {
		errs = append(errs, order[i].Destruct())
	}
	s.Bus.Close()
	errs = append(errs, s.Audit.close())
	errs = append(errs, s.Standing.Destruct())
	s.leave()
	return errors.Join(append(errs, s.Store.Close())...)
}

// patience is how long anything waits for the store: a store that hangs is one that is down, and is answered for with 503.
var patience = store.Bounds{Read: 900 * time.Millisecond, Write: 5 * time.Second}

// BoundStore returns the store, for which nobody waits longer than the house does.
func BoundStore(st store.Store) store.Store { return store.Bounded(st, patience) }

// openState opens what key names; the directory is made with mode 0700 when missing.
func openState(key stateKey, open StoreOpener) (_ *State, err error) {
	if err := os.MkdirAll(key.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	keysFile := key.keysFile()
	var keys *keyring.Ring
	made := false
	if key.keys == "" {
		keys, made, err = keyring.LoadOrCreate(keysFile)
	} else {
		keys, err = keyring.Load(keysFile) // an operator's own file is never made up
	}
	if err != nil {
		return nil, fmt.Errorf("opening the keys: %w", err)
	}
	bus := event.NewBus()
	bus.Tap(count)
	st, err := open.OpenStore(key.dir, keys, bus)
	if err != nil {
		bus.Close()
		if made {
			err = errors.Join(err, os.Remove(keysFile)) // nothing was sealed with it, and the right one takes its place
		}
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	st = BoundStore(st)
	ctx := context.Background()
	err = keysFit(ctx, st, keys, keysFile)
	if err == nil {
		err = keepProof(ctx, st, keys)
	}
	if err != nil {
		if made && errors.Is(err, ErrOtherKeys) {
			err = errors.Join(err, os.Remove(keysFile)) // the right one takes its place
		}
		bus.Close()
		return nil, errors.Join(err, st.Close())
	}
	book, err := standing.Open(st, keys)
	if err != nil {
		bus.Close()
		return nil, errors.Join(err, st.Close())
	}
	return &State{
		Store: st, Keys: keys, Bus: bus, Audit: newAuditLog(filepath.Join(key.dir, AuditDir), keys, bus), Standing: book,
		leave: FollowKeys(keysFile, keys), kept: map[string]any{},
	}, nil
}
