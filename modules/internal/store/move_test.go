package store

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lossy is a store that does not keep what it is given.
type lossy struct {
	*memory
	spoil func(*Record) bool
}

func (l lossy) Restore(ctx context.Context, records []Record) error {
	var kept []Record
	for _, r := range records {
		if l.spoil(&r) {
			kept = append(kept, r)
		}
	}
	return l.memory.Restore(ctx, kept)
}

// TestMoveFindsWhatDiffers: whatever goes wrong with a record on its way is found.
func TestMoveFindsWhatDiffers(t *testing.T) {
	from := NewMemory().(*memory)
	defer from.Close()
	if _, err := from.Put(t.Context(), Key{"user", "u"}, []byte("v"), PutOptions{Index: []string{"a"}, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Incr(t.Context(), Key{"user", "u"}, 2, 0); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*Record) bool{
		"lost":    func(r *Record) bool { return r.Counter },
		"value":   func(r *Record) bool { r.Value = append(r.Value, 'x'); return true },
		"name":    func(r *Record) bool { r.Key.ID += "x"; return true },
		"index":   func(r *Record) bool { r.Index = nil; return true },
		"count":   func(r *Record) bool { r.Count++; return true },
		"kind":    func(r *Record) bool { r.Counter = true; return true },
		"for aye": func(r *Record) bool { r.Expires = time.Time{}; return true },
		"later": func(r *Record) bool {
			if !r.Expires.IsZero() {
				r.Expires = r.Expires.Add(time.Minute)
			}
			return true
		},
	} {
		to := NewMemory().(*memory)
		if _, err := Move(t.Context(), from, lossy{to, spoil}, nil); !errors.Is(err, ErrDiffers) {
			t.Errorf("%s: %v", what, err)
		}
		_ = to.Close()
	}
	to := NewMemory().(*memory)
	defer to.Close()
	if _, err := Move(t.Context(), from, lossy{to, func(*Record) bool { return true }}, nil); err != nil {
		t.Errorf("nothing was spoilt: %v", err)
	}
}

// failing is a store that cannot be read to its end.
type failing struct{ *memory }

func (failing) Records(context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) { yield(Record{}, ErrCorrupt) }
}

func TestMoveFails(t *testing.T) {
	from, to := NewMemory().(*memory), NewMemory().(*memory)
	defer from.Close()
	defer to.Close()
	if _, err := Move(t.Context(), failing{from}, to, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Move = %v", err)
	}
}

// TestEmbeddedToMove: who moves a file has it alone; a source is put away, a target is there whole or not at all.
func TestEmbeddedToMove(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	if _, err := EmbeddedToMove(path, MoveFrom); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no source: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("a source that is not there was made: %v", entries)
	}
	fill := func(done bool) {
		t.Helper()
		m, err := EmbeddedToMove(path, MoveInto)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Restore(t.Context(), []Record{{Key: Key{"user", "u"}, Value: []byte("v")}}); err != nil {
			t.Fatal(err)
		}
		if _, err := EmbeddedToMove(path, MoveInto); !errors.Is(err, ErrLocked) {
			t.Errorf("two at once: %v", err)
		}
		if err := m.End(done); err != nil {
			t.Fatal(err)
		}
	}
	fill(false)
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("a target that is not whole is left: %v", entries)
	}
	fill(true)
	if _, err := EmbeddedToMove(path, MoveInto); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("into a file that is there: %v", err)
	}
	st, err := OpenEmbedded(path, EmbeddedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := EmbeddedToMove(path, MoveFrom); !errors.Is(err, ErrLocked) {
		t.Errorf("from a file that a gateway has: %v", err)
	}
	if it, err := st.Get(t.Context(), Key{"user", "u"}); err != nil || string(it.Value) != "v" {
		t.Errorf("Get = %q, %v", it.Value, err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for _, done := range []bool{false, true} {
		m, err := EmbeddedToMove(path, MoveFrom)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.End(done); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || !strings.HasPrefix(entries[0].Name(), "store.db.moved-") {
		t.Errorf("a source that was moved is left as %v, %v", entries, err)
	}
}
