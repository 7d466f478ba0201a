package storetest

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
)

const patience = 5 * time.Second

func next(t *testing.T, feed <-chan store.Event) (store.Event, bool) {
	t.Helper()
	select {
	case ev, ok := <-feed:
		return ev, ok
	case <-time.After(patience):
		t.Fatal("no event")
		return store.Event{}, false
	}
}

func wantEvent(t *testing.T, feed <-chan store.Event, want store.Event) {
	t.Helper()
	if ev, ok := next(t, feed); ev != want || !ok {
		t.Errorf("event %+v, %t; want %+v", ev, ok, want)
	}
}

func testWatch(t *testing.T, s store.Store) {
	feed, err := s.Watch(t.Context(), "session", "ban", "session")
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := key("session", "a"), key("session", "b"), key("ban", "c")
	put(t, s, key("user", "u"), "", store.PutOptions{}) // not watched
	put(t, s, a, "", store.PutOptions{})
	wantEvent(t, feed, store.Event{Kind: store.Set, Key: a})
	put(t, s, a, "", store.PutOptions{TTL: time.Hour, Index: []string{"x"}})
	wantEvent(t, feed, store.Event{Kind: store.Set, Key: a})
	put(t, s, b, "", store.PutOptions{})
	wantEvent(t, feed, store.Event{Kind: store.Set, Key: b})
	put(t, s, c, "", store.PutOptions{})
	wantEvent(t, feed, store.Event{Kind: store.Set, Key: c})

	_, err = s.Put(ctx, a, nil, store.PutOptions{Match: store.Absent})
	wantErr(t, "Put", err, store.ErrConflict)
	if err := s.Touch(ctx, map[store.Key]time.Time{a: time.Now().Add(2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Incr(ctx, a, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Lease(ctx, a, store.Limit{Burst: 1, Every: time.Hour}, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteIndexed(ctx, "session", "x"); err != nil {
		t.Fatal(err)
	}
	wantEvent(t, feed, store.Event{Kind: store.Gone, Key: a}) // and nothing before it
	if _, err := s.Take(ctx, b); err != nil {
		t.Fatal(err)
	}
	wantEvent(t, feed, store.Event{Kind: store.Gone, Key: b})
	if err := s.Delete(ctx, a, b, c); err != nil { // a and b are gone already
		t.Fatal(err)
	}
	wantEvent(t, feed, store.Event{Kind: store.Gone, Key: c})
}

// testWatchSlow: a watcher that does not read delays nobody, and learns that it missed something. What it missed is then there to scan,
// and the feed goes on.
func testWatchSlow(t *testing.T, s store.Store) {
	feed, err := s.Watch(t.Context(), "session", "ban")
	if err != nil {
		t.Fatal(err)
	}
	const n = 2 * store.WatchBuffer
	together(32, func(w int) {
		for i := w; i < n; i += 32 {
			if _, err := s.Put(ctx, key("session", strconv.Itoa(i)), nil, store.PutOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	put(t, s, key("ban", "b"), "", store.PutOptions{})
	known, resync := map[string]bool{}, map[store.Bucket]int{}
	for len(resync) < 2 {
		ev, ok := next(t, feed)
		if !ok {
			t.Fatal("feed ended")
		}
		switch {
		case ev.Kind == store.Resync:
			resync[ev.Key.Bucket]++
			for _, id := range ids(t, s, ev.Key.Bucket, "") {
				known[id] = true
			}
		case ev.Kind == store.Set:
			known[ev.Key.ID] = true
			if ev.Key.Bucket == "ban" {
				resync["ban"]++ // an engine may have had room for it
			}
		}
	}
	if len(known) != n+1 {
		t.Errorf("the watcher knows %d of %d items", len(known), n+1)
	}
	for last := key("session", "last"); ; {
		put(t, s, last, "", store.PutOptions{})
		if ev, _ := next(t, feed); ev == (store.Event{Kind: store.Set, Key: last}) {
			break
		}
	}
}

func testWatchEnds(t *testing.T, s store.Store) {
	_, err := s.Watch(ctx)
	wantErr(t, "Watch of nothing", err, store.ErrInvalid)
	watching, stop := context.WithCancel(ctx)
	one, err := s.Watch(watching, "session")
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Watch(ctx, "session")
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if ev, ok := next(t, one); ok {
		t.Errorf("event %+v after the context ended", ev)
	}
	put(t, s, key("session", "a"), "", store.PutOptions{})
	wantEvent(t, two, store.Event{Kind: store.Set, Key: key("session", "a")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if ev, ok := next(t, two); ok {
		t.Errorf("event %+v after Close", ev)
	}
}

func testLimits(t *testing.T, s store.Store) {
	k, l := key("user", "u"), store.Limit{Burst: 1, Every: time.Second}
	long := strings.Repeat("x", store.MaxID+1)
	putErr := func(k store.Key, n int, o store.PutOptions) error {
		_, err := s.Put(ctx, k, make([]byte, n), o)
		return err
	}
	second := func(_ any, err error) error { return err }
	lease := func(l store.Limit, want int64) error {
		_, _, err := s.Lease(ctx, k, l, want)
		return err
	}
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"largest value", putErr(k, store.MaxValue, store.PutOptions{}), nil},
		{"value", putErr(k, store.MaxValue+1, store.PutOptions{}), store.ErrTooLarge},
		{"ID", putErr(key("user", long), 0, store.PutOptions{}), store.ErrTooLarge},
		{"empty ID", putErr(key("user", ""), 0, store.PutOptions{}), store.ErrInvalid},
		{"empty bucket", putErr(key("", "u"), 0, store.PutOptions{}), store.ErrInvalid},
		{"long bucket", putErr(key(store.Bucket(long[:store.MaxBucket+1]), "u"), 0, store.PutOptions{}), store.ErrInvalid},
		{"odd bucket", putErr(key("a\x00b", "u"), 0, store.PutOptions{}), store.ErrInvalid},
		{"negative TTL", putErr(k, 0, store.PutOptions{TTL: -1}), store.ErrInvalid},
		{"longest TTL", putErr(k, 0, store.PutOptions{TTL: 1<<63 - 1}), nil},
		{"unknown match", putErr(k, 0, store.PutOptions{Match: 9}), store.ErrInvalid},
		{"empty index", putErr(k, 0, store.PutOptions{Index: []string{""}}), store.ErrInvalid},
		{"long index", putErr(k, 0, store.PutOptions{Index: []string{long[:store.MaxIndex+1]}}), store.ErrTooLarge},
		{"many indexes", putErr(k, 0, store.PutOptions{Index: make([]string, store.MaxIndexes+1)}), store.ErrTooLarge},
		{"get", second(s.Get(ctx, key("user", long))), store.ErrTooLarge},
		{"take", second(s.Take(ctx, key("user", long))), store.ErrTooLarge},
		{"delete", s.Delete(ctx, k, key("user", "")), store.ErrInvalid},
		{"delete indexed", second(s.DeleteIndexed(ctx, "user", "")), store.ErrInvalid},
		{"touch", s.Touch(ctx, map[store.Key]time.Time{key("user", long): time.Now()}), store.ErrTooLarge},
		{"counter", second(s.Incr(ctx, key("user", long), 1, time.Hour)), store.ErrTooLarge},
		{"counter TTL", second(s.Incr(ctx, k, 1, -1)), store.ErrInvalid},
		{"no burst", lease(store.Limit{Every: 1}, 1), store.ErrInvalid},
		{"no pace", lease(store.Limit{Burst: 1}, 1), store.ErrInvalid},
		{"overflow", lease(store.Limit{Burst: 1 << 62, Every: time.Hour}, 1), store.ErrInvalid},
		{"negative lease", lease(l, -1), store.ErrInvalid},
		{"huge lease", lease(l, 1<<63-1), nil},
		{"watch", second(s.Watch(ctx, "A")), store.ErrInvalid},
	} {
		wantErr(t, c.name, c.err, c.want)
	}
	for _, err := range s.Scan(ctx, "A", "") {
		wantErr(t, "scan", err, store.ErrInvalid)
	}
	if it, err := s.Get(ctx, k); err != nil || it.Expires.Before(time.Now().AddDate(100, 0, 0)) {
		t.Errorf("longest TTL: expires %v, %v", it.Expires, err)
	}
}

// calls makes every call with the context and returns the errors by name.
func calls(c context.Context, s store.Store) map[string]error {
	k, errs := key("user", "u"), map[string]error{}
	_, errs["Get"] = s.Get(c, k)
	_, errs["Put"] = s.Put(c, k, nil, store.PutOptions{})
	_, errs["Take"] = s.Take(c, k)
	errs["Delete"] = s.Delete(c, k)
	_, errs["DeleteIndexed"] = s.DeleteIndexed(c, "user", "x")
	errs["Touch"] = s.Touch(c, map[store.Key]time.Time{k: time.Now()})
	errs["Touch of nothing"] = s.Touch(c, nil)
	for _, err := range s.Scan(c, "user", "") {
		errs["Scan"] = err
	}
	_, errs["Incr"] = s.Incr(c, k, 1, time.Hour)
	_, _, errs["Lease"] = s.Lease(c, k, store.Limit{Burst: 1, Every: 1}, 1)
	_, errs["Watch"] = s.Watch(c, "user")
	errs["Snapshot"] = s.Snapshot(c, &bytes.Buffer{})
	errs["Health"] = s.Health(c)
	return errs
}

func testCancelled(t *testing.T, s store.Store) {
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for name, err := range calls(cancelled, s) {
		wantErr(t, name, err, context.Canceled)
	}
	wantGone(t, s, key("user", "u"))
}

func testHealth(t *testing.T, s store.Store) {
	if err := s.Health(ctx); err != nil {
		t.Errorf("Health = %v", err)
	}
}

func testClosed(t *testing.T, s store.Store) {
	put(t, s, key("user", "u"), "", store.PutOptions{})
	together(4, func(int) {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	errs := calls(ctx, s)
	if len(errs) != 13 {
		t.Errorf("%d calls answered", len(errs))
	}
	for name, err := range errs {
		wantErr(t, name, err, store.ErrClosed)
		wantErr(t, name, err, store.ErrDown)
	}
}

func (s Suite) testSnapshot(t *testing.T) {
	live := s.Open(t)
	var copied bytes.Buffer
	if s.Restore == nil {
		wantErr(t, "Snapshot", live.Snapshot(ctx, &copied), errors.ErrUnsupported)
		return
	}
	v := put(t, live, key("user", "a"), "one", store.PutOptions{Index: []string{"x"}})
	if _, err := live.Incr(ctx, key("user", "a"), 7, 0); err != nil {
		t.Fatal(err)
	}
	if err := live.Snapshot(ctx, &copied); err != nil {
		t.Fatalf("Snapshot = %v", err)
	}
	put(t, live, key("user", "b"), "later", store.PutOptions{})
	old := s.Restore(t, copied.Bytes())
	wantValue(t, old, key("user", "a"), "one")
	wantIDs(t, old, "user", "x", "a")
	wantGone(t, old, key("user", "b"))
	if n, err := old.Incr(ctx, key("user", "a"), 1, 0); n != 8 || err != nil {
		t.Errorf("counter after restore = %d, %v; want 8", n, err)
	}
	if v2 := put(t, old, key("user", "a"), "two", store.PutOptions{Match: store.Version, Version: v}); v2 <= v {
		t.Errorf("version %d after %d", v2, v)
	}
	wantValue(t, live, key("user", "a"), "one")
}
