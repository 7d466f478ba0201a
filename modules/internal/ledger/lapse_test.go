package ledger_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/store"
)

// pass is a record that is in force for a while.
type pass struct {
	ID           string
	Until, Ended time.Time
	By           string
}

// sullen is a store that, while it is told so, never answers what is asked of it, or says that it is down; or that takes what it is given
// and says that it is down.
type sullen struct {
	store.Store
	hangs, down, silent atomic.Bool
}

func (s *sullen) answers(ctx context.Context) error {
	if s.hangs.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if s.down.Load() {
		return store.ErrDown
	}
	return nil
}

func (s *sullen) Put(ctx context.Context, k store.Key, v []byte, o store.PutOptions) (uint64, error) {
	if err := s.answers(ctx); err != nil {
		return 0, err
	}
	version, err := s.Store.Put(ctx, k, v, o)
	if err == nil && s.silent.Load() {
		return 0, store.ErrDown
	}
	return version, err
}

func (s *sullen) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if err := s.answers(ctx); err != nil {
		return store.Item{}, err
	}
	return s.Store.Get(ctx, k)
}

func openPasses(t *testing.T) (l *ledger.Lapsing[pass], st *sullen, changed, told *atomic.Int32) {
	t.Helper()
	st, changed, told = &sullen{Store: store.NewMemory()}, new(atomic.Int32), new(atomic.Int32)
	t.Cleanup(func() { _ = st.Close() })
	l, err := ledger.OpenLapsing(st, ring(t), ledger.Config[pass]{Bucket: "passes"}, ledger.Lapse[pass]{
		KeptFor: time.Hour,
		ID:      func(p *pass) string { return p.ID },
		Until:   func(p *pass) time.Time { return p.Until },
		Stands:  func(p *pass) bool { return p.Ended.IsZero() },
		Ended:   func(p *pass) bool { return !p.Ended.IsZero() },
		End: func(p *pass, now time.Time) error {
			if !p.Ended.IsZero() {
				return ledger.ErrEnded
			}
			p.Ended, p.By = now, "time"
			return nil
		},
		Changed: func([]*pass) { changed.Add(1) },
		Told:    func(pass) { told.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Destruct() })
	return l, st, changed, told
}

// A record that is over is out of force in time, and whoever listens knows, while the store is down, and while it says nothing at all;
// its end is written, and told of once, when the store does something again.
func TestLapseWithoutAStore(t *testing.T) {
	for name, mood := range map[string]func(*sullen) *atomic.Bool{
		"down":  func(s *sullen) *atomic.Bool { return &s.down },
		"hangs": func(s *sullen) *atomic.Bool { return &s.hangs },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, st, changed, told := openPasses(t)
				for _, p := range []*pass{{ID: "short", Until: time.Now().Add(time.Minute)}, {ID: "long", Until: time.Now().Add(time.Hour)}} {
					if err := l.Add(t.Context(), p.ID, p); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				before := changed.Load()
				mood(st).Store(true)
				for i, left := range []int{1, 0} { // the second while the first waits to be written
					time.Sleep([]time.Duration{time.Minute, 59 * time.Minute}[i])
					time.Sleep(300 * time.Millisecond)
					synctest.Wait()
					if n := len(l.AtHand()); n != left || changed.Load() != before+int32(i)+1 || told.Load() != 0 {
						t.Errorf("%d at hand, want %d; changed %d times, told %d", n, left, changed.Load()-before, told.Load())
					}
				}
				if mood(st).Store(false); name == "hangs" {
					return // whoever waits for it waits on
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if told.Load() != 2 {
					t.Errorf("told of %d times", told.Load())
				}
			})
		})
	}
}

// What a store took and did not say so is in force, or ended; what nobody knows is said to be so.
func TestLapseAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, st, _, _ := openPasses(t)
		st.silent.Store(true)
		p := &pass{ID: "a", Until: time.Now().Add(time.Hour)}
		if err := l.Add(t.Context(), "a", p); err != nil || len(l.InForce(time.Now())) != 1 {
			t.Errorf("written, and %v: %d in force", err, len(l.InForce(time.Now())))
		}
		end := func(p *pass) error { p.Ended, p.By = time.Now(), "olga"; return nil }
		if got, err := l.End(t.Context(), "a", end, func(p *pass) bool { return p.By == "olga" }); err != nil || got.By != "olga" || len(l.AtHand()) != 0 {
			t.Errorf("ended, and %v: %d in force", err, len(l.AtHand()))
		}
		st.down.Store(true)
		if err := l.Add(t.Context(), "b", &pass{ID: "b", Until: time.Now().Add(time.Hour)}); !errors.Is(err, ledger.ErrUnsure) || !errors.Is(err, store.ErrDown) {
			t.Errorf("nobody knows: %v", err)
		}
	})
}

// Of two nodes each adjusts what it reads once, and holds to that.
func TestLapseAdjusts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		defer st.Close()
		var seen []bool
		l, err := ledger.OpenLapsing(st, ring(t), ledger.Config[pass]{Bucket: "passes"}, ledger.Lapse[pass]{
			ID: func(p *pass) string { return p.ID }, Until: func(p *pass) time.Time { return p.Until },
			Stands: func(*pass) bool { return true }, Ended: func(*pass) bool { return false }, End: func(*pass, time.Time) error { return nil },
			Adjust: func(p, was *pass, _ time.Time) {
				seen = append(seen, was != nil && was.ID == p.ID)
				p.By = "adjusted"
			},
			Changed: func([]*pass) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Destruct()
		if err := l.Create(t.Context(), "a", &pass{ID: "a", Until: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := l.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(seen[:2], []bool{false, true}) || l.AtHand()[0].By != "adjusted" {
			t.Errorf("%v, %+v", seen, l.AtHand()[0])
		}
	})
}
