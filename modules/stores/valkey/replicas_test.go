package valkey

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/store/storetest"
)

// pair is a primary, and a replica that is in step.
func pair(t *testing.T) (primary, replica *server) {
	t.Helper()
	primary, at := startOn(t)
	_, port, _ := net.SplitHostPort(at)
	replica, _ = startOn(t, "--replicaof", "127.0.0.1 "+port, "--repl-diskless-sync-delay", "0")
	eventually(t, "the replica is in step", func() bool {
		n, err := primary.do("WAIT", "1", "100").AsInt64()
		return err == nil && n == 1
	})
	return primary, replica
}

// TestReplicas: a change that too few replicas have is made, is fed to who watches, and is not acknowledged; reading, and what nobody
// misses after a failover, waits for nobody.
func TestReplicas(t *testing.T) {
	primary, replica := pair(t)
	st := primary.open(t, "x", func(o *Options) { o.Replicas, o.ReplicasWithin = 1, 100*time.Millisecond })
	feed, err := st.Watch(t.Context(), "ban")
	if err != nil {
		t.Fatal(err)
	}
	k := store.Key{Bucket: "ban", ID: "k"}
	put := func() error {
		_, err := st.Put(ctx, k, []byte("v"), store.PutOptions{TTL: time.Hour})
		return err
	}
	if err := put(); err != nil { // the server does not know the script yet
		t.Fatal(err)
	}
	next(t, feed)
	if err := primary.do("SCRIPT", "FLUSH").Error(); err != nil {
		t.Fatal(err)
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	next(t, feed)
	if n := st.(*remote).replicas.Load(); n != 1 {
		t.Errorf("%d replicas have it", n)
	}

	if err := replica.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"Put":           put,
		"Delete":        func() error { return st.Delete(ctx, k) },
		"DeleteIndexed": func() error { _, err := st.DeleteIndexed(ctx, "ban", "user:x"); return err },
		"Take": func() error {
			if err := put(); !errors.Is(err, errFew) {
				t.Errorf("Put = %v", err)
			}
			_, err := st.Take(ctx, k)
			return err
		},
		"Incr": func() error { _, err := st.Incr(ctx, k, 1, time.Hour); return err },
	} {
		if err := change(); !errors.Is(err, errFew) || !errors.Is(err, store.ErrDown) {
			t.Errorf("%s = %v while no replica answers", name, err)
		}
	}
	if ev := next(t, feed); ev.Key != k {
		t.Errorf("event %+v", ev)
	}
	if _, err := st.Get(ctx, k); err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get = %v", err)
	}
	if _, _, err := st.Lease(ctx, k, store.Limit{Burst: 5, Every: time.Hour}, 1); err != nil {
		t.Errorf("Lease = %v", err)
	}
	if err := st.Health(ctx); !errors.Is(err, errFew) {
		t.Errorf("Health = %v", err)
	}
	if err := replica.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its health, though nobody changes anything", func() bool { return st.Health(ctx) == nil })
	if err := put(); err != nil {
		t.Error(err)
	}
}

// TestReplicasConformance: a store whose changes wait for a replica is a store.
func TestReplicasConformance(t *testing.T) {
	primary, _ := pair(t)
	storetest.Suite{RealTime: true, Open: func(t *testing.T) store.Store {
		return primary.open(t, t.Name(), func(o *Options) { o.Replicas = 1 })
	}}.Run(t)
}

// BenchmarkReplicas is what waiting for one costs a change.
func BenchmarkReplicas(b *testing.B) {
	for name, n := range map[string]int{"none": 0, "one": 1} {
		b.Run(name, func(b *testing.B) {
			primary, at := startOn(b)
			_, port, _ := net.SplitHostPort(at)
			startOn(b, "--replicaof", "127.0.0.1 "+port, "--repl-diskless-sync-delay", "0")
			for in := int64(0); in != 1; {
				in, _ = primary.do("WAIT", "1", "100").AsInt64()
			}
			st := primary.open(b, "x", func(o *Options) { o.Replicas = n })
			for b.Loop() {
				if _, err := st.Put(ctx, store.Key{Bucket: "ban", ID: "k"}, nil, store.PutOptions{TTL: time.Hour}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
