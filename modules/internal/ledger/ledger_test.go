package ledger_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/store"
)

type record struct {
	Name string
	N    int
	For  time.Duration
}

func ring(t testing.TB) *keyring.Ring {
	t.Helper()
	r, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t testing.TB, st store.Store, keys *keyring.Ring) *ledger.Ledger[record] {
	t.Helper()
	l, err := ledger.Open(st, keys, ledger.Config[record]{
		Bucket: "things", Most: 4,
		Index: func(r *record) []string { return []string{"name:" + r.Name} },
		TTL:   func(r *record) time.Duration { return r.For },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Destruct() })
	return l
}

func TestLedger(t *testing.T) {
	st, keys, ctx := store.NewMemory(), ring(t), t.Context()
	defer st.Close()
	here, there := open(t, st, keys), open(t, st, keys)
	if _, err := here.Get(ctx, "a"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
	if err := here.Create(ctx, "a", &record{Name: "ada", N: 1}); err != nil {
		t.Fatal(err)
	}
	if err := there.Create(ctx, "a", &record{}); !errors.Is(err, ledger.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	for _, l := range []*ledger.Ledger[record]{here, there, here} {
		if r, err := l.Get(ctx, "a"); err != nil || r.N != 1 {
			t.Fatalf("Get = %+v, %v", r, err)
		}
	}
	if _, err := here.Update(ctx, "a", func(r *record) error { r.N = 2; return nil }); err != nil {
		t.Fatal(err)
	}
	if r, _ := here.Get(ctx, "a"); r.N != 2 {
		t.Errorf("the node that wrote says %d", r.N)
	}
	eventually(t, "the other node knows", func() bool { r, err := there.Get(ctx, "a"); return err == nil && r.N == 2 })
	refusal := errors.New("no")
	if _, err := here.Update(ctx, "a", func(r *record) error { r.N = 3; return refusal }); err != refusal {
		t.Errorf("a refused update: %v", err)
	}
	if gone, err := there.DeleteIndexed(ctx, "name:ada"); err != nil || !slices.Equal(gone, []string{"a"}) {
		t.Errorf("DeleteIndexed = %q, %v", gone, err)
	}
	eventually(t, "the first node knows", func() bool { _, err := here.Get(ctx, "a"); return errors.Is(err, ledger.ErrNotFound) })
	if ok, err := here.Delete(ctx, "a"); ok || err != nil {
		t.Errorf("deleted twice: %v, %v", ok, err)
	}
}

// Records are of use to their own house and place only.
func TestRecordsAreSealed(t *testing.T) {
	st, keys, ctx := store.NewMemory(), ring(t), t.Context()
	defer st.Close()
	l := open(t, st, keys)
	if err := l.Put(ctx, "a", &record{Name: "a very secret name"}); err != nil {
		t.Fatal(err)
	}
	item, err := st.Get(ctx, store.Key{Bucket: "things", ID: "a"})
	if err != nil || strings.Contains(string(item.Value), "secret") {
		t.Fatalf("%q, %v", item.Value, err)
	}
	if _, err := st.Put(ctx, store.Key{Bucket: "things", ID: "b"}, item.Value, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Get(ctx, "b"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a record in another's place: %v", err)
	}
	if _, err := open(t, st, ring(t)).Get(ctx, "a"); !errors.Is(err, keyring.ErrUnknownKey) {
		t.Errorf("a record of another house: %v", err)
	}
}

// Counting up from many sides loses nothing: updates are compare-and-swap.
func TestUpdatesDoNotLoseEachOther(t *testing.T) {
	st, ctx, keys := store.NewMemory(), t.Context(), ring(t)
	defer st.Close()
	a, b := open(t, st, keys), open(t, st, keys)
	if err := a.Put(ctx, "n", &record{}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		for _, l := range []*ledger.Ledger[record]{a, b} {
			wg.Go(func() {
				for range 10 {
					for {
						if _, err := l.Update(ctx, "n", func(r *record) error { r.N++; return nil }); err == nil {
							break
						} else if !errors.Is(err, store.ErrConflict) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
	}
	wg.Wait()
	if r, _, err := a.Read(ctx, "n"); err != nil || r.N != 80 {
		t.Errorf("N = %d, %v", r.N, err)
	}
}

func TestStoreDownIsNoAbsence(t *testing.T) {
	st := store.NewMemory()
	l := open(t, st, ring(t))
	if err := l.Put(t.Context(), "a", &record{}); err != nil {
		t.Fatal(err)
	}
	_ = st.Close()
	if _, err := l.Get(context.Background(), "b"); err == nil || errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("with the store closed: %v", err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("not: " + what)
		}
		time.Sleep(time.Millisecond)
	}
}

// A record that another gateway has sealed with a key that is not here yet is not "not there", and is found once the key is here.
func TestAnotherGatewaysKey(t *testing.T) {
	st, here, ctx := store.NewMemory(), ring(t), t.Context()
	defer st.Close()
	both, err := keyring.New(append(here.Keys(), keyring.Generate())...)
	if err != nil {
		t.Fatal(err)
	}
	theirs := open(t, st, both)
	ours, err := ledger.Open(st, here, ledger.Config[record]{Bucket: "things", Most: 4, Absent: true, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Destruct() })
	if err := theirs.Create(ctx, "a", &record{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	if item, err := st.Get(ctx, store.Key{Bucket: "things", ID: "a"}); err != nil || keyring.SealedBy(item.Value) == here.ActiveID() {
		t.Fatalf("the test: sealed with the old key, %v", err)
	}
	all := func(l *ledger.Ledger[record]) (n int, err error) {
		for _, err := range l.All(ctx, "") {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	if _, err := ours.Get(ctx, "a"); !errors.Is(err, keyring.ErrUnknownKey) || errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if _, err := all(ours); !errors.Is(err, keyring.ErrUnknownKey) {
		t.Errorf("All: %v", err)
	}
	here.Adopt(both)
	if rec, err := ours.Get(ctx, "a"); err != nil || rec.Name != "ada" {
		t.Errorf("with the key: %v, %v", rec, err)
	}
	if n, err := all(ours); n != 1 || err != nil {
		t.Errorf("All with the key: %d, %v", n, err)
	}
	if _, err := st.Put(ctx, store.Key{Bucket: "things", ID: "b"}, []byte("damaged"), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Get(ctx, "b"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("what is damaged: %v", err)
	}
}
