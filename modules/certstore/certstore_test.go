package certstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

func ring(t *testing.T) *keyring.Ring {
	t.Helper()
	r, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func on(st store.Store, keys *keyring.Ring) *Storage {
	return New(func() (store.Store, *keyring.Ring, error) { return st, keys, nil })
}

// What one gateway stores, another has, as Caddy's own storage in files would.
func TestStorage(t *testing.T) {
	st, keys, ctx := store.NewMemory(), ring(t), t.Context()
	defer st.Close()
	a, b := on(st, keys), on(st, keys)
	for _, key := range []string{"certificates/ca/x.test/x.test.key", "certificates/ca/x.test/x.test.crt", "certificates/ca/y.test/y.test.crt", "acme/ca/users/me/me.json", "certificates2"} {
		if err := a.Store(ctx, key, []byte("of "+key)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Load(ctx, "certificates/ca/x.test/x.test.key")
	if err != nil || string(got) != "of certificates/ca/x.test/x.test.key" {
		t.Fatalf("%q, %v", got, err)
	}
	for _, tt := range []struct {
		dir       string
		recursive bool
		want      string
	}{
		{"", false, "acme certificates certificates2"},
		{"certificates", false, "certificates/ca"},
		{"certificates/ca/", false, "certificates/ca/x.test certificates/ca/y.test"},
		{"certificates/ca/x.test", false, "certificates/ca/x.test/x.test.crt certificates/ca/x.test/x.test.key"},
		{"certificates", true, "certificates/ca/x.test/x.test.crt certificates/ca/x.test/x.test.key certificates/ca/y.test/y.test.crt"},
	} {
		got, err := b.List(ctx, tt.dir, tt.recursive)
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("%q, %v: %v, %v, want %s", tt.dir, tt.recursive, got, err, tt.want)
		}
	}
	if _, err := b.List(ctx, "nowhere", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if i, err := b.Stat(ctx, "certificates2"); err != nil || !i.IsTerminal || i.Size != int64(len("of certificates2")) || time.Since(i.Modified) > time.Minute {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := b.Stat(ctx, "certificates/ca"); err != nil || i.IsTerminal {
		t.Errorf("%+v, %v", i, err)
	}
	if !b.Exists(ctx, "certificates/ca/x.test") || b.Exists(ctx, "certificates/c") {
		t.Error("what exists is wrong")
	}
	if err := b.Delete(ctx, "certificates"); err != nil {
		t.Fatal(err)
	}
	if left, err := a.List(ctx, "", true); err != nil || !slices.Equal(left, []string{"acme/ca/users/me/me.json", "certificates2"}) {
		t.Errorf("left are %v, %v", left, err)
	}
	if _, err := a.Load(ctx, "certificates/ca/x.test/x.test.key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was deleted: %v", err)
	}
	if err := b.Delete(ctx, "certificates"); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
}

// Whoever has the store has no private key; and what the keys do not open is no reason to obtain another.
func TestStorageIsSealed(t *testing.T) {
	st, keys, ctx := store.NewMemory(), ring(t), t.Context()
	defer st.Close()
	s := on(st, keys)
	if err := s.Store(ctx, "x.key", []byte("PRIVATE")); err != nil {
		t.Fatal(err)
	}
	item, err := st.Get(ctx, keyOf("x.key"))
	if err != nil || bytes.Contains(item.Value, []byte("PRIVATE")) {
		t.Fatalf("%q, %v", item.Value, err)
	}
	if _, err := st.Put(ctx, keyOf("y.key"), item.Value, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, other := range []struct {
		s   *Storage
		key string
	}{{on(st, ring(t)), "x.key"}, {s, "y.key"}} {
		if _, err := other.s.Load(ctx, other.key); !errors.Is(err, store.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", other.key, err)
		}
	}
}

// Of many who want a lock one has it at a time, for as long as it takes; one whose holder has died is free soon.
func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, keys, ctx := store.NewMemory(), ring(t), t.Context()
		var inside, most, rounds atomic.Int64
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				s := on(st, keys)
				if err := s.Lock(ctx, "x.test"); err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(5 * lockLasts) // obtaining a certificate takes its time
				inside.Add(-1)
				rounds.Add(1)
				if err := s.Unlock(ctx, "x.test"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != 1 || rounds.Load() != 5 {
			t.Errorf("%d at a time, %d in all", most.Load(), rounds.Load())
		}

		dead, next := on(st, keys), on(st, keys)
		if err := dead.Lock(ctx, "y.test"); err != nil {
			t.Fatal(err)
		}
		if ok, err := next.TryLock(ctx, "y.test"); ok || err != nil {
			t.Errorf("%v, %v: it is held", ok, err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := next.Lock(short, "y.test"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting ends with its context: %v", err)
		}
		dead.Close()
		begin := time.Now()
		if err := next.Lock(ctx, "y.test"); err != nil || time.Since(begin) > lockLasts+time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if err := next.Unlock(ctx, "y.test"); err != nil {
			t.Error(err)
		}
		if err := next.Unlock(ctx, "y.test"); err == nil {
			t.Error("what is not held is unlocked")
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}
