package ledger_test

import (
	"context"
	"errors"
	"iter"
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
// and says that it is down, and may be so then; or that lists nothing.
type sullen struct {
	store.Store
	hangs, down, silent, falls, blind atomic.Bool
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
		s.down.Store(s.falls.Load())
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

func (s *sullen) Scan(ctx context.Context, b store.Bucket, index string) iter.Seq2[store.Item, error] {
	if s.blind.Load() {
		return func(yield func(store.Item, error) bool) { yield(store.Item{}, store.ErrDown) }
	}
	return s.Store.Scan(ctx, b, index)
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

// What was ended, or erased, is out of force at once, and whoever ended it is told so, while the others cannot be read.
func TestLapseEndsUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, st, changed, told := openPasses(t)
		for _, id := range []string{"a", "b", "c"} {
			if err := l.Add(t.Context(), id, &pass{ID: id, Until: time.Now().Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		before := changed.Load()
		st.blind.Store(true)
		end := func(p *pass) error { p.Ended, p.By = time.Now(), "olga"; return nil }
		got, err := l.End(t.Context(), "a", end, func(p *pass) bool { return p.By == "olga" })
		if got == nil || got.ID != "a" || !errors.Is(err, store.ErrDown) || len(l.InForce(time.Now())) != 2 || changed.Load() == before {
			t.Errorf("ended: %v, %v; %d in force", got, err, len(l.InForce(time.Now())))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		st.blind.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if all := l.InForce(time.Now()); len(all) != 2 || told.Load() != 0 {
			t.Errorf("later there are %d in force; told of %d ends", len(all), told.Load())
		}
	})
}

// An end that the store wrote, and said that it is down, is told of once: also where the store cannot be asked then.
func TestLapseTellsOfSilentEnds(t *testing.T) {
	for name, falls := range map[string]bool{"reads": false, "falls": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, st, _, told := openPasses(t)
				for _, id := range []string{"a", "b"} {
					if err := l.Add(t.Context(), id, &pass{ID: id, Until: time.Now().Add(time.Minute)}); err != nil {
						t.Fatal(err)
					}
				}
				st.silent.Store(true)
				st.falls.Store(falls)
				for range 4 { // up again, and down again with the next write
					time.Sleep(time.Minute)
					synctest.Wait()
					st.down.Store(false)
				}
				if told.Load() != 2 {
					t.Errorf("told of %d times while the store is silent", told.Load())
				}
				st.silent.Store(false)
				time.Sleep(time.Minute)
				synctest.Wait()
				if told.Load() != 2 {
					t.Errorf("told of %d times", told.Load())
				}
				for _, id := range []string{"a", "b"} {
					if p, _, err := l.Read(t.Context(), id); err != nil || p.By != "time" {
						t.Errorf("%s: %+v, %v", id, p, err)
					}
				}
			})
		})
	}
}

// Who ended a record first is told so, and nobody else.
func TestLapseTellsOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, st, _, told := openPasses(t)
		if err := l.Add(t.Context(), "a", &pass{ID: "a", Until: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		st.down.Store(true)
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		st.down.Store(false)
		if _, err := l.Update(t.Context(), "a", func(p *pass) error { p.Ended, p.By = time.Now(), "another node"; return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if told.Load() != 0 {
			t.Errorf("told of what another has ended: %d times", told.Load())
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
