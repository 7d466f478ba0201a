package valkey

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/secret"
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
	patient, st := primary.open(t, "x", replicated(4*time.Second)), primary.open(t, "x", replicated(100*time.Millisecond))
	feed, err := patient.Watch(t.Context(), "ban")
	if err != nil {
		t.Fatal(err)
	}
	k := store.Key{Bucket: "ban", ID: "k"}
	put := func(st store.Store) error {
		_, err := st.Put(ctx, k, []byte("v"), store.PutOptions{TTL: time.Hour})
		return err
	}
	if err := put(patient); err != nil { // the server does not know the script yet
		t.Fatal(err)
	}
	next(t, feed)
	if err := primary.do("SCRIPT", "FLUSH").Error(); err != nil {
		t.Fatal(err)
	}
	if err := put(patient); err != nil {
		t.Fatal(err)
	}
	next(t, feed)
	if n := patient.(*remote).replicas.Load(); n != 1 {
		t.Errorf("%d replicas have it", n)
	}
	kept := store.Key{Bucket: "session", ID: "kept"}
	if _, err := patient.Put(ctx, kept, nil, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}

	replica.pause(t, st)
	if feed, err = st.Watch(t.Context(), "ban"); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"Put":           func() error { return put(st) },
		"Delete":        func() error { return st.Delete(ctx, k) },
		"DeleteIndexed": func() error { _, err := st.DeleteIndexed(ctx, "ban", "user:x"); return err },
		"Take": func() error {
			if err := put(st); !errors.Is(err, errFew) {
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
	// What changes nothing says so, and a lease needs no replica.
	for _, match := range []store.Match{store.Absent, store.Version} {
		if _, err := st.Put(ctx, kept, nil, store.PutOptions{Match: match}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("Put that loses = %v", err)
		}
	}
	if _, err := st.Take(ctx, store.Key{Bucket: "session", ID: "none"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Take of nothing = %v", err)
	}
	if _, err := st.Put(ctx, store.Key{Bucket: "renew", ID: "k"}, nil, store.PutOptions{Match: store.Absent, TTL: time.Hour, Soft: true}); err != nil {
		t.Errorf("Put of a lease = %v", err)
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
	if err := put(patient); err != nil {
		t.Error(err)
	}
}

// TestReplicasUnasked: a server that does not say how many replicas have a change is found when the store is opened. One that stops saying so
// has made the change, which is fed to who watches, and is not acknowledged.
func TestReplicasUnasked(t *testing.T) {
	primary, _ := pair(t)
	user := func(rules ...string) {
		t.Helper()
		if err := primary.do(append([]string{"ACL", "SETUSER", "gatehouse"}, rules...)...).Error(); err != nil {
			t.Fatal(err)
		}
	}
	as := func(o *Options) { o.User, o.Password = "gatehouse", secret.New("s3cret") }
	user("on", ">s3cret", "~{gatehouse:x}:*", "&{gatehouse:x}:*", "+@all", "-@dangerous", "-wait")
	o := Options{Addresses: []string{"unix/" + primary.socket()}, Name: "x", Keys: testKeys, Replicas: 1}
	as(&o)
	if _, err := Open(ctx, o); err == nil || !strings.Contains(err.Error(), "+wait") {
		t.Fatalf("Open = %v", err)
	}
	user("+wait")
	st := primary.open(t, "x", as, replicated(4*time.Second))
	feed, err := st.Watch(t.Context(), "ban")
	if err != nil {
		t.Fatal(err)
	}
	k := store.Key{Bucket: "ban", ID: "k"}
	if _, err := st.Put(ctx, k, nil, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	next(t, feed)
	user("-wait")
	if _, err := st.Put(ctx, k, nil, store.PutOptions{}); !errors.Is(err, errFew) || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("Put = %v", err)
	}
	if ev := next(t, feed); ev.Key != k {
		t.Errorf("event %+v", ev)
	}
	if err := st.Health(ctx); !errors.Is(err, errFew) {
		t.Errorf("Health = %v", err)
	}
}

// TestReplicasOfCluster: a cluster that is named by one address is one.
func TestReplicasOfCluster(t *testing.T) {
	s, at := startOn(t, "--cluster-enabled", "yes")
	if err := s.do("CLUSTER", "ADDSLOTSRANGE", "0", "16383").Error(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster is well", func() bool {
		said, err := s.do("CLUSTER", "INFO").ToString()
		return err == nil && strings.Contains(said, "cluster_state:ok")
	})
	o := Options{Addresses: []string{at}, Name: "x", Keys: testKeys}
	st, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	o.Replicas = 1
	if _, err := Open(ctx, o); !errors.Is(err, errCluster) {
		t.Errorf("Open = %v", err)
	}
}

// TestReplicasInTurn: changes that wait for replicas leave the feed and the heart their connections, and Close waits for neither.
func TestReplicasInTurn(t *testing.T) {
	primary, replica := pair(t)
	told, tell := notices()
	s := primary.open(t, "x", tell, replicated(4*time.Second)).(*remote)
	replica.pause(t, primary.open(t, "x", replicated(100*time.Millisecond)))
	var ended atomic.Int64
	var changes sync.WaitGroup
	for i := range blocking + 4 {
		changes.Go(func() {
			_, err := s.Put(ctx, store.Key{Bucket: "ban", ID: strconv.Itoa(i)}, nil, store.PutOptions{})
			if ended.Add(1); !errors.Is(err, errFew) {
				t.Errorf("Put = %v", err)
			}
		})
	}
	eventually(t, "as many changes as may", func() bool { return len(s.turns) == cap(s.turns) })
	impatient, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	late := store.Key{Bucket: "ban", ID: "late"}
	if _, err := s.Put(impatient, late, nil, store.PutOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Put = %v", err)
	}
	if _, err := s.Get(ctx, late); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get = %v", err)
	}
	(*s.cut.Load())()
	wantNotice(t, told, Joined)
	if n := ended.Load(); n > 0 {
		t.Errorf("the feed came back after %d changes had ended", n)
	}
	changes.Wait()
	eventually(t, "the heart has asked", func() bool { return !s.asking.Load() })
	eventually(t, "the heart asks again", s.asking.Load)
	before, beats := *s.beaten.Load(), false
	for s.asking.Load() && !beats {
		time.Sleep(10 * time.Millisecond) // the heart is to beat meanwhile
		beats = s.beaten.Load().After(before)
	}
	if !beats {
		t.Error("the heart waits for replicas")
	}
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("Close took %v", took)
	}
}

func replicated(within time.Duration) func(*Options) {
	return func(o *Options) { o.Replicas, o.ReplicasWithin = 1, within }
}

// pause stops a replica; st finds when it has.
func (s *server) pause(t *testing.T, st store.Store) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica stands still", func() bool {
		_, err := st.Put(ctx, store.Key{Bucket: "probe", ID: "p"}, nil, store.PutOptions{})
		return errors.Is(err, errFew)
	})
}

// TestReplicasConformance: a store whose changes wait for a replica is a store.
func TestReplicasConformance(t *testing.T) {
	primary, _ := pair(t)
	storetest.Suite{RealTime: true, Open: func(t *testing.T) store.Store {
		return primary.open(t, t.Name(), replicated(4*time.Second))
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
