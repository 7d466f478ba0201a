package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// testMove moves a state into the engine and out of it again: all of it arrives as it was, and a difference is found.
func testMove(t *testing.T, st store.Store) {
	engine, ok := st.(store.Movable)
	if !ok {
		t.Fatal("its state cannot be moved")
	}
	memory := func() store.Movable {
		m := store.NewMemory()
		t.Cleanup(func() { _ = m.Close() })
		return m.(store.Movable)
	}
	first, last := memory(), memory()
	const many = 600 // more than a step
	for i := range many {
		k := store.Key{Bucket: "session", ID: fmt.Sprint("s\x00", i)}
		o := store.PutOptions{TTL: time.Hour, Index: []string{fmt.Sprint("user:", i%7), "sid:x y", "all"}}
		if _, err := first.Put(ctx, k, bytes.Repeat([]byte{byte(i)}, i), o); err != nil {
			t.Fatal(err)
		}
	}
	user, big := store.Key{Bucket: "user", ID: "alice"}, store.Key{Bucket: "user", ID: "big"}
	for k, v := range map[store.Key][]byte{user: {}, big: make([]byte, store.MaxValue)} {
		if _, err := first.Put(ctx, k, v, store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	short := store.Key{Bucket: "flow", ID: "f"}
	if _, err := first.Put(ctx, short, nil, store.PutOptions{TTL: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	for k, n := range map[store.Key]int64{user: 3, {Bucket: "guard", ID: "low"}: -1 << 63} {
		if _, err := first.Incr(ctx, k, n, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := first.Incr(ctx, store.Key{Bucket: "guard", ID: "ever"}, 9, 0); err != nil {
		t.Fatal(err)
	}

	steps := 0
	there, err := store.Move(ctx, first, engine, func(n int) { steps++ })
	if err != nil {
		t.Fatal(err)
	}
	if steps < 3 {
		t.Errorf("progress was told %d times", steps)
	}
	want := map[store.Bucket][3]int{"session": {many, 0, 0}, "user": {2, 1, 0}, "guard": {0, 2, 0}, "flow": {0, 0, 1}}
	for b, n := range want {
		if got := there[b]; [3]int{got.Items, got.Counters, got.Soon} != n {
			t.Errorf("bucket %s: %+v, want %v items, counters, soon", b, got, n)
		}
	}
	if _, err := store.Move(ctx, first, engine, nil); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("into what holds something: %v", err)
	}
	// The engine's own indexes, counters and leases are those of a store that was written as usual.
	if gone, err := engine.DeleteIndexed(ctx, "session", "user:3"); err != nil || len(gone) == 0 {
		t.Errorf("DeleteIndexed = %d, %v", len(gone), err)
	}
	if n, err := engine.Incr(ctx, store.Key{Bucket: "guard", ID: "low"}, 1, time.Hour); err != nil || n != -1<<63+1 {
		t.Errorf("Incr = %d, %v", n, err)
	}
	if _, _, err := engine.Lease(ctx, user, store.Limit{Burst: 5, Every: time.Hour}, 1); err != nil {
		t.Fatal(err)
	}
	if left, err := engine.Unmoved(ctx); err != nil || len(left) != 1 || left["user"] != 1 {
		t.Errorf("Unmoved = %v, %v", left, err)
	}

	back, err := store.Move(ctx, engine, last, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := many/7 + 1
	if n := back["session"].Items; n != many-gone {
		t.Errorf("%d sessions came back, want %d", n, many-gone)
	}
	if back["user"].Sum != there["user"].Sum || back["user"].Sum == back["guard"].Sum || back["session"].Sum == there["session"].Sum {
		t.Errorf("hashes: %v, then %v", there, back)
	}
	it, err := last.Get(ctx, store.Key{Bucket: "session", ID: "s\x00599"})
	if left := time.Until(it.Expires); err != nil || len(it.Value) != 599 || left < 55*time.Minute || left > 61*time.Minute {
		t.Errorf("a session came back as %d bytes for %v, %v", len(it.Value), left, err)
	}
	for r, err := range last.Records(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Key.Bucket == "session" && (len(r.Index) != 3 || !slices.Contains(r.Index, "sid:x y")) {
			t.Fatalf("indexes came back as %q", r.Index)
		}
	}
	if n, err := last.Incr(ctx, user, 0, 0); err != nil || n != 3 {
		t.Errorf("a counter came back as %d, %v", n, err)
	}
}
