package siem

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func numbered(from, n int) (all []entry) {
	for i := range n {
		all = append(all, entry{at: int64(from + i), stream: "access", id: fmt.Sprint("id", from+i), text: fmt.Appendf(nil, "text\tof %d", from+i)})
	}
	return all
}

func mustPut(t *testing.T, s *spool, entries []entry) {
	t.Helper()
	if _, err := s.put(entries); err != nil {
		t.Fatal(err)
	}
}

func mustTake(t *testing.T, s *spool, most int) ([]entry, position) {
	t.Helper()
	got, behind, err := s.take(most, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return got, behind
}

func mustOpen(t *testing.T, dir string) *spool {
	t.Helper()
	s, err := openSpool(dir, 1<<30, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

func same(a, b []entry) bool {
	return slices.EqualFunc(a, b, func(a, b entry) bool {
		return a.at == b.at && a.stream == b.stream && a.id == b.id && string(a.text) == string(b.text)
	})
}

// What was put is taken in order; what was not acknowledged is taken again, also after a restart.
func TestSpoolOrder(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	mustPut(t, s, numbered(0, 10))
	first, behind := mustTake(t, s, 4)
	if !same(first, numbered(0, 4)) {
		t.Fatalf("took %v", first)
	}
	if err := s.ack(behind); err != nil {
		t.Fatal(err)
	}
	if got, _ := mustTake(t, s, 100); !same(got, numbered(4, 6)) {
		t.Errorf("then %v", got)
	}
	s.rewind()
	if got, _ := mustTake(t, s, 100); !same(got, numbered(4, 6)) {
		t.Errorf("after the rewind %v", got)
	}
	mustPut(t, s, numbered(10, 2))
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, dir)
	mustPut(t, again, numbered(12, 1))
	got, behind := mustTake(t, again, 100)
	if !same(got, numbered(4, 9)) {
		t.Errorf("after the restart %v", got)
	}
	if err := again.ack(behind); err != nil {
		t.Fatal(err)
	}
	if size, since := again.waiting(); size != 0 || !since.IsZero() {
		t.Errorf("%d bytes wait since %v, and all were taken", size, since)
	}
}

// What a crash tore off is not taken for a record, nor does what comes next become part of it.
func TestSpoolTorn(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	mustPut(t, s, numbered(0, 3))
	name := s.file(s.parts[0].n)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("3\taccess\tid3\thalf a rec")
		err2 := f.Close()
		if err == nil {
			err = err2
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, dir)
	mustPut(t, again, numbered(3, 1))
	if got, _ := mustTake(t, again, 100); !same(got, numbered(0, 4)) {
		t.Errorf("took %v", got)
	}
}

// A spool that is full, or whose records are too old, lets go of the oldest and says how many.
func TestSpoolBounds(t *testing.T) {
	s, err := openSpool(t.TempDir(), 3*segmentSize, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	big := numbered(0, 1)
	big[0].text = []byte(strings.Repeat("x", longestRecord-1))
	var dropped, put int64
	for put < 400 {
		n, err := s.put(big)
		if err != nil {
			t.Fatal(err)
		}
		dropped, put = dropped+n, put+1
	}
	files, _ := filepath.Glob(filepath.Join(s.dir, "*.spool"))
	if len(files) > 4 || dropped == 0 {
		t.Errorf("%d segments, %d dropped of %d", len(files), dropped, put)
	}
	var taken int64
	for {
		got, _ := mustTake(t, s, 100)
		if len(got) == 0 {
			break
		}
		taken += int64(len(got))
	}
	if taken+dropped != put {
		t.Errorf("%d taken and %d dropped of %d", taken, dropped, put)
	}

	s.rewind()
	s.keep = time.Hour
	for i := range s.parts[:len(s.parts)-1] {
		s.parts[i].began = time.Now().Add(-2 * time.Hour)
	}
	if n, err := s.put(numbered(0, 1)); err != nil || n == 0 {
		t.Errorf("%d too old records dropped, %v", n, err)
	}
	if got, _ := mustTake(t, s, 1000); len(got) == 0 || got[len(got)-1].id != "id0" {
		t.Errorf("the newest is not among the %d that are left", len(got))
	}
}

// Whatever is done, what is taken and acknowledged is what was put, each once and in order.
func TestSpoolModel(t *testing.T) {
	for seed := range uint64(20) {
		r, dir := rand.New(rand.NewPCG(seed, 1)), t.TempDir()
		s := mustOpen(t, dir)
		put, acked, taken := 0, 0, 0
		var behind position
		for range 200 {
			switch r.IntN(6) {
			case 0, 1:
				n := r.IntN(50)
				mustPut(t, s, numbered(put, n))
				put += n
			case 2, 3:
				got, p := mustTake(t, s, 1+r.IntN(40))
				if !same(got, numbered(taken, len(got))) || taken+len(got) > put {
					t.Fatalf("seed %d: took %d at %d of %d", seed, len(got), taken, put)
				}
				taken, behind = taken+len(got), p
			case 4:
				if taken > acked {
					if err := s.ack(behind); err != nil {
						t.Fatal(err)
					}
					acked = taken
				}
				if r.IntN(2) == 0 {
					s.mu.Lock()
					if err := s.begin(); err != nil {
						t.Fatal(err)
					}
					s.prune()
					s.mu.Unlock()
				}
			case 5:
				taken = acked
				if r.IntN(3) > 0 {
					s.rewind()
					continue
				}
				if err := s.close(); err != nil {
					t.Fatal(err)
				}
				s = mustOpen(t, dir)
			}
		}
	}
}

// BRF-10: what a collector has taken, and what it has not taken for too long, leaves the disk although nothing new comes.
func TestSpoolExpires(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := openSpool(dir, 1<<30, 30*24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		expire := func(want int64) {
			t.Helper()
			if dropped, err := s.expire(); err != nil || dropped != want {
				t.Errorf("dropped %d, %v, want %d", dropped, err, want)
			}
		}
		mustPut(t, s, numbered(0, 3))
		_, behind := mustTake(t, s, 3)
		if err := s.ack(behind); err != nil {
			t.Fatal(err)
		}
		expire(0)
		time.Sleep(25 * time.Hour)
		expire(0)
		if text := spooled(t, dir); text != "" {
			t.Errorf("after a day there is what was taken: %q", text)
		}
		mustPut(t, s, numbered(3, 2))
		time.Sleep(29 * 24 * time.Hour)
		expire(0)
		mustPut(t, s, numbered(5, 1))
		time.Sleep(25 * time.Hour)
		expire(2)
		if got, _ := mustTake(t, s, 10); !same(got, numbered(5, 1)) {
			t.Errorf("left is %v", got)
		}
	})
}

// spooled is what stands in the segments of a spool.
func spooled(t *testing.T, dir string) (text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	return text
}

// Of a segment that goes unfinished, what the collector has is not lost.
func TestSpoolCountsWhatIsLost(t *testing.T) {
	s, err := openSpool(t.TempDir(), 1<<30, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	mustPut(t, s, numbered(0, 10))
	_, behind := mustTake(t, s, 7)
	if err := s.ack(behind); err != nil {
		t.Fatal(err)
	}
	s.parts[0].began = time.Now().Add(-2 * time.Hour)
	if n, err := s.expire(); n != 3 || err != nil {
		t.Errorf("%d records are lost, want 3: %v", n, err)
	}
}
