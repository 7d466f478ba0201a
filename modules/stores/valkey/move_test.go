package valkey

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// toMove opens a store of that name to move it.
func (s *server) toMove(name string, as store.Role) (store.Moving, error) {
	return OpenToMove(ctx, Options{Addresses: []string{"unix/" + s.socket()}, Name: name, Keys: testKeys}, as, false)
}

func (s *server) mustMove(t *testing.T, name string, as store.Role) store.Moving {
	t.Helper()
	m, err := s.toMove(name, as)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestClaims: who moves a store has it alone, and what is not whole or was moved away is no store.
func TestClaims(t *testing.T) {
	s := startServer(t)
	k := store.Key{Bucket: "user", ID: "u"}
	o := Options{Addresses: []string{"unix/" + s.socket()}, Name: "x", Keys: testKeys, Node: "one"}
	gateway, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.Put(ctx, k, []byte("v"), store.PutOptions{Index: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	for _, as := range []store.Role{store.MoveFrom, store.MoveInto} {
		if _, err := s.toMove("x", as); !errors.Is(err, store.ErrInUse) {
			t.Errorf("%s while a gateway runs: %v", as, err)
		}
	}
	// The gateway is silent, as one that was cut off, and comes again while the store is being moved: it writes nothing.
	if err := s.do("HSET", "{gatehouse:x}:nodes", gateway.(*remote).node, "1 one").Error(); err != nil {
		t.Fatal(err)
	}
	m := s.mustMove(t, "x", store.MoveFrom)
	if _, err := gateway.Put(ctx, k, []byte("w"), store.PutOptions{}); !errors.Is(err, store.ErrMoving) || !errors.Is(err, store.ErrDown) {
		t.Errorf("Put by a gateway while it is moved = %v", err)
	}
	if _, err := gateway.Incr(ctx, k, 1, time.Hour); !errors.Is(err, store.ErrMoving) {
		t.Errorf("Incr by a gateway while it is moved = %v", err)
	}
	if _, err := Open(ctx, o); !errors.Is(err, store.ErrMoving) {
		t.Errorf("a gateway that starts while it is moved: %v", err)
	}
	if _, err := s.toMove("x", store.MoveFrom); !errors.Is(err, store.ErrInUse) {
		t.Errorf("two at once: %v", err)
	}
	if err := gateway.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.End(false); err != nil {
		t.Fatal(err)
	}
	again, err := Open(ctx, Options{Addresses: o.Addresses, Name: "x", Keys: testKeys})
	if err != nil {
		t.Fatalf("a source that was not moved in the end: %v", err)
	}
	_ = again.Close()

	// From x into y, which ends too early, and then does not.
	m = s.mustMove(t, "x", store.MoveFrom)
	y := s.mustMove(t, "y", store.MoveInto)
	if _, err := store.Move(ctx, m, y, nil); err != nil {
		t.Fatal(err)
	}
	if err := y.End(false); err != nil {
		t.Fatal(err)
	}
	o.Name = "y"
	if _, err := Open(ctx, o); !errors.Is(err, store.ErrMoving) {
		t.Errorf("a gateway on what is not whole: %v", err)
	}
	if err := s.do("SET", "{gatehouse:y}:moving", "mover-dead 1 into").Error(); err != nil { // half a minute later
		t.Fatal(err)
	}
	if _, err := s.toMove("y", store.MoveFrom); !errors.Is(err, store.ErrMoving) {
		t.Errorf("from what is not whole: %v", err)
	}
	y = s.mustMove(t, "y", store.MoveInto)
	if empty, err := store.Empty(ctx, y); err != nil || !empty {
		t.Errorf("what did not arrive whole is in the way: %v, %v", empty, err)
	}
	if n, err := s.do("KEYS", "{gatehouse:y}:[ibclxe]*").AsStrSlice(); err != nil || len(n) != 2 { // clock and epoch
		t.Errorf("left: %q, %v", n, err)
	}
	if _, err := store.Move(ctx, m, y, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(y.End(true), m.End(true)); err != nil {
		t.Fatal(err)
	}
	st, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	if it, err := st.Get(ctx, k); err != nil || string(it.Value) != "v" {
		t.Errorf("Get of what was moved = %q, %v", it.Value, err)
	}
	o.Name = "x"
	if _, err := Open(ctx, o); !errors.Is(err, store.ErrMoving) {
		t.Errorf("a gateway on what was moved away: %v", err)
	}
	if _, err := s.toMove("x", store.MoveFrom); !errors.Is(err, store.ErrMoving) {
		t.Errorf("from what was moved away: %v", err)
	}
	x := s.mustMove(t, "x", store.MoveInto)
	if empty, err := store.Empty(ctx, x); err != nil || !empty {
		t.Errorf("what was moved away is in the way: %v, %v", empty, err)
	}
	if err := x.End(true); err != nil {
		t.Fatal(err)
	}
}

// TestMoverIsAlive: a claim lasts as long as who has it.
func TestMoverIsAlive(t *testing.T) {
	s := startServer(t)
	m := s.mustMove(t, "x", store.MoveFrom)
	if err := s.do("PEXPIRE", "{gatehouse:x}:moving", "5000").Error(); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) { // until the next beat
		if left, err := s.do("PTTL", "{gatehouse:x}:moving").AsInt64(); err == nil && left > 20000 {
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the claim is not renewed")
		}
	}
	if err := m.End(false); err != nil {
		t.Fatal(err)
	}
}

// TestDryRun claims nothing and changes nothing, not even what a real one would overwrite.
func TestDryRun(t *testing.T) {
	s := startServer(t)
	o := Options{Addresses: []string{"unix/" + s.socket()}, Name: "x", Keys: testKeys}
	k := store.Key{Bucket: "user", ID: "u"}
	st, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, k, nil, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.do("SET", "{gatehouse:x}:moving", "mover-dead 1 moved").Error(); err != nil {
		t.Fatal(err)
	}
	m, err := OpenToMove(ctx, o, store.MoveInto, true)
	if err != nil {
		t.Fatal(err)
	}
	if empty, err := store.Empty(ctx, m); err != nil || !empty {
		t.Errorf("Empty = %v, %v", empty, err)
	}
	if err := m.End(true); err != nil {
		t.Fatal(err)
	}
	if was, err := s.do("GET", "{gatehouse:x}:moving").ToString(); err != nil || was != "mover-dead 1 moved" {
		t.Errorf("the mark is now %q, %v", was, err)
	}
	if n, err := s.do("KEYS", "{gatehouse:x}:i:*").AsStrSlice(); err != nil || len(n) != 1 {
		t.Errorf("items: %q, %v", n, err)
	}
}

// TestEarlierRecords: what was written before names were kept is not moved without its indexes, and counters are told of.
func TestEarlierRecords(t *testing.T) {
	s := startServer(t)
	st := s.open(t, "x", func(o *Options) { o.Node = "" }).(*remote)
	k := store.Key{Bucket: "session", ID: "s"}
	if _, err := st.Put(ctx, k, nil, store.PutOptions{Index: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Incr(ctx, k, 1, time.Hour); err != nil {
		t.Fatal(err)
	}
	name := st.sealer.key(k)
	if err := s.do("HDEL", "{gatehouse:x}:c:session:"+name, "i").Error(); err != nil {
		t.Fatal(err)
	}
	if left, err := st.Unmoved(ctx); err != nil || left["session"] != 1 {
		t.Errorf("Unmoved = %v, %v", left, err)
	}
	n := 0
	for _, err := range st.Records(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d records", n)
	}
	for _, spoilt := range []string{"", "of another item"} {
		if err := s.do("HSET", "{gatehouse:x}:i:session:"+name, "s", spoilt).Error(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Count(ctx, st, time.Time{}); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("indexes that are called %q: %v", spoilt, err)
		}
	}
}

// TestSchema: a program that knows another form of what is on the server is kept apart, and one that runs stops.
func TestSchema(t *testing.T) {
	s := startServer(t)
	told, tell := notices()
	st := s.open(t, "x", tell)
	k := store.Key{Bucket: "user", ID: "k"}
	if _, err := st.Put(ctx, k, []byte("v"), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.do("SET", "{gatehouse:x}:schema", "2").Error(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(ctx, Options{Addresses: []string{"unix/" + s.socket()}, Name: "x", Keys: testKeys})
	if !errors.Is(err, store.ErrSchema) {
		t.Errorf("Open = %v", err)
	}
	if _, err := st.Put(ctx, store.Key{Bucket: "user", ID: "u"}, nil, store.PutOptions{}); !errors.Is(err, store.ErrSchema) || !errors.Is(err, store.ErrDown) {
		t.Errorf("Put = %v", err)
	}
	wantNotice(t, told, Refused)
	if _, err := st.Get(ctx, k); !errors.Is(err, store.ErrSchema) || !errors.Is(err, store.ErrDown) {
		t.Errorf("Get of what is there, but may mean something else = %v", err)
	}
	for _, err := range st.Scan(ctx, k.Bucket, "") {
		if !errors.Is(err, store.ErrSchema) {
			t.Errorf("Scan = %v", err)
		}
	}
	if err := st.Health(ctx); !errors.Is(err, store.ErrSchema) {
		t.Errorf("Health = %v", err)
	}
	if err := s.do("SET", "{gatehouse:x}:schema", schema).Error(); err != nil {
		t.Fatal(err)
	}
	wantNotice(t, told, Joined)
	if it, err := st.Get(ctx, k); err != nil || string(it.Value) != "v" {
		t.Errorf("Get when it is this program's again = %q, %v", it.Value, err)
	}
}

// BenchmarkMove moves 10,000 sessions from an embedded store to a server, and compares them.
func BenchmarkMove(b *testing.B) {
	s := startServer(b)
	from, err := store.EmbeddedToMove(filepath.Join(b.TempDir(), "store.db"), store.MoveInto)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = from.End(false) }()
	for i := range 100 {
		var records []store.Record
		for j := range 100 {
			records = append(records, store.Record{
				Key: store.Key{Bucket: "session", ID: fmt.Sprint(100*i + j)}, Value: make([]byte, 600), Index: []string{"sid:b", "user:a"}, Expires: time.Now().Add(12 * time.Hour),
			})
		}
		if err := from.Restore(ctx, records); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; b.Loop(); i++ {
		to, err := OpenToMove(ctx, Options{Addresses: []string{"unix/" + s.socket()}, Name: fmt.Sprint(i), Keys: testKeys}, store.MoveInto, false)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := store.Move(ctx, from, to, nil); err != nil {
			b.Fatal(err)
		}
		if err := to.End(true); err != nil {
			b.Fatal(err)
		}
	}
}
