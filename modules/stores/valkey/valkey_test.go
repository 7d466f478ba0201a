package valkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

var ctx = context.Background()

func next(t *testing.T, feed <-chan store.Event) store.Event {
	t.Helper()
	select {
	case ev := <-feed:
		return ev
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
		return store.Event{}
	}
}

// TestTwoNodes: what one node does, the other hears of, and sees; what both want, one gets.
func TestTwoNodes(t *testing.T) {
	s := startServer(t)
	a, b := s.open(t, "x"), s.open(t, "x")
	feed, err := b.Watch(t.Context(), "ban")
	if err != nil {
		t.Fatal(err)
	}
	k := store.Key{Bucket: "ban", ID: "192.0.2.0/24"}
	v, err := a.Put(ctx, k, []byte("scan"), store.PutOptions{TTL: time.Second, Index: []string{"jail:scan"}})
	if err != nil {
		t.Fatal(err)
	}
	if ev := next(t, feed); ev != (store.Event{Kind: store.Set, Key: k}) {
		t.Errorf("event %+v", ev)
	}
	if it, err := b.Get(ctx, k); err != nil || string(it.Value) != "scan" || it.Version != v {
		t.Errorf("Get = %+v, %v", it, err)
	}
	if ev := next(t, feed); ev != (store.Event{Kind: store.Gone, Key: k}) { // either node's sweeper
		t.Errorf("event %+v", ev)
	}
	other := s.open(t, "y")
	if _, err := a.Put(ctx, k, nil, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Get(ctx, k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a store of another name: %v", err)
	}
	limit := store.Limit{Burst: 100, Every: time.Hour}
	var got int64
	for i := range 60 {
		n, _, err := []store.Store{a, b}[i%2].Lease(ctx, k, limit, 2)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	if got != 100 {
		t.Errorf("two nodes leased %d of 100", got)
	}
}

// TestNothingReadable: neither names nor contents are on the server, nor in what it publishes.
func TestNothingReadable(t *testing.T) {
	s := startServer(t)
	st := s.open(t, "x")
	const canary = "alice@example.org"
	k := store.Key{Bucket: "user", ID: "id-" + canary}
	if _, err := st.Put(ctx, k, []byte("value-"+canary), store.PutOptions{TTL: time.Hour, Index: []string{"index-" + canary}}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Incr(ctx, k, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.Lease(ctx, k, store.Limit{Burst: 2, Every: time.Minute}, 1); err != nil {
		t.Fatal(err)
	}
	keys, err := s.do("KEYS", "*").AsStrSlice()
	if err != nil || len(keys) < 8 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, key := range keys {
		dump, err := s.do("DUMP", key).ToString()
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"alice", "example.org", "value-", "index-", "id-"} {
			if strings.Contains(key, word) || strings.Contains(dump, word) {
				t.Errorf("%q is in %q", word, key)
			}
		}
	}
}

// TestServerLies: what was changed on the server, or moved there, is not taken for what was written.
func TestServerLies(t *testing.T) {
	s := startServer(t)
	st := s.open(t, "x")
	alice, mallory := store.Key{Bucket: "user", ID: "alice"}, store.Key{Bucket: "user", ID: "mallory"}
	for _, k := range []store.Key{alice, mallory} {
		if _, err := st.Put(ctx, k, []byte("roles of "+k.ID), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	at := func(k store.Key) string { return "{gatehouse:x}:i:user:" + st.(*remote).sealer.key(k) }
	if err := s.do("COPY", at(alice), at(mallory), "REPLACE").Error(); err != nil {
		t.Fatal(err)
	}
	if it, err := st.Get(ctx, mallory); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Get of what was moved = %q, %v", it.Value, err)
	}
	var met error
	for _, err := range st.Scan(ctx, "user", "") {
		met = errors.Join(met, err)
	}
	if !errors.Is(met, store.ErrCorrupt) {
		t.Errorf("Scan of what was moved: %v", met)
	}
	if err := s.do("HSET", at(alice), "d", "roles of an administrator, and long enough").Error(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Get(ctx, alice); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("Get of what was changed: %v", err)
	}
}

// TestOtherKeys: a gateway with other master keys is refused, one with rotated keys is not.
func TestOtherKeys(t *testing.T) {
	s := startServer(t)
	st := s.open(t, "x")
	k := store.Key{Bucket: "user", ID: "u"}
	if _, err := st.Put(ctx, k, []byte("v"), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	other, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(ctx, Options{Addresses: []string{"unix/" + s.socket()}, Name: "x", Keys: other})
	if err == nil || !strings.Contains(err.Error(), "same keys file") {
		t.Errorf("Open with other keys = %v", err)
	}
	rotated, err := testKeys.Rotate(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	if it, err := s.open(t, "x", func(o *Options) { o.Keys = rotated }).Get(ctx, k); err != nil || string(it.Value) != "v" {
		t.Errorf("Get with rotated keys = %q, %v", it.Value, err)
	}
}

// notices gathers what a store tells.
func notices() (told chan Notice, option func(*Options)) {
	told = make(chan Notice, 64)
	return told, func(o *Options) { o.Tell = func(n Notice) { told <- n } }
}

func wantNotice(t *testing.T, told <-chan Notice, want Notice) {
	t.Helper()
	for {
		select {
		case n := <-told:
			if n == want {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nobody told %q", want)
		}
	}
}

// TestServerDies: while the server is away everything is ErrDown, soon; when it is back, watchers are told to read anew, and
// what was acknowledged is there.
func TestServerDies(t *testing.T) {
	s := startServer(t)
	told, tell := notices()
	st := s.open(t, "x", tell)
	feed, err := st.Watch(t.Context(), "ban")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if _, err := st.Put(ctx, store.Key{Bucket: "ban", ID: fmt.Sprint(i)}, nil, store.PutOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		next(t, feed)
	}
	s.kill()
	wantNotice(t, told, Cut)
	for range 3 {
		begin := time.Now()
		_, err := st.Get(ctx, store.Key{Bucket: "ban", ID: "1"})
		if !errors.Is(err, store.ErrDown) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get = %v", err)
		}
		if _, err := st.Put(ctx, store.Key{Bucket: "ban", ID: "x"}, nil, store.PutOptions{}); !errors.Is(err, store.ErrDown) {
			t.Errorf("Put = %v", err)
		}
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("it took %v to say so", d)
		}
	}
	if err := st.Health(ctx); !errors.Is(err, store.ErrDown) {
		t.Errorf("Health = %v", err)
	}
	s.start()
	wantNotice(t, told, Joined)
	if ev := next(t, feed); ev.Kind != store.Resync {
		t.Errorf("event %+v, want a Resync", ev)
	}
	n := 0
	for _, err := range st.Scan(ctx, "ban", "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 300 {
		t.Errorf("%d of 300 bans", n)
	}
}

// TestServerEmptied: a server that lost what it held is noticed, and serves as a new store for the same gateways.
func TestServerEmptied(t *testing.T) {
	s := startServer(t)
	toldA, tellA := notices()
	toldB, tellB := notices()
	a, b := s.open(t, "x", tellA), s.open(t, "x", tellB)
	feed, err := a.Watch(t.Context(), "ban")
	if err != nil {
		t.Fatal(err)
	}
	k := store.Key{Bucket: "ban", ID: "x"}
	if err := s.do("FLUSHALL").Error(); err != nil {
		t.Fatal(err)
	}
	wantNotice(t, toldA, Emptied)
	wantNotice(t, toldB, Emptied)
	if ev := next(t, feed); ev.Kind != store.Resync {
		t.Errorf("event %+v, want a Resync", ev)
	}
	if _, err := a.Put(ctx, k, []byte("v"), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if it, err := b.Get(ctx, k); err != nil || string(it.Value) != "v" {
		t.Errorf("Get = %q, %v", it.Value, err)
	}
}

// TestLostMessage: a message that never came is noticed by the number of the next one.
func TestLostMessage(t *testing.T) {
	s := startServer(t)
	a, b := s.open(t, "x"), s.open(t, "x")
	feed, err := b.Watch(t.Context(), "ban")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.do("INCR", "{gatehouse:x}:feed").Error(); err != nil { // as if one had been published
		t.Fatal(err)
	}
	if _, err := a.Put(ctx, store.Key{Bucket: "ban", ID: "x"}, nil, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if ev := next(t, feed); ev.Kind != store.Resync {
		t.Errorf("event %+v, want a Resync", ev)
	}
}

// TestLastMessageLost: nor is the feed's last message needed: the beat finds the feed behind.
func TestLastMessageLost(t *testing.T) {
	s := startServer(t)
	told, tell := notices()
	s.open(t, "x", tell)
	if err := s.do("INCRBY", "{gatehouse:x}:feed", "5").Error(); err != nil {
		t.Fatal(err)
	}
	wantNotice(t, told, Cut)
	wantNotice(t, told, Joined)
}

// TestServersClock: store time follows the server forward and does not go back with it: what has expired stays so.
func TestServersClock(t *testing.T) {
	s := startServer(t)
	st := s.open(t, "x")
	k := store.Key{Bucket: "session", ID: "s"}
	if _, err := st.Put(ctx, k, nil, store.PutOptions{TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	// A server that took over was a day ahead: its clock is what the store's has come to.
	ahead := time.Now().Add(24 * time.Hour).UnixMicro()
	if err := s.do("SET", "{gatehouse:x}:clock", fmt.Sprint(ahead)).Error(); err != nil {
		t.Fatal(err)
	}
	other := store.Key{Bucket: "session", ID: "other"}
	if _, err := st.Put(ctx, other, nil, store.PutOptions{TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Get(ctx, k); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get a day later = %v", err)
	}
	it, err := st.Get(ctx, other)
	if left := time.Until(it.Expires); err != nil || left < 50*time.Second || left > 70*time.Second {
		t.Errorf("expires in %v, %v; want a minute of this node's clock", left, err)
	}
	if err := st.Health(ctx); !errors.Is(err, store.ErrClock) || errors.Is(err, store.ErrDown) {
		t.Errorf("Health = %v", err)
	}
}

// TestNodes: who uses the store is known to all who do, until they leave, or are silent.
func TestNodes(t *testing.T) {
	s := startServer(t)
	one, err := Open(ctx, Options{Addresses: []string{"unix/" + s.socket()}, Name: "x", Keys: testKeys, Node: "one"})
	if err != nil {
		t.Fatal(err)
	}
	st := s.open(t, "x", func(o *Options) { o.Node = "two" }).(*remote)
	if n := st.Nodes(); len(n) != 2 {
		t.Errorf("nodes %+v", n)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.beat(ctx, st.key); err != nil {
		t.Fatal(err)
	}
	if n := st.Nodes(); len(n) != 1 || n[0].Says != "two" {
		t.Errorf("after one has left: %+v", n)
	}
}

func TestNoServer(t *testing.T) {
	_, err := Open(ctx, Options{Addresses: []string{"unix//nowhere/at/all"}, Keys: testKeys})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Errorf("Open = %v", err)
	}
}

// TestAlone: what a node knows counts for the grace, and no longer, while the server is away.
func TestAlone(t *testing.T) {
	s := startServer(t)
	told, tell := notices()
	const grace = time.Second
	st := s.open(t, "x", tell, func(o *Options) { o.Grace = grace })
	feed, err := st.Watch(t.Context(), "session")
	if err != nil {
		t.Fatal(err)
	}
	if store.Alone(st) {
		t.Error("it is alone from the beginning")
	}
	s.kill()
	wantNotice(t, told, Cut)
	wantNotice(t, told, Alone)
	if ev := next(t, feed); ev.Kind != store.Resync {
		t.Errorf("event %+v, want a Resync", ev)
	}
	if !store.Alone(st) || !store.Alone(store.Bounded(st, store.Bounds{Read: time.Second, Write: time.Second})) {
		t.Error("it does not say that it is alone")
	}
	s.start()
	wantNotice(t, told, Joined)
	if store.Alone(st) {
		t.Error("it is alone still")
	}
}
