package standing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

var ada = Person{"local", "ada"}

func ring(t testing.TB) *keyring.Ring {
	t.Helper()
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func open(t testing.TB, st store.Store, keys *keyring.Ring) *Book {
	t.Helper()
	b, err := Open(st, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Destruct() })
	return b
}

func set(t testing.TB, b *Book, p Person, s State) {
	t.Helper()
	if _, err := b.Update(t.Context(), p, func(r *Record) error { r.State = s; return nil }); err != nil {
		t.Fatal(err)
	}
}

// Whatever one node writes holds there at once, on the others when the feed has told them, and after a restart.
func TestEveryNodeKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, keys := store.NewMemory(), ring(t)
		here, there := open(t, st, keys), open(t, st, keys)
		var told atomic.Int64
		stop := there.OnChange(func(p Person) {
			if p == ada {
				told.Add(1)
			}
		})
		allowed := func(b *Book) bool { return b.Allows("local", "ada", time.Now()) }
		for _, s := range []State{Unknown, Pending, Approved, Rejected, Approved, Disabled, Approved, Deleted} {
			set(t, here, ada, s)
			if allowed(here) != s.Allows() {
				t.Errorf("%q: not known to the node that wrote it", s)
			}
			synctest.Wait()
			if allowed(there) != s.Allows() {
				t.Errorf("%q: not known to the other node", s)
			}
			if fresh := open(t, st, keys); allowed(fresh) != s.Allows() {
				t.Errorf("%q: not known after a restart", s)
			}
		}
		if told.Load() != 8 {
			t.Errorf("the other node was told %d times", told.Load())
		}
		stop()
		if !here.Allows("local", "eve", time.Time{}) || !here.Allows("corp", "ada", time.Time{}) {
			t.Error("somebody else is barred too")
		}
		if err := here.Forget(t.Context(), ada); err != nil || !allowed(here) {
			t.Errorf("forgotten: %v", err)
		}
		synctest.Wait()
		if !allowed(there) || told.Load() != 8 {
			t.Error("forgotten here, not there; or told after stop")
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	})
}

