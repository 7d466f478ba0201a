package retain

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/event"
)

const day = 24 * time.Hour

// lay makes files of so many days of age, and returns how old each is.
func lay(t *testing.T, dir string, ages map[string]int) time.Time {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	for name, days := range ages {
		file, at := filepath.Join(dir, name), now.Add(-time.Duration(days)*day)
		if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return now
}

func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// BRF-10: after 30 days nothing is left of a log but what others wrote, and what went is on record.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	now := lay(t, dir, map[string]int{
		"access.json": 0, "access-2026-10-01T00-00-00.000-time.json.gz": 31, "access-2026-10-02T00-00-00.000-size.json": 30,
		"access-2026-10-03T00-00-00.000-time.json.gz": 29, "access-admin.json": 99, "access-2026-10-01.txt": 99, "other.json": 99,
	})
	var told []string
	k := Keeper{Record: func(e event.Event) error {
		told = append(told, filepath.Base(e.Attrs[0].Value)+" "+e.Attrs[4].Value)
		return nil
	}}
	if err := k.Sweep(Family{File: filepath.Join(dir, "access.json"), Keep: Default}, now); err != nil {
		t.Fatal(err)
	}
	if want := []string{"access-2026-10-03T00-00-00.000-time.json.gz", "access-2026-10-01.txt", "access-admin.json", "access.json", "other.json"}; len(left(t, dir)) != len(want) {
		t.Errorf("left: %q, want %q", left(t, dir), want)
	}
	if want := []string{"access-2026-10-01T00-00-00.000-time.json.gz age", "access-2026-10-02T00-00-00.000-size.json age"}; !slices.Equal(told, want) {
		t.Errorf("on record: %q, want %q", told, want)
	}
	// The one that is being written, when nobody wrote for so long: its writer has it open, and goes on.
	open, err := os.OpenFile(filepath.Join(dir, "access.json"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := k.Sweep(Family{File: filepath.Join(dir, "access.json"), Keep: Default}, now.Add(31*day)); err != nil {
		t.Fatal(err)
	}
	if _, err := open.WriteString("new\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "access.json")); err != nil || string(text) != "new\n" {
		t.Errorf("the live file: %q, %v", text, err)
	}
}

func TestSweepLeaves(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name  string
		k     Keeper
		f     Family
		fails bool
		left  int
	}{
		{"what somebody holds", Keeper{Held: func() (bool, error) { return true, nil }}, Family{Keep: day}, false, 3},
		{"when nobody knows of holds", Keeper{Held: func() (bool, error) { return false, broken }}, Family{Keep: day}, true, 3},
		{"what cannot be put on record", Keeper{Record: func(event.Event) error { return broken }}, Family{Keep: day}, true, 3},
		{"so many", Keeper{}, Family{Keep: 99 * day, Most: 1}, false, 2},
		{"what is young", Keeper{}, Family{Keep: 99 * day}, false, 3},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		now := lay(t, dir, map[string]int{"a.log": 0, "a-2026-10-01T00.log": 9, "a-2026-10-02T00.log.gz": 8})
		tt.f.File = filepath.Join(dir, "a.log")
		if err := tt.k.Sweep(tt.f, now); (err != nil) != tt.fails {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := left(t, dir); len(got) != tt.left {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	if err := (Keeper{}).Sweep(Family{File: "/nowhere/at/all.log", Keep: day}, time.Now()); err != nil {
		t.Errorf("no directory: %v", err)
	}
}
