package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse.internal/modules/internal/store"
)

// Suite says what the tests need to know about an engine.
type Suite struct {
	// Open returns an empty store and closes it when the test ends. It is called once in each test.
	Open func(t *testing.T) store.Store
	// Restore opens what Snapshot wrote. Nil: the engine has no snapshots, and Snapshot must say errors.ErrUnsupported.
	Restore func(t *testing.T, snapshot []byte) store.Store
	// RealTime: the engine waits on a network or keeps its own time, so it cannot run in a synctest bubble. Tests of expiry then take seconds.
	RealTime bool
}

// Run runs the suite against an engine without snapshots.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	Suite{Open: open}.Run(t)
}

// Run runs the suite, one subtest for each promise.
func (s Suite) Run(t *testing.T) {
	for _, c := range []struct {
		name  string
		timed bool // moves time
		test  func(*testing.T, store.Store)
	}{
		{"get put delete", false, testBasics},
		{"values are copied", false, testOwnership},
		{"any bytes in ID and value", false, testBytes},
		{"versions grow and never repeat", false, testVersions},
		{"compare and set", false, testMatch},
		{"take once in a race", false, testTakeRace},
		{"absent once in a race", false, testAbsentRace},
		{"chain head from four writers", false, testChain},
		{"index", false, testIndex},
		{"scan pages", false, testScan},
		{"scan may write", false, testScanWrites},
		{"keyspaces are apart", false, testKeyspaces},
		{"counters", false, testIncr},
		{"lease splits exactly", false, testLeaseRace},
		{"watch", false, testWatch},
		{"watch resyncs when slow", false, testWatchSlow},
		{"watch ends", false, testWatchEnds},
		{"limits", false, testLimits},
		{"moves", false, testMove},
		{"cancelled", false, testCancelled},
		{"health", false, testHealth},
		{"closed", false, testClosed},
		{"expiry", true, testExpiry},
		{"expiry is announced", true, testExpiryEvent},
		{"touch", true, testTouch},
		{"counters expire", true, testIncrExpiry},
		{"lease refills", true, testLeaseRefill},
		{"lease limit lowered", true, testLeaseLowered},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := func(t *testing.T) { c.test(t, s.Open(t)) }
			if c.timed && !s.RealTime {
				synctest.Test(t, run)
				return
			}
			run(t)
		})
	}
	t.Run("snapshot", s.testSnapshot)
}

var ctx = context.Background()

// sleep is how the tests move time: an instant in a bubble, real otherwise.
func sleep(d time.Duration) { time.Sleep(d) }

func key(b store.Bucket, id string) store.Key { return store.Key{Bucket: b, ID: id} }

func put(t *testing.T, s store.Store, k store.Key, value string, o store.PutOptions) uint64 {
	t.Helper()
	v, err := s.Put(ctx, k, []byte(value), o)
	if err != nil {
		t.Fatalf("Put(%v) = %v", k, err)
	}
	return v
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func wantValue(t *testing.T, s store.Store, k store.Key, want string) {
	t.Helper()
	it, err := s.Get(ctx, k)
	if err != nil || string(it.Value) != want || it.Key != k {
		t.Errorf("Get(%v) = %q, %v; want %q", k, it.Value, err, want)
	}
}

func wantGone(t *testing.T, s store.Store, k store.Key) {
	t.Helper()
	_, err := s.Get(ctx, k)
	wantErr(t, "Get", err, store.ErrNotFound)
}

// ids scans and returns the sorted IDs.
func ids(t *testing.T, s store.Store, b store.Bucket, index string) []string {
	t.Helper()
	var got []string
	for it, err := range s.Scan(ctx, b, index) {
		if err != nil {
			t.Fatalf("Scan(%s, %s) = %v", b, index, err)
		}
		got = append(got, it.Key.ID)
	}
	slices.Sort(got)
	return got
}

func wantIDs(t *testing.T, s store.Store, b store.Bucket, index string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, ids(t, s, b, index)); diff != "" {
		t.Errorf("Scan(%s, %q) (-want +got):\n%s", b, index, diff)
	}
}

func testBasics(t *testing.T, s store.Store) {
	k := key("user", "u-1")
	wantGone(t, s, k)
	put(t, s, k, "one", store.PutOptions{})
	wantValue(t, s, k, "one")
	put(t, s, k, "two", store.PutOptions{})
	wantValue(t, s, k, "two")
	wantGone(t, s, key("users", "u-1"))
	wantGone(t, s, key("user", "u-"))
	wantGone(t, s, key("user", "u-11"))
	it, err := s.Get(ctx, k)
	if err != nil || !it.Expires.IsZero() {
		t.Errorf("Expires = %v, %v; want never", it.Expires, err)
	}
	if err := s.Delete(ctx, k, key("user", "missing")); err != nil {
		t.Errorf("Delete = %v", err)
	}
	wantGone(t, s, k)
	if err := s.Delete(ctx); err != nil {
		t.Errorf("Delete of nothing = %v", err)
	}
	put(t, s, k, "", store.PutOptions{})
	wantValue(t, s, k, "")
}

func testOwnership(t *testing.T, s store.Store) {
	k, in := key("user", "u"), []byte("abc")
	if _, err := s.Put(ctx, k, in, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	in[0] = 'X'
	it, err := s.Get(ctx, k)
	if err != nil {
		t.Fatal(err)
	}
	it.Value[1] = 'X'
	wantValue(t, s, k, "abc")
}

func testBytes(t *testing.T, s store.Store) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	names := []string{"\x00", "\x00\x00", "a\x00b", "a", "i", string(all), "\xff\xff", strings.Repeat("k", store.MaxID)}
	for _, id := range names {
		put(t, s, key("user", id), id, store.PutOptions{Index: []string{"x\x00" + string(all), "x"}})
	}
	for _, id := range names {
		wantValue(t, s, key("user", id), id)
	}
	slices.Sort(names)
	wantIDs(t, s, "user", "", names...)
	wantIDs(t, s, "user", "x", names...)
	wantIDs(t, s, "user", "x\x00"+string(all), names...)
	wantIDs(t, s, "user", "x\x00")
}