func TestNotBefore(t *testing.T) {
	b := open(t, store.NewMemory(), ring(t))
	at := time.Now().UTC()
	_, err := b.Update(t.Context(), ada, func(r *Record) error { r.State, r.NotBefore = Approved, at; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for issued, want := range map[time.Time]bool{at: true, at.Add(time.Second): true, at.Add(-1): false, {}: false} {
		if got := b.Allows("local", "ada", issued); got != want {
			t.Errorf("issued %v before: %v", at.Sub(issued), got)
		}
	}
	r, err := b.Get(t.Context(), ada)
	if err != nil || !r.NotBefore.Equal(at) || r.State != Approved || !r.Allows(at) || r.Allows(at.Add(-1)) {
		t.Errorf("the record: %+v, %v", r, err)
	}
}

func TestAsk(t *testing.T) {
	b := open(t, store.NewMemory(), ring(t))
	eve := Record{Person: Person{"corp", "eve"}, State: Approved, Name: "Eve", Email: "eve@example.com"}
	r, filed, err := b.Ask(t.Context(), eve)
	if err != nil || !filed || r.State != Pending || r.Name != "Eve" || r.Asked.IsZero() {
		t.Fatalf("asking: %+v, %v, %v", r, filed, err)
	}
	if r, filed, err := b.Ask(t.Context(), eve); err != nil || filed || r.State != Pending {
		t.Errorf("asking again: %+v, %v, %v", r, filed, err)
	}
	set(t, b, eve.Person, Rejected)
	if r, filed, err := b.Ask(t.Context(), eve); err != nil || filed || r.State != Rejected || r.Email != eve.Email {
		t.Errorf("asking after a rejection: %+v, %v, %v", r, filed, err)
	}
	set(t, b, ada, Pending)
	for _, tt := range []struct {
		provider string
		state    State
		want     string
	}{{"", "", "corp:eve local:ada"}, {"corp", "", "corp:eve"}, {"", Pending, "local:ada"}, {"corp", Pending, ""}, {"local", Pending, "local:ada"}} {
		all, err := b.List(t.Context(), tt.provider, tt.state)
		names := map[string]bool{}
		for _, r := range all {
			names[r.String()] = true
		}
		for _, name := range strings.Fields(tt.want) {
			if !names[name] {
				t.Errorf("%s/%s: %s is missing", tt.provider, tt.state, name)
			}
		}
		if err != nil || len(names) != len(strings.Fields(tt.want)) {
			t.Errorf("%s/%s: %v, %v", tt.provider, tt.state, names, err)
		}
	}
}

// Strangers of a provider that anybody can log in to cannot fill the store.
func TestPendingIsBounded(t *testing.T) {
	st := store.NewMemory()
	b := open(t, st, ring(t))
	for i := range MaxPending {
		o := store.PutOptions{Index: []string{index("corp", Pending)}}
		if _, err := st.Put(t.Context(), store.Key{Bucket: bucket, ID: fmt.Sprint(i)}, nil, o); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := b.Ask(t.Context(), Record{Person: Person{"corp", "eve"}}); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if _, filed, err := b.Ask(t.Context(), Record{Person: ada}); err != nil || !filed {
		t.Errorf("another provider's: %v", err)
	}
}

// A record that this house cannot open forbids everything: one that another gateway has sealed with a key that is not here yet, which
// is not replaced; and a damaged one, until an administrator writes a new one.
func TestUnreadableForbids(t *testing.T) {
	st := store.NewMemory()
	b := open(t, st, ring(t))
	set(t, open(t, st, ring(t)), ada, Approved) // by another house's keys
	again := open(t, st, b.keys)
	if again.Allows("local", "ada", time.Now()) {
		t.Error("a record that cannot be opened lets through")
	}
	if _, err := again.Get(t.Context(), ada); err == nil {
		t.Error("it was read")
	}
	if _, err := again.Update(t.Context(), ada, func(r *Record) error { r.State = Approved; return nil }); !errors.Is(err, keyring.ErrUnknownKey) {
		t.Errorf("another gateway's record was replaced: %v", err)
	}
	if _, err := st.Put(t.Context(), idOf("local", "ada").key(), []byte("damaged"), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if again.Allows("local", "ada", time.Now()) {
		t.Error("a damaged record lets through")
	}
	set(t, again, ada, Approved)
	if !again.Allows("local", "ada", time.Now()) {
		t.Error("the new record does not count")
	}
}

type flaky struct {
	store.Store
	down atomic.Bool
}

func (f *flaky) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if f.down.Load() {
		return store.Item{}, store.ErrDown
	}
	return f.Store.Get(ctx, k)
}

// While a changed record cannot be read, its person may do nothing; then what it says counts.
func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, keys := &flaky{Store: store.NewMemory()}, ring(t)
		here, there := open(t, st.Store, keys), open(t, st, keys)
		st.down.Store(true)
		set(t, here, ada, Approved)
		synctest.Wait()
		if there.Allows("local", "ada", time.Now()) {
			t.Error("a change that is not known lets through")
		}
		time.Sleep(2 * retryEvery)
		synctest.Wait()
		if there.Allows("local", "ada", time.Now()) {
			t.Error("a change that is still not known lets through")
		}
		st.down.Store(false)
		time.Sleep(2 * retryEvery)
		synctest.Wait()
		if !there.Allows("local", "ada", time.Now()) {
			t.Error("the record is readable again and does not count")
		}
		_ = st.Close()
		synctest.Wait()
	})
}

func TestUpdatesAtOnce(t *testing.T) {
	st, keys := store.NewMemory(), ring(t)
	books := []*Book{open(t, st, keys), open(t, st, keys)}
	var wg sync.WaitGroup
	var done atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			_, err := books[i%2].Update(t.Context(), ada, func(r *Record) error { r.Note += "x"; return nil })
			if err == nil {
				done.Add(1)
			} else if !errors.Is(err, store.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r, err := books[0].Get(t.Context(), ada); err != nil || int64(len(r.Note)) != done.Load() {
		t.Errorf("%d updates left %d traces, %v", done.Load(), len(r.Note), err)
	}
	no := errors.New("no")
	if r, err := books[0].Update(t.Context(), ada, func(r *Record) error { r.Note = ""; return no }); err != no || r.Note == "" {
		t.Errorf("an update that was called off: %+v, %v", r, err)
	}
}

func TestStoreHoldsNoNames(t *testing.T) {
	st := store.NewMemory()
	b := open(t, st, ring(t))
	set(t, b, ada, Disabled)
	for item, err := range st.Scan(t.Context(), bucket, "") {
		if err != nil || strings.Contains(string(item.Value)+item.Key.ID, "ada") {
			t.Errorf("%q %q, %v", item.Key.ID, item.Value, err)
		}
	}
}

func BenchmarkAllows(b *testing.B) {
	book := open(b, store.NewMemory(), ring(b))
	now := time.Now()
	b.Run("everybody may", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			book.Allows("local", "ada", now)
		}
	})
	set(b, book, Person{"local", "eve"}, Disabled)
	b.Run("somebody may not", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			book.Allows("local", "ada", now)
		}
	})
}
