package store

import (
	"math"
	"testing"
	"time"
)

func TestGCRA(t *testing.T) {
	const s = int64(time.Second)
	l := Limit{Burst: 3, Every: time.Second}
	for _, c := range []struct {
		name      string
		tat, now  int64
		want      int64
		next, got int64
		retry     int64
	}{
		{"fresh", 0, 100 * s, 1, 101 * s, 1, 0},
		{"whole burst", 0, 100 * s, 3, 103 * s, 3, s},
		{"more than the burst", 0, 100 * s, math.MaxInt64, 103 * s, 3, s},
		{"empty", 103 * s, 100 * s, 1, 103 * s, 0, s},
		{"one came back", 103 * s, 101 * s, 2, 104 * s, 1, s},
		{"just before", 103 * s, 101*s - 1, 1, 103 * s, 0, 1},
		{"look", 101 * s, 100 * s, 0, 101 * s, 0, 0},
		{"deeper than the limit", 1000 * s, 100 * s, 1, 103 * s, 0, s},
	} {
		next, got, retry := gcra(c.tat, c.now, l, c.want)
		if next != c.next || got != c.got || int64(retry) != c.retry {
			t.Errorf("%s: %d, %d, %v; want %d, %d, %v", c.name, next, got, retry, c.next, c.got, time.Duration(c.retry))
		}
	}
}

// FuzzGCRA: over any calls, no more than the burst and what came back since.
func FuzzGCRA(f *testing.F) {
	f.Add(int64(10), int64(time.Second), []byte{1, 2, 3, 200})
	f.Fuzz(func(t *testing.T, burst, every int64, steps []byte) {
		l := Limit{Burst: burst, Every: time.Duration(every)}
		if l.Check() != nil {
			t.Skip()
		}
		start := int64(1_700_000_000) * int64(time.Second)
		now, tat, taken := start, int64(0), int64(0)
		for _, b := range steps {
			now += int64(b>>4) * every / 4 % int64(24*time.Hour)
			next, got, retry := gcra(tat, now, l, int64(b&15))
			if got < 0 || got > int64(b&15) || retry < 0 || next < tat && got > 0 {
				t.Fatalf("gcra = %d, %d, %v", next, got, retry)
			}
			if got < int64(b&15) && retry == 0 {
				t.Fatal("fewer than wanted, and one is free")
			}
			tat, taken = next, taken+got
			if taken > addSaturated(burst, (now-start)/every) {
				t.Fatalf("%d taken in %v of %+v", taken, time.Duration(now-start), l)
			}
		}
	})
}
