package storetest

import (
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
)

func testExpiry(t *testing.T, s store.Store) {
	k := key("session", "s")
	v := put(t, s, k, "one", store.PutOptions{TTL: 2 * time.Second, Index: []string{"user:a"}})
	it, err := s.Get(ctx, k)
	if left := time.Until(it.Expires); err != nil || left <= time.Second || left > 2*time.Second {
		t.Errorf("Expires in %v, %v; want just under 2s", left, err)
	}
	sleep(1900 * time.Millisecond)
	wantValue(t, s, k, "one")
	sleep(150 * time.Millisecond)
	wantGone(t, s, k)
	wantIDs(t, s, "session", "")
	wantIDs(t, s, "session", "user:a")
	_, err = s.Take(ctx, k)
	wantErr(t, "Take", err, store.ErrNotFound)
	_, err = s.Put(ctx, k, nil, store.PutOptions{Match: store.Version, Version: v})
	wantErr(t, "Put of an expired version", err, store.ErrConflict)
	if gone, err := s.DeleteIndexed(ctx, "session", "user:a"); len(gone) != 0 || err != nil {
		t.Errorf("DeleteIndexed = %v, %v; want none", gone, err)
	}
	put(t, s, k, "two", store.PutOptions{Match: store.Absent})
	sleep(3 * time.Second)
	wantValue(t, s, k, "two") // the old expiry does not reach the new item
}

func testExpiryEvent(t *testing.T, s store.Store) {
	feed, err := s.Watch(t.Context(), "ban")
	if err != nil {
		t.Fatal(err)
	}
	k := key("ban", "192.0.2.1")
	put(t, s, k, "", store.PutOptions{TTL: time.Second})
	wantEvent(t, feed, store.Event{Kind: store.Set, Key: k})
	wantEvent(t, feed, store.Event{Kind: store.Gone, Key: k})
}

func testTouch(t *testing.T, s store.Store) {
	soon, later, never, missing := key("session", "soon"), key("session", "later"), key("session", "never"), key("session", "missing")
	v := put(t, s, soon, "soon", store.PutOptions{TTL: 2 * time.Second, Index: []string{"user:a"}})
	put(t, s, later, "later", store.PutOptions{TTL: time.Hour})
	put(t, s, never, "never", store.PutOptions{})
	before, err := s.Get(ctx, later)
	if err != nil {
		t.Fatal(err)
	}
	to := time.Now().Add(4 * time.Second)
	if err := s.Touch(ctx, map[store.Key]time.Time{soon: to, later: to, never: to, missing: to}); err != nil {
		t.Fatalf("Touch = %v", err)
	}
	if err := s.Touch(ctx, map[store.Key]time.Time{soon: {}, later: {}}); err != nil {
		t.Fatalf("Touch to zero = %v", err)
	}
	if err := s.Touch(ctx, nil); err != nil {
		t.Fatalf("Touch of nothing = %v", err)
	}
	if it, err := s.Get(ctx, later); err != nil || !it.Expires.Equal(before.Expires) {
		t.Errorf("later expires %v, %v; want %v: moved back", it.Expires, err, before.Expires)
	}
	wantGone(t, s, missing)
	sleep(3 * time.Second)
	it, err := s.Get(ctx, soon)
	if err != nil || it.Version != v || string(it.Value) != "soon" || it.Expires.Sub(to).Abs() > time.Millisecond {
		t.Errorf("touched item = %+v, %v; want version %d until %v", it, err, v, to)
	}
	wantIDs(t, s, "session", "user:a", "soon")
	sleep(1100 * time.Millisecond)
	wantGone(t, s, soon)
	if err := s.Touch(ctx, map[store.Key]time.Time{soon: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	wantGone(t, s, soon)
	wantValue(t, s, never, "never")
}

func testIncrExpiry(t *testing.T, s store.Store) {
	k, ever := key("login", "u"), key("login", "ever")
	incr := func(k store.Key, ttl time.Duration, want int64) {
		t.Helper()
		if n, err := s.Incr(ctx, k, 1, ttl); n != want || err != nil {
			t.Errorf("Incr = %d, %v; want %d", n, err, want)
		}
	}
	incr(ever, 0, 1)
	incr(k, 2*time.Second, 1)
	sleep(1500 * time.Millisecond)
	incr(k, 2*time.Second, 2) // does not lengthen the window
	sleep(600 * time.Millisecond)
	if n, err := s.Incr(ctx, k, 0, time.Second); n != 0 || err != nil {
		t.Errorf("expired counter reads %d, %v", n, err)
	}
	incr(k, 2*time.Second, 1)
	incr(ever, 0, 2)
}

func testLeaseRefill(t *testing.T, s store.Store) {
	k, l := key("rate", "u"), store.Limit{Burst: 3, Every: time.Second}
	lease := func(want, wantGot int64, lo, hi time.Duration) {
		t.Helper()
		got, retry, err := s.Lease(ctx, k, l, want)
		if got != wantGot || retry < lo || retry > hi || err != nil {
			t.Errorf("Lease(%d) = %d, %v, %v; want %d, %v to %v", want, got, retry, err, wantGot, lo, hi)
		}
	}
	lease(0, 0, 0, 0)
	lease(2, 2, 0, 0)
	lease(5, 1, 500*time.Millisecond, time.Second)
	lease(1, 0, 500*time.Millisecond, time.Second)
	lease(0, 0, 500*time.Millisecond, time.Second)
	sleep(1050 * time.Millisecond)
	lease(5, 1, 500*time.Millisecond, time.Second)
	sleep(4 * time.Second)
	lease(9, 3, 500*time.Millisecond, time.Second) // never more than the burst
}

func testLeaseLowered(t *testing.T, s store.Store) {
	k := key("rate", "u")
	if got, _, err := s.Lease(ctx, k, store.Limit{Burst: 1000, Every: time.Minute}, 1000); got != 1000 || err != nil {
		t.Fatalf("Lease = %d, %v", got, err)
	}
	low := store.Limit{Burst: 2, Every: time.Second}
	if got, retry, err := s.Lease(ctx, k, low, 1); got != 0 || retry > time.Second || err != nil {
		t.Errorf("Lease = %d, %v, %v; want none, and one within a second", got, retry, err)
	}
	sleep(2100 * time.Millisecond)
	if got, _, err := s.Lease(ctx, k, low, 5); got != 2 || err != nil {
		t.Errorf("Lease = %d, %v; want 2", got, err)
	}
}
