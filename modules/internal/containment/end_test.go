package containment_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/containment"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/store"
)

// moody is a store that takes nothing while it is told so, or takes it and does not say so.
type moody struct {
	store.Store
	refuses, silent atomic.Bool
}

func (m *moody) Put(ctx context.Context, k store.Key, v []byte, o store.PutOptions) (uint64, error) {
	if m.refuses.Load() {
		return 0, store.ErrDown
	}
	version, err := m.Store.Put(ctx, k, v, o)
	if err == nil && m.silent.Load() {
		return 0, store.ErrDown
	}
	return version, err
}

func moodyBoard(t *testing.T) (*moody, *containment.Board, *keyring.Ring, *atomic.Int32) {
	t.Helper()
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	st, ended := &moody{Store: store.NewMemory()}, new(atomic.Int32)
	t.Cleanup(func() { _ = st.Close() })
	b, err := containment.Open(st, keys, func(containment.Switch) { ended.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Destruct() })
	return st, b, keys, ended
}

// A switch that is over is out of force, and whoever listens knows, while nothing can be written; it is told of once it is.
func TestSwitchesEndWithoutAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, b, _, ended := moodyBoard(t)
		var told atomic.Int32
		defer b.OnChange(func() { told.Add(1) })()
		s := draft(containment.Paranoia, func(s *containment.Switch) { s.Level = 3 })
		if err := b.Throw(t.Context(), s, kept); err != nil {
			t.Fatal(err)
		}
		before := told.Load()
		st.refuses.Store(true)
		time.Sleep(time.Until(s.Until) + time.Second)
		synctest.Wait()
		if told.Load() == before || len(b.Active(time.Now())) != 0 {
			t.Error("it is over, and nobody was told")
		}
		if ended.Load() != 0 {
			t.Error("its end is on record, and not written")
		}
		st.refuses.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if ended.Load() != 1 {
			t.Errorf("its end was told of %d times", ended.Load())
		}
	})
}

// A switch is in force where the store took it, whatever it answered; and one that could not be written is not.
func TestSwitchesOfAStoreThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, b, _, _ := moodyBoard(t)
		st.silent.Store(true)
		s := draft(containment.Lock)
		if err := b.Throw(t.Context(), s, kept); err != nil || len(b.Active(time.Now())) != 1 {
			t.Errorf("written, and %v: %d in force", err, len(b.Active(time.Now())))
		}
		if ended, err := b.Lift(t.Context(), s.ID, "olga", ""); err != nil || ended.EndedBy != "olga" {
			t.Errorf("lifted, and %v", err)
		}
		st.refuses.Store(true)
		s = draft(containment.Lock)
		if err := b.Throw(t.Context(), s, kept); !errors.Is(err, store.ErrDown) || errors.Is(err, containment.ErrUnsure) || s.ID == "" {
			t.Errorf("not written: %v", err)
		}
	})
}

// A gateway whose clock is ahead does not end what others still hold to.
func TestSwitchesEndByThisClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, b, keys, _ := moodyBoard(t)
		s := draft(containment.Lock)
		if err := b.Throw(t.Context(), s, kept); err != nil {
			t.Fatal(err)
		}
		others, err := ledger.Open[containment.Switch](st, keys, ledger.Config[containment.Switch]{Bucket: "containment", Most: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer others.Destruct()
		if _, err := others.Update(t.Context(), s.ID, func(s *containment.Switch) error {
			s.Ended, s.EndedBy = s.Until.Add(time.Second), containment.Expired
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(b.Active(time.Now())) != 1 {
			t.Error("it has ended by another's clock")
		}
		time.Sleep(time.Until(s.Until))
		synctest.Wait()
		if len(b.Active(time.Now())) != 0 {
			t.Error("it does not end")
		}
	})
}