func testVersions(t *testing.T, s store.Store) {
	k, last := key("user", "u"), uint64(0)
	for range 5 {
		v := put(t, s, k, "v", store.PutOptions{})
		if v <= last {
			t.Errorf("version %d after %d", v, last)
		}
		last = v
		if it, err := s.Get(ctx, k); err != nil || it.Version != v {
			t.Errorf("Get = version %d, %v; want %d", it.Version, err, v)
		}
		if err := s.Delete(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
}

func testMatch(t *testing.T, s store.Store) {
	a, missing := key("user", "a"), key("user", "missing")
	v1 := put(t, s, a, "one", store.PutOptions{Match: store.Absent})
	for _, c := range []struct {
		name string
		k    store.Key
		o    store.PutOptions
		want error
	}{
		{"absent, but there", a, store.PutOptions{Match: store.Absent}, store.ErrConflict},
		{"stale version", a, store.PutOptions{Match: store.Version, Version: v1 - 1}, store.ErrConflict},
		{"future version", a, store.PutOptions{Match: store.Version, Version: v1 + 1}, store.ErrConflict},
		{"version of a missing item", missing, store.PutOptions{Match: store.Version, Version: v1}, store.ErrConflict},
		{"version zero of a missing item", missing, store.PutOptions{Match: store.Version}, store.ErrConflict},
	} {
		_, err := s.Put(ctx, c.k, []byte("no"), c.o)
		wantErr(t, c.name, err, c.want)
	}
	wantValue(t, s, a, "one")
	wantGone(t, s, missing)
	put(t, s, a, "two", store.PutOptions{Match: store.Version, Version: v1})
	wantValue(t, s, a, "two")
	_, err := s.Put(ctx, a, []byte("no"), store.PutOptions{Match: store.Version, Version: v1})
	wantErr(t, "version used twice", err, store.ErrConflict)
	if err := s.Delete(ctx, a); err != nil {
		t.Fatal(err)
	}
	put(t, s, a, "three", store.PutOptions{Match: store.Absent})
}

func testIndex(t *testing.T, s store.Store) {
	put(t, s, key("session", "1"), "", store.PutOptions{Index: []string{"user:a", "sid:1"}})
	put(t, s, key("session", "2"), "", store.PutOptions{Index: []string{"user:a", "user:a"}})
	put(t, s, key("session", "3"), "", store.PutOptions{Index: []string{"user:ab"}})
	put(t, s, key("session", "4"), "", store.PutOptions{})
	put(t, s, key("device", "1"), "", store.PutOptions{Index: []string{"user:a"}})
	wantIDs(t, s, "session", "", "1", "2", "3", "4")
	wantIDs(t, s, "session", "user:a", "1", "2")
	wantIDs(t, s, "session", "user:")
	wantIDs(t, s, "device", "user:a", "1")

	put(t, s, key("session", "2"), "", store.PutOptions{Index: []string{"user:b"}})
	wantIDs(t, s, "session", "user:a", "1")
	put(t, s, key("session", "2"), "", store.PutOptions{Index: []string{"user:a"}})

	gone, err := s.DeleteIndexed(ctx, "session", "user:a")
	slices.SortFunc(gone, func(a, b store.Key) int { return strings.Compare(a.ID, b.ID) })
	if diff := cmp.Diff([]store.Key{key("session", "1"), key("session", "2")}, gone); diff != "" || err != nil {
		t.Errorf("DeleteIndexed = %v (-want +got):\n%s", err, diff)
	}
	wantIDs(t, s, "session", "", "3", "4")
	wantIDs(t, s, "session", "sid:1")
	wantIDs(t, s, "device", "", "1")
	if gone, err := s.DeleteIndexed(ctx, "session", "user:a"); len(gone) != 0 || err != nil {
		t.Errorf("DeleteIndexed again = %v, %v", gone, err)
	}
}

func testKeyspaces(t *testing.T, s store.Store) {
	k := key("login", "u")
	put(t, s, k, "item", store.PutOptions{})
	if n, err := s.Incr(ctx, k, 3, time.Hour); n != 3 || err != nil {
		t.Errorf("Incr = %d, %v", n, err)
	}
	if got, _, err := s.Lease(ctx, k, store.Limit{Burst: 5, Every: time.Hour}, 5); got != 5 || err != nil {
		t.Errorf("Lease = %d, %v", got, err)
	}
	wantValue(t, s, k, "item")
	wantIDs(t, s, "login", "", "u")
	if _, err := s.Take(ctx, k); err != nil {
		t.Errorf("Take = %v", err)
	}
	if n, err := s.Incr(ctx, k, 1, time.Hour); n != 4 || err != nil {
		t.Errorf("Incr after Take = %d, %v; want 4", n, err)
	}
	wantIDs(t, s, "login", "")
	if err := s.Delete(ctx, k); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Incr(ctx, k, 1, time.Hour); n != 1 || err != nil {
		t.Errorf("Incr after Delete = %d, %v; want 1", n, err)
	}
	if got, _, err := s.Lease(ctx, k, store.Limit{Burst: 5, Every: time.Hour}, 5); got != 5 || err != nil {
		t.Errorf("Lease after Delete = %d, %v; want 5", got, err)
	}
}
