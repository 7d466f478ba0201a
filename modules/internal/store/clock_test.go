package store

import (
	"errors"
	"math"
	"os"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
)

func TestClock(t *testing.T) {
	const s, base = int64(time.Second), int64(1_700_000_000) * int64(time.Second)
	type reading struct{ wall, elapsed, now, lag int64 }
	for _, c := range []struct {
		name  string
		floor int64
		reads []reading
	}{
		{"healthy", 0, []reading{{base, 0, base, 0}, {base + 5*s, 5 * s, base + 5*s, 0}}},
		{"wall jumps ahead", base, []reading{{base + 100*s, s, base + 100*s, 0}, {base + 101*s, 2 * s, base + 101*s, 0}}},
		{"wall is set back, time goes on", base, []reading{{base, 0, base, 0}, {base - 3600*s, 2 * s, base + 2*s, 3602 * s}, {base - 3598*s, 4 * s, base + 4*s, 3602 * s}}},
		{"wall jumps ahead and back", base, []reading{{base + 3600*s, s, base + 3600*s, 0}, {base + 2*s, 2 * s, base + 3601*s, 3599 * s}, {base + 7200*s, 3 * s, base + 7200*s, 0}}},
		{"restart with the wall behind the file", base, []reading{{base - 60*s, 0, base, 60 * s}, {base - 50*s, 10 * s, base + 10*s, 60 * s}}},
		{"jitter is no lag", base, []reading{{base, 0, base, 0}, {base + s - 50, s, base + s, 0}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &clock{start: time.Now()}
			k.offset.Store(c.floor)
			for i, r := range c.reads {
				if now, lag := k.at(r.wall, r.elapsed); now != r.now || lag != r.lag {
					t.Errorf("reading %d = %d, lag %d; want %d, lag %d", i, now-base, lag, r.now-base, r.lag)
				}
			}
		})
	}
}

func TestAfter(t *testing.T) {
	for _, c := range []struct {
		now  int64
		ttl  time.Duration
		want int64
	}{{5, 0, 0}, {5, 1, 6}, {5, math.MaxInt64, math.MaxInt64}, {math.MaxInt64 - 1, 1, math.MaxInt64}} {
		if got := after(c.now, c.ttl); got != c.want {
			t.Errorf("after(%d, %d) = %d, want %d", c.now, c.ttl, got, c.want)
		}
	}
}

// TestClockSetBack: over restarts, and a crash, with the wall clock set back in between, nothing expired comes back,
// nothing lives longer than its TTL, and callers still see their own wall time.
func TestClockSetBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash bool
	}{{"clean restart", false}, {"crash right after the absence was reported", true}} {
		t.Run(c.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { clockSetBack(t, c.crash) }) })
	}
}

func clockSetBack(t *testing.T, crash bool) {
	path := file(t)
	gone, lives, banned := Key{"session", "gone"}, Key{"session", "lives"}, Key{"ban", "b"}
	s := open(t, path, EmbeddedOptions{Sweep: time.Hour})
	mustPut(t, s, gone, "", PutOptions{TTL: time.Minute})
	mustPut(t, s, lives, "", PutOptions{TTL: 10 * time.Minute})
	mustPut(t, s, banned, "", PutOptions{TTL: time.Hour})
	time.Sleep(2 * time.Minute)
	if _, err := s.Get(ctx, gone); !errors.Is(err, ErrNotFound) {
		t.Fatalf("Get = %v, want ErrNotFound", err)
	}
	synctest.Wait() // the sweeper was told
	if crash {      // the file as it is now, without Close
		path = crashed(t, path)
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A bubble's clock cannot go back, so the file is moved ahead instead: to it, the wall clock is an hour behind.
	edit(t, path, func(tx *bolt.Tx) error { return shift(tx, time.Hour) })

	s = open(t, path, EmbeddedOptions{})
	if _, err := s.Get(ctx, gone); !errors.Is(err, ErrNotFound) {
		t.Errorf("came back: %v", err)
	}
	it, err := s.Get(ctx, lives)
	if left := time.Until(it.Expires); err != nil || left < 7*time.Minute || left > 8*time.Minute {
		t.Errorf("lives for %v, %v; want 8m by the caller's clock", left, err)
	}
	if err := s.Health(ctx); !errors.Is(err, ErrClock) || errors.Is(err, ErrDown) {
		t.Errorf("Health = %v, want ErrClock", err)
	}
	if err := s.Touch(ctx, map[Key]time.Time{lives: time.Now().Add(9 * time.Minute)}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(8*time.Minute + 30*time.Second)
	if _, err := s.Get(ctx, lives); err != nil {
		t.Errorf("Get = %v: Touch speaks wall time", err)
	}
	time.Sleep(time.Minute)
	if _, err := s.Get(ctx, lives); !errors.Is(err, ErrNotFound) {
		t.Errorf("Get = %v: outlived its TTL", err)
	}
	if _, err := s.Get(ctx, banned); err != nil {
		t.Errorf("Get = %v: the ban ended early", err)
	}
}

// crashed copies the file as a killed process leaves it.
func crashed(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = file(t)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shift moves every time in the file ahead by d.
func shift(tx *bolt.Tx, d time.Duration) error {
	st, err := readState(tx)
	if err != nil {
		return err
	}
	st.clock += int64(d)
	if err := st.write(tx); err != nil {
		return err
	}
	t := newBoltTable(tx)
	for key, b := range walk(tx, "session", "", "") {
		moved(t, key, b, d)
	}
	for key, b := range walk(tx, "ban", "", "") {
		moved(t, key, b, d)
	}
	return t.err
}

func moved(t *boltTable, key string, b []byte, d time.Duration) {
	old, err := decodeRecord(append([]byte(nil), b...))
	t.keep(err)
	r := old
	r.expires += int64(d)
	t.save(key, &old, r)
}
