package valkey

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// spare is a free TCP port whose cluster bus, 10,000 above, is free too. It is bound for a moment, as any test's port.
func spare(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(9000)
		a, err1 := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		b, err2 := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+10000)))
		for _, l := range []net.Listener{a, b} {
			if l != nil {
				_ = l.Close()
			}
		}
		if err1 == nil && err2 == nil {
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no free port")
	return ""
}

// startOn starts a server on a TCP port, beside its socket.
func startOn(t testing.TB, args ...string) (s *server, address string) {
	t.Helper()
	port := spare(t)
	s = startServer(t, append([]string{"--port", port, "--bind", "127.0.0.1"}, args...)...)
	return s, "127.0.0.1:" + port
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !so() {
		if time.Since(begin) > 40*time.Second {
			t.Fatalf("not within 40 seconds: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(begin)
}

// TestSentinel: the primary dies, real sentinels make its replica the primary, and the store goes on there: what was acknowledged and
// had reached the replica is there, the feed is complete or says Resync, and nobody had to do anything.
func TestSentinel(t *testing.T) {
	primary, at := startOn(t)
	_, port, _ := net.SplitHostPort(at)
	replica, _ := startOn(t, "--replicaof", "127.0.0.1 "+port, "--repl-diskless-sync-delay", "0")
	sentinelPort := spare(t)
	dir := t.TempDir()
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor house 127.0.0.1 %s 1\nsentinel down-after-milliseconds house 500\nsentinel failover-timeout house 5000\n", sentinelPort, dir, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := exec.Command("redis-server", conf, "--sentinel")
	if err := sentinel.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sentinel.Process.Kill()
		_ = sentinel.Wait()
	})
	ask := func(args ...string) string {
		out, _ := exec.Command("redis-cli", append([]string{"-p", sentinelPort}, args...)...).Output()
		return string(out)
	}
	eventually(t, "the sentinel knows the replica", func() bool {
		return len(ask("sentinel", "replicas", "house")) > 10 && replica.do("INFO", "replication").Error() == nil
	})
	eventually(t, "the replica is in step", func() bool {
		n, err := primary.do("WAIT", "1", "100").AsInt64()
		return err == nil && n == 1
	})

	told, tell := notices()
	o := Options{Addresses: []string{"127.0.0.1:" + sentinelPort}, Sentinel: "house", Keys: testKeys, Node: "one"}
	tell(&o)
	st, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	feed, err := st.Watch(t.Context(), "ban")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := st.Put(ctx, store.Key{Bucket: "ban", ID: fmt.Sprint(i)}, nil, store.PutOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		next(t, feed)
	}
	if n, err := primary.do("WAIT", "1", "5000").AsInt64(); err != nil || n != 1 {
		t.Fatalf("WAIT = %d, %v", n, err)
	}
	primary.kill()
	bounded := store.Bounded(st, store.Bounds{Read: 900 * time.Millisecond, Write: time.Second})
	took := eventually(t, "a write is acknowledged again", func() bool {
		_, err := bounded.Put(ctx, store.Key{Bucket: "ban", ID: "after"}, nil, store.PutOptions{TTL: time.Hour})
		if err != nil && !errors.Is(err, store.ErrDown) {
			t.Fatalf("Put = %v", err)
		}
		return err == nil
	})
	t.Logf("after the primary's death a write was acknowledged again in %v, of which the sentinel waited 500 ms", took)
	wantNotice(t, told, Cut)
	wantNotice(t, told, Joined)
	resync := false
	for !resync {
		resync = next(t, feed).Kind == store.Resync
	}
	n := 0
	for _, err := range st.Scan(ctx, "ban", "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 101 {
		t.Errorf("%d of 101 bans after the failover", n)
	}
	eventually(t, "its health", func() bool { return st.Health(ctx) == nil })
}

// TestRedisCluster: on a cluster of three masters all of a store lies on one of them, whichever connection is asked.
func TestRedisCluster(t *testing.T) {
	var nodes []*server
	var addresses []string
	for range 3 {
		s, at := startOn(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
		nodes, addresses = append(nodes, s), append(addresses, at)
	}
	out, err := exec.Command("redis-cli", append(append([]string{"--cluster", "create"}, addresses...), "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("making the cluster: %v\n%s", err, out)
	}
	eventually(t, "the cluster is well", func() bool {
		return !slices.ContainsFunc(nodes, func(s *server) bool {
			out, _ := exec.Command("redis-cli", "-s", s.socket(), "cluster", "info").Output()
			return !strings.Contains(string(out), "cluster_state:ok")
		})
	})
	open := func(node string) store.Store {
		st, err := Open(ctx, Options{Addresses: addresses, Name: "x", Keys: testKeys, Node: node})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = st.Close() })
		return st
	}
	a, b := open("one"), open("two")
	feed, err := b.Watch(t.Context(), "session")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		k := store.Key{Bucket: "session", ID: fmt.Sprint(i)}
		if _, err := a.Put(ctx, k, []byte("v"), store.PutOptions{TTL: time.Hour, Index: []string{"user:a"}}); err != nil {
			t.Fatal(err)
		}
		if ev := next(t, feed); ev != (store.Event{Kind: store.Set, Key: k}) {
			t.Fatalf("event %+v", ev)
		}
	}
	if gone, err := b.DeleteIndexed(ctx, "session", "user:a"); err != nil || len(gone) != 300 {
		t.Errorf("DeleteIndexed = %d, %v", len(gone), err)
	}
	if n, err := a.Incr(ctx, store.Key{Bucket: "guard", ID: "x"}, 2, time.Hour); err != nil || n != 2 {
		t.Errorf("Incr = %d, %v", n, err)
	}
	if got, _, err := b.Lease(ctx, store.Key{Bucket: "ratelimit", ID: "x"}, store.Limit{Burst: 5, Every: time.Hour}, 9); err != nil || got != 5 {
		t.Errorf("Lease = %d, %v", got, err)
	}
	holding := 0
	for _, s := range nodes {
		out, err := exec.Command("redis-cli", "-s", s.socket(), "dbsize").Output()
		if err != nil {
			t.Fatal(err)
		}
		if string(out) != "0\n" {
			holding++
		}
	}
	if holding != 1 {
		t.Errorf("%d masters hold something", holding)
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	// It can be moved from there, and into there: the scripts that walk the keys run where the keys are.
	m, err := OpenToMove(ctx, Options{Addresses: addresses, Name: "x", Keys: testKeys}, store.MoveFrom, false)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := store.Count(ctx, m, time.Time{}); err != nil || n["guard"].Counters != 1 {
		t.Errorf("Count = %v, %v", n, err)
	}
	if err := m.End(false); err != nil {
		t.Fatal(err)
	}
}
