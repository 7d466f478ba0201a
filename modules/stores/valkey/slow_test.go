package valkey

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// slowLine leads to the server, and takes so long in one direction.
func slowLine(t *testing.T, to string, takes time.Duration) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	carry := func(from, to net.Conn, wait time.Duration) {
		defer from.Close()
		defer to.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			time.Sleep(wait) // it is a slow line
			if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("unix", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			go carry(c, up, takes)
			go carry(up, c, 0)
		}
	}()
	return path
}

// TestSlowServer: a server that takes 100 ms is told of, and all works.
func TestSlowServer(t *testing.T) {
	s := startServer(t)
	told, tell := notices()
	slow := slowLine(t, s.socket(), 100*time.Millisecond)
	st := s.open(t, "x", tell, func(o *Options) { o.Addresses = []string{"unix/" + slow} })
	wantNotice(t, told, Slow)
	k := store.Key{Bucket: "user", ID: "u"}
	begin := time.Now()
	if _, err := st.Put(ctx, k, nil, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("it took %v over a slow line", took)
	}
	if err := st.Health(ctx); err != nil {
		t.Errorf("Health = %v", err)
	}
	if took := time.Duration(st.(*remote).took.Load()); took < slowAnswer {
		t.Errorf("the last beat took %v", took)
	}
}

// TestMeasure: each change is told once.
func TestMeasure(t *testing.T) {
	var told []Notice
	s := &remote{clock: newClock(), opts: Options{Tell: func(n Notice) { told = append(told, n) }}}
	slow, skewed := 0, false
	for _, ms := range []int{60, 60, 1, 60, 60, 60, 60, 1, 1} {
		slow, skewed = s.measure(time.Duration(ms)*time.Millisecond, slow, skewed)
	}
	if len(told) != 2 || told[0] != Slow || told[1] != Brisk {
		t.Errorf("told %q", told)
	}
}

// TestSkewedNodes: a gateway whose wall clock is an hour behind, and one whose is an hour ahead, agree on how long things last, and say
// that something is wrong with their clocks.
func TestSkewedNodes(t *testing.T) {
	s := startServer(t)
	off := func(d time.Duration) func(*Options) {
		return func(o *Options) { o.wall = func() time.Time { return time.Now().Add(d) } }
	}
	toldA, tellA := notices()
	toldB, tellB := notices()
	a, b := s.open(t, "x", tellA, off(-time.Hour)), s.open(t, "x", tellB, off(time.Hour))
	wantNotice(t, toldA, Skewed)
	wantNotice(t, toldB, Skewed)
	k := store.Key{Bucket: "session", ID: "s"}
	if _, err := a.Put(ctx, k, nil, store.PutOptions{TTL: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	it, err := b.Get(ctx, k)
	if left := it.Expires.Sub(time.Now().Add(time.Hour)); err != nil || left < time.Second/2 || left > 4*time.Second {
		t.Errorf("by the clock of the other node it lasts %v, %v", left, err)
	}
	if err := a.Touch(ctx, map[store.Key]time.Time{k: time.Now().Add(-time.Hour).Add(3 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for err = nil; err == nil && time.Since(begin) < 10*time.Second; _, err = b.Get(ctx, k) {
		time.Sleep(10 * time.Millisecond) // until it has expired
	}
	if took := time.Since(begin); took < 2*time.Second || took > 5*time.Second {
		t.Errorf("it was there for %v, want three seconds", took)
	}
}
