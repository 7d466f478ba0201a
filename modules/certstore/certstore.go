package certstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const (
	bucket  = store.Bucket("certmagic")
	locks   = store.Bucket("certlock")
	purpose = "certificates"

	lockLasts = 30 * time.Second // without a word from its holder
	lockPause = 500 * time.Millisecond
	stampSize = 8
)

// Storage implements [certmagic.Storage]. It is safe for concurrent use.
type Storage struct {
	open func() (store.Store, *keyring.Ring, error)

	mu   sync.Mutex
	held map[string]func() // guarded by mu; by name: ends the renewal of a lock
}

// New returns what is kept in a store, sealed with keys. open returns both, whenever one of them is needed.
func New(open func() (store.Store, *keyring.Ring, error)) *Storage {
	return &Storage{open: open, held: map[string]func(){}}
}

// clean is the key as all spell it: without slashes at the ends.
func clean(key string) string { return strings.Trim(path.Clean("/"+key), "/") }

func keyOf(key string) store.Key { return store.Key{Bucket: bucket, ID: clean(key)} }

// Store implements certmagic.Storage.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	st, keys, err := s.open()
	if err != nil {
		return err
	}
	k := keyOf(key)
	text := append(binary.BigEndian.AppendUint64(make([]byte, 0, stampSize+len(value)), uint64(time.Now().UnixMilli())), value...)
	_, err = st.Put(ctx, k, keys.Seal(purpose, text, []byte(k.ID)), store.PutOptions{})
	return told(err, key)
}

// Load implements certmagic.Storage.
func (s *Storage) Load(ctx context.Context, key string) ([]byte, error) {
	value, _, err := s.load(ctx, key)
	return value, err
}

func (s *Storage) load(ctx context.Context, key string) (value []byte, modified time.Time, err error) {
	st, ring, err := s.open()
	if err != nil {
		return nil, modified, err
	}
	k := keyOf(key)
	item, err := st.Get(ctx, k)
	if err != nil {
		return nil, modified, told(err, key)
	}
	text, err := ring.OpenStored(purpose, item.Value, []byte(k.ID))
	if err != nil || len(text) < stampSize {
		return nil, modified, fmt.Errorf("%s cannot be opened with the house's keys: %w", key, errors.Join(err, store.ErrCorrupt))
	}
	return text[stampSize:], time.UnixMilli(int64(binary.BigEndian.Uint64(text))), nil
}

// told is the store's error as callers of a certmagic.Storage expect it.
func told(err error, key string) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%s: %w", key, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// below returns the keys in a directory, at any depth, sorted.
func (s *Storage) below(ctx context.Context, dir string) (keys []string, err error) {
	st, _, err := s.open()
	if err != nil {
		return nil, err
	}
	prefix := clean(dir)
	if prefix != "" {
		prefix += "/"
	}
	for item, err := range st.Scan(ctx, bucket, "") {
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(item.Key.ID, prefix) {
			keys = append(keys, item.Key.ID)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// Delete implements certmagic.Storage: the key and what is below it.
func (s *Storage) Delete(ctx context.Context, key string) error {
	st, _, err := s.open()
	if err != nil {
		return err
	}
	keys, err := s.below(ctx, key)
	if err != nil {
		return told(err, key)
	}
	gone := []store.Key{keyOf(key)}
	for _, k := range keys {
		gone = append(gone, store.Key{Bucket: bucket, ID: k})
	}
	return told(st.Delete(ctx, gone...), key)
}

// Exists implements certmagic.Storage. What cannot be found out is not there, as callers cannot be told.
func (s *Storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List implements certmagic.Storage: what is directly in a directory, or all keys below it.
func (s *Storage) List(ctx context.Context, dir string, recursive bool) ([]string, error) {
	keys, err := s.below(ctx, dir)
	if err != nil {
		return nil, told(err, dir)
	}
	if len(keys) == 0 && clean(dir) != "" {
		return nil, fmt.Errorf("%s: %w", dir, fs.ErrNotExist)
	}
	if recursive {
		return keys, nil
	}
	depth := 1
	if d := clean(dir); d != "" {
		depth += strings.Count(d, "/") + 1
	}
	for i, k := range keys {
		keys[i] = strings.Join(strings.SplitN(k, "/", depth+1)[:depth], "/")
	}
	return slices.Compact(keys), nil
}

// Stat implements certmagic.Storage.
func (s *Storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, modified, err := s.load(ctx, key)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: modified, Size: int64(len(value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	keys, scan := s.below(ctx, key)
	if scan != nil {
		return certmagic.KeyInfo{}, told(scan, key)
	}
	if len(keys) == 0 {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: key}, nil
}

// Lock implements certmagic.Locker. While it is held it is renewed, so that it ends soon after its holder has.
func (s *Storage) Lock(ctx context.Context, name string) error {
	for {
		ok, err := s.TryLock(ctx, name)
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// TryLock implements certmagic.TryLocker.
func (s *Storage) TryLock(ctx context.Context, name string) (bool, error) {
	st, _, err := s.open()
	if err != nil {
		return false, err
	}
	k := store.Key{Bucket: locks, ID: name}
	_, err = st.Put(ctx, k, []byte(rand.Text()), store.PutOptions{TTL: lockLasts, Match: store.Absent})
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("locking %s: %w", name, err)
	}
	renewing, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		renew(renewing, st, k)
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[name] = func() {
		end()
		<-ended
	}
	return true, nil
}

// renew keeps a lock until ctx ends. What the store does not hear of in time is lost: then somebody else may hold it, too, as with
// any lock whose holder cannot be reached.
func renew(ctx context.Context, st store.Store, k store.Key) {
	tick := time.NewTicker(lockLasts / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = st.Touch(ctx, map[store.Key]time.Time{k: time.Now().Add(lockLasts)}) // tried again in a moment
		}
	}
}

// Unlock implements certmagic.Locker.
func (s *Storage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	end := s.held[name]
	delete(s.held, name)
	s.mu.Unlock()
	if end == nil {
		return fmt.Errorf("unlocking %s, which is not held", name)
	}
	end()
	st, _, err := s.open()
	if err != nil {
		return err
	}
	if err := st.Delete(ctx, store.Key{Bucket: locks, ID: name}); err != nil {
		return fmt.Errorf("unlocking %s, which is free in %v: %w", name, lockLasts, err)
	}
	return nil
}

// Close ends the renewal of all locks that are still held.
func (s *Storage) Close() {
	s.mu.Lock()
	held := s.held
	s.held = map[string]func(){}
	s.mu.Unlock()
	for _, end := range held {
		end()
	}
}

var (
	_ certmagic.Storage   = (*Storage)(nil)
	_ certmagic.TryLocker = (*Storage)(nil)
)
