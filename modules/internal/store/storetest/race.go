package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// together runs fn(0..n-1) at once and waits.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

func testTakeRace(t *testing.T, s store.Store) {
	k := key("code", "c")
	for range 10 {
		put(t, s, k, "secret", store.PutOptions{TTL: time.Hour})
		var won atomic.Int64
		together(16, func(int) {
			it, err := s.Take(ctx, k)
			switch {
			case err == nil && string(it.Value) == "secret" && it.Key == k:
				won.Add(1)
			case !errors.Is(err, store.ErrNotFound):
				t.Errorf("Take = %q, %v", it.Value, err)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d of 16 took it", won.Load())
		}
		wantGone(t, s, k)
	}
}

func testAbsentRace(t *testing.T, s store.Store) {
	for i := range 5 {
		k := key("jti", strconv.Itoa(i))
		var won atomic.Int64
		together(16, func(int) {
			_, err := s.Put(ctx, k, nil, store.PutOptions{TTL: time.Hour, Match: store.Absent})
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("Put = %v", err)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d of 16 put it", won.Load())
		}
	}
}

// testChain is the audit head: four nodes append 25 links each by compare and set.
func testChain(t *testing.T, s store.Store) {
	head := key("audit", "head")
	put(t, s, head, "0", store.PutOptions{Match: store.Absent})
	together(4, func(int) {
		for range 25 {
			for {
				it, err := s.Get(ctx, head)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(it.Value))
				_, err = s.Put(ctx, head, []byte(strconv.Itoa(n+1)), store.PutOptions{Match: store.Version, Version: it.Version})
				if err == nil {
					break
				}
				if !errors.Is(err, store.ErrConflict) {
					t.Error(err)
					return
				}
			}
		}
	})
	wantValue(t, s, head, "100")
}

func testIncr(t *testing.T, s store.Store) {
	k := key("login", "u")
	if n, err := s.Incr(ctx, k, 0, time.Hour); n != 0 || err != nil {
		t.Errorf("reading a missing counter = %d, %v", n, err)
	}
	together(8, func(int) {
		for range 10 {
			if _, err := s.Incr(ctx, k, 2, time.Hour); err != nil {
				t.Error(err)
			}
		}
	})
	for _, c := range []struct{ add, want int64 }{
		{0, 160}, {-200, -40}, {40, 0}, {0, 0},
		{1<<63 - 1, 1<<63 - 1}, {1, 1<<63 - 1}, {-1, 1<<63 - 2},
	} {
		if n, err := s.Incr(ctx, k, c.add, time.Hour); n != c.want || err != nil {
			t.Errorf("Incr(%d) = %d, %v; want %d", c.add, n, err, c.want)
		}
	}
}

func testLeaseRace(t *testing.T, s store.Store) {
	k, l := key("rate", "u"), store.Limit{Burst: 100, Every: time.Hour}
	var total atomic.Int64
	together(8, func(i int) {
		for range 10 {
			got, retry, err := s.Lease(ctx, k, l, int64(1+i%3))
			if err != nil {
				t.Error(err)
			}
			if got == 0 && retry <= 0 {
				t.Errorf("nothing leased, and retry %v", retry)
			}
			total.Add(got)
		}
	})
	if total.Load() != 100 {
		t.Errorf("leased %d of 100", total.Load())
	}
}

func testScan(t *testing.T, s store.Store) {
	const n = 700 // more than any engine's page
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("%04d", i))
	}
	together(16, func(w int) {
		for i := w; i < n; i += 16 {
			if _, err := s.Put(ctx, key("session", want[i]), []byte(want[i]), store.PutOptions{Index: []string{"all"}}); err != nil {
				t.Error(err)
			}
		}
	})
	put(t, s, key("sessioo", "x"), "", store.PutOptions{Index: []string{"all"}})
	wantIDs(t, s, "session", "", want...)
	wantIDs(t, s, "session", "all", want...)
	seen := 0
	for range s.Scan(ctx, "session", "") {
		if seen++; seen == 3 {
			break
		}
	}
	if seen != 3 {
		t.Errorf("Scan went on after break: %d", seen)
	}
}

// testScanWrites: a caller may use the store between two items.
func testScanWrites(t *testing.T, s store.Store) {
	for i := range 20 {
		put(t, s, key("user", strconv.Itoa(i)), "old", store.PutOptions{})
	}
	for it, err := range s.Scan(ctx, "user", "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(ctx, it.Key, []byte("new"), store.PutOptions{Match: store.Version, Version: it.Version}); err != nil {
			t.Errorf("Put while scanning = %v", err)
		}
	}
	for i := range 20 {
		wantValue(t, s, key("user", strconv.Itoa(i)), "new")
	}
}
