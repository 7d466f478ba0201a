package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
)

var ctx = context.Background()

func open(t testing.TB, path string, o EmbeddedOptions) *embedded {
	t.Helper()
	s, err := OpenEmbedded(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // twice does no harm; tests that break the file see its error themselves
	return s.(*embedded)
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "gatehouse.db") }

func mustPut(t testing.TB, s Store, k Key, value string, o PutOptions) uint64 {
	t.Helper()
	v, err := s.Put(ctx, k, []byte(value), o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// edit changes the closed file behind the store's back.
func edit(t testing.TB, path string, fn func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "gatehouse.db")
	s := open(t, path, EmbeddedOptions{})
	k := Key{"user", "u"}
	v := mustPut(t, s, k, "one", PutOptions{Index: []string{"x"}})
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v; want %v", p, info.Mode().Perm(), err, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, EmbeddedOptions{})
	if it, err := s.Get(ctx, k); err != nil || string(it.Value) != "one" || it.Version != v {
		t.Errorf("Get = %+v, %v", it, err)
	}
	if v2 := mustPut(t, s, k, "two", PutOptions{}); v2 <= v {
		t.Errorf("version %d after %d", v2, v)
	}
}

// withSchema makes a store file that claims schema v.
func withSchema(v uint32) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		if err := open(t, path, EmbeddedOptions{}).Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bolt.Tx) error {
			return tx.Bucket(metaBucket).Put(schemaKey, binary.BigEndian.AppendUint32(nil, v))
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*testing.T, string)
		want    error // nil: any
	}{
		{"newer schema", withSchema(schemaVersion + 1), ErrSchema},
		{"schema zero", withSchema(0), ErrSchema},
		{"another program's bbolt file", func(t *testing.T, path string) {
			edit(t, path, func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err })
		}, ErrSchema},
		{"not bbolt", func(t *testing.T, path string) {
			if err := os.WriteFile(path, make([]byte, 1<<16), 0o600); err != nil {
				t.Fatal(err)
			}
		}, ErrSchema},
		{"state is missing", func(t *testing.T, path string) {
			withSchema(schemaVersion)(t, path)
			edit(t, path, func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Delete(stateKey) })
		}, ErrCorrupt},
		{"bucket is missing", func(t *testing.T, path string) {
			withSchema(schemaVersion)(t, path)
			edit(t, path, func(tx *bolt.Tx) error { return tx.DeleteBucket(expiryBucket) })
		}, ErrCorrupt},
		{"readable by the group", func(t *testing.T, path string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"a directory", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := file(t)
			c.prepare(t, path)
			s, err := OpenEmbedded(path, EmbeddedOptions{})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			t.Log(err)
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestLocked(t *testing.T) {
	path := file(t)
	open(t, path, EmbeddedOptions{})
	if _, err := OpenEmbedded(path, EmbeddedOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second open = %v, want ErrLocked", err)
	}
}

// TestBatchMembers: in one commit, those that fail leave the others alone.
func TestBatchMembers(t *testing.T) {
	s := open(t, file(t), EmbeddedOptions{})
	taken := Key{"user", "taken"}
	mustPut(t, s, taken, "old", PutOptions{})
	results := make([]error, 4)
	put := func(i int, k Key, m Match) *request {
		return &request{ctx: ctx, done: make(chan error, 1), fn: func(w *writeTx) error {
			_, err := w.put(rawKey(kindItem, k), []byte("new"), PutOptions{Match: m})
			results[i] = err
			return err
		}}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	batch := []*request{put(0, Key{"user", "a"}, Absent), put(1, taken, Absent), put(2, Key{"user", "b"}, Absent), put(3, Key{"user", "c"}, Absent)}
	batch[3].ctx = cancelled
	// The writer is idle, so the test may commit in its place.
	if err := s.commit(batch); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, ErrConflict, nil, context.Canceled} {
		if !errors.Is(batch[i].err, want) {
			t.Errorf("member %d: %v, want %v", i, batch[i].err, want)
		}
	}
	for id, want := range map[string]string{"a": "new", "b": "new", "taken": "old"} {
		if it, err := s.Get(ctx, Key{"user", id}); err != nil || string(it.Value) != want {
			t.Errorf("%s = %q, %v; want %q", id, it.Value, err, want)
		}
	}
	if _, err := s.Get(ctx, Key{"user", "c"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("the cancelled put was written: %v", err)
	}
}

// TestRefusalsCostNothing: a batch that changes nothing does not commit.
func TestRefusalsCostNothing(t *testing.T) {
	s := open(t, file(t), EmbeddedOptions{})
	k, l := Key{"user", "u"}, Limit{Burst: 1, Every: time.Hour}
	mustPut(t, s, k, "", PutOptions{})
	if _, _, err := s.Lease(ctx, k, l, 1); err != nil {
		t.Fatal(err)
	}
	before := commits(t, s)
	if _, err := s.Put(ctx, k, nil, PutOptions{Match: Absent}); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	if _, err := s.Take(ctx, Key{"user", "missing"}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if got, _, err := s.Lease(ctx, k, l, 1); got != 0 || err != nil {
		t.Error(got, err)
	}
	if after := commits(t, s); after != before {
		t.Errorf("%d commits", after-before)
	}
}

func commits(t testing.TB, s *embedded) (id int) {
	t.Helper()
	err := s.view(ctx, func(tx *bolt.Tx) error { id = tx.ID(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// breakable lets a test take the file away under bbolt.
type breakable struct {
	mu   sync.Mutex
	last *os.File // guarded by mu
	deny bool     // guarded by mu
}

func (b *breakable) open(name string, flag int, mode os.FileMode) (*os.File, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deny {
		return nil, errors.New("denied by the test")
	}
	f, err := os.OpenFile(name, flag, mode)
	b.last = f
	return f, err
}

func (b *breakable) breakFile(deny bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deny = deny
	_ = b.last.Close()
}

// TestHeal: a commit that breaks is ErrDown for the whole batch; the engine opens the file afresh, tells the watchers, and goes on.
func TestHeal(t *testing.T) {
	b := &breakable{}
	s := open(t, file(t), EmbeddedOptions{openFile: b.open, Sweep: 10 * time.Millisecond})
	v := mustPut(t, s, Key{"user", "before"}, "x", PutOptions{})
	feed, err := s.Watch(t.Context(), "user")
	if err != nil {
		t.Fatal(err)
	}
	b.breakFile(true)
	_, err = s.Put(ctx, Key{"user", "lost"}, nil, PutOptions{})
	if !errors.Is(err, ErrDown) {
		t.Fatalf("Put = %v, want ErrDown", err)
	}
	if err := s.Health(ctx); !errors.Is(err, ErrDown) {
		t.Errorf("Health = %v, want ErrDown", err)
	}
	if _, err := s.Get(ctx, Key{"user", "before"}); !errors.Is(err, ErrDown) {
		t.Errorf("Get = %v, want ErrDown and not ErrNotFound", err)
	}
	b.mu.Lock()
	b.deny = false
	b.mu.Unlock()
	if ev := <-feed; ev.Kind != Resync { // the sweeper's probe heals it; the test's deadline bounds this
		t.Errorf("event %+v, want Resync", ev)
	}
	if it, err := s.Get(ctx, Key{"user", "before"}); err != nil || it.Version != v {
		t.Errorf("Get = %+v, %v", it, err)
	}
	if v2 := mustPut(t, s, Key{"user", "after"}, "", PutOptions{}); v2 <= v+1 {
		t.Errorf("version %d: the broken batch's was given again", v2)
	}
	if err := s.Health(ctx); err != nil {
		t.Errorf("Health = %v", err)
	}
}

func TestFull(t *testing.T) {
	s := open(t, file(t), EmbeddedOptions{MaxBytes: 1 << 20})
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		_, err = s.Put(ctx, Key{"user", strconv.Itoa(n)}, make([]byte, 50_000), PutOptions{TTL: time.Hour, Index: []string{"x"}})
	}
	if !errors.Is(err, ErrFull) || !errors.Is(err, ErrDown) || n < 15 {
		t.Fatalf("put %d: %v, want ErrFull", n, err)
	}
	if _, err := s.Incr(ctx, Key{"user", "0"}, 1, 0); !errors.Is(err, ErrFull) {
		t.Errorf("Incr = %v, want ErrFull", err)
	}
	if err := s.Health(ctx); err != nil {
		t.Errorf("Health = %v: full is no outage", err)
	}
	if gone, err := s.DeleteIndexed(ctx, "user", "x"); len(gone) != n-1 || err != nil {
		t.Errorf("DeleteIndexed = %d, %v; want %d", len(gone), err, n-1)
	}
	mustPut(t, s, Key{"user", "0"}, "", PutOptions{})
	mustPut(t, s, Key{"user", "0"}, "", PutOptions{})
}

// TestDamage: what cannot be read is ErrCorrupt, can be deleted, and stops nothing else.
func TestDamage(t *testing.T) {
	path := file(t)
	s := open(t, path, EmbeddedOptions{})
	bad, good := Key{"user", "bad"}, Key{"user", "good"}
	mustPut(t, s, bad, "x", PutOptions{TTL: time.Hour, Index: []string{"x", "y"}})
	mustPut(t, s, good, "x", PutOptions{Index: []string{"y"}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bolt.Tx) error {
		// An expiry entry that lies, and one for nothing: neither may delete a live record or keep the sweeper from its work.
		for _, k := range []Key{good, {"user", "ghost"}} {
			if err := tx.Bucket(expiryBucket).Put(expiryKey(1, rawKey(kindItem, k)), nil); err != nil {
				return err
			}
		}
		return tx.Bucket(recordsBucket).Put([]byte(rawKey(kindItem, bad)), []byte("damage"))
	})
	s = open(t, path, EmbeddedOptions{})
	s.sweep()
	if s.anyDue() {
		t.Error("the sweeper left the lying entries")
	}
	if _, err := s.Get(ctx, bad); !errors.Is(err, ErrCorrupt) || !errors.Is(err, ErrDown) {
		t.Errorf("Get = %v, want ErrCorrupt", err)
	}
	if _, err := s.Take(ctx, bad); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Take = %v, want ErrCorrupt", err)
	}
	if _, err := s.Put(ctx, bad, nil, PutOptions{Match: Absent}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Put = %v, want ErrCorrupt", err)
	}
	if it, err := s.Get(ctx, good); err != nil || string(it.Value) != "x" {
		t.Errorf("Get = %+v, %v", it, err)
	}
	if err := s.Delete(ctx, bad); err != nil {
		t.Errorf("Delete = %v", err)
	}
	mustPut(t, s, bad, "new", PutOptions{Index: []string{"x"}})
	if gone, err := s.DeleteIndexed(ctx, "user", "y"); len(gone) != 1 || gone[0] != good || err != nil {
		t.Errorf("DeleteIndexed = %v, %v; want the good one, as the bad one no longer carries y", gone, err)
	}
}

// TestSweep: expired records leave the file, with their index and expiry entries.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, file(t), EmbeddedOptions{})
		for i := range 3 * sweepStep {
			mustPut(t, s, Key{"session", strconv.Itoa(i)}, "", PutOptions{TTL: time.Duration(1+i%3) * time.Second, Index: []string{fmt.Sprint(i % 7)}})
		}
		if _, err := s.Incr(ctx, Key{"login", "u"}, 1, time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		err := s.view(ctx, func(tx *bolt.Tx) error {
			for _, b := range [][]byte{recordsBucket, indexBucket, expiryBucket} {
				if n := tx.Bucket(b).Stats().KeyN; n != 0 {
					t.Errorf("%d entries left in %s", n, b)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
