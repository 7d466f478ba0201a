package chain

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func copied(t *testing.T, from, to string) int64 {
	t.Helper()
	size, err := Copy(from, to, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// A copy follows the chain over segments, keys and a crash in the middle of copying, verifies by itself, and shows what was cut off.
func TestCopy(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	if size, err := Copy(dir, to, time.Now()); err != nil || size != 0 {
		t.Errorf("nothing yet: %d, %v", size, err)
	}
	c := open(t, dir, Options{Segment: 4096})
	for range 4 {
		record(t, c, 7)
		c.Publish()
		copied(t, dir, to)
	}
	last := filepath.Join(to, segmentName(must(segments(to))[len(must(segments(to)))-1]))
	info, err := os.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(last, info.Size()-100); err != nil { // as if it had died while it wrote
		t.Fatal(err)
	}
	record(t, c, 3)
	c.Publish()
	if size := copied(t, dir, to); size != 32 {
		t.Errorf("%d records are copied", size)
	}
	r := verified(t, to, VerifyOptions{Root: root(t, dir)})
	if r.Size != 32 || r.Segments < 3 {
		t.Errorf("the copy has %d records in %d segments", r.Size, r.Segments)
	}
	had, key, err := Copied(to)
	if err != nil || len(had) != 5 || key != root(t, dir) {
		t.Fatalf("%d checkpoints, %v", len(had), err)
	}
	closed(t, c)
	if r := verified(t, dir, VerifyOptions{Root: key, Anchors: had}); r.Anchors != 5 {
		t.Errorf("%d checkpoints were compared", r.Anchors)
	}

	// Somebody puts back what was there before.
	firsts := must(segments(dir))
	if err := os.Remove(filepath.Join(dir, segmentName(firsts[len(firsts)-1]))); err != nil {
		t.Fatal(err)
	}
	if fault := (*Fault)(nil); !errors.As(second(Verify(dir, VerifyOptions{Root: key, Anchors: had})), &fault) || !strings.Contains(fault.Why, "cut off") {
		t.Errorf("cut off: %v", fault)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func second[T any](_ T, err error) error { return err }

// What does not agree with the copy is not copied over it.
func TestCopyOfAnother(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"changed": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, segmentName(0)), func(l []string) []string {
				return strings.Split(strings.ReplaceAll(strings.Join(l, "\n"), `"sealed":"`, `"sealed":"A`), "\n")
			})
		},
		"cut off": func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, segmentName(0)), func(l []string) []string { return l[:5] })
		},
		"begun anew": func(t *testing.T, dir string) {
			if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
				t.Fatal(err)
			}
			c := open(t, dir, Options{})
			record(t, c, 40)
			closed(t, c)
		},
	} {
		dir, _ := tampered(t)
		to := t.TempDir()
		copied(t, dir, to)
		before, err := os.ReadFile(filepath.Join(to, segmentName(0)))
		if err != nil {
			t.Fatal(err)
		}
		spoil(t, dir)
		if _, err := Copy(dir, to, time.Now()); err == nil || !strings.Contains(err.Error(), "copy") {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(filepath.Join(to, segmentName(0))); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the copy was changed, %v", name, err)
		}
	}
}
