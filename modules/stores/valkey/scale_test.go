package valkey

import (
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// What a server is asked for by many gateways, with the real scripts, the real feed and a real server: `make sim` has a thousand
// listeners, `make test` a few.
var (
	scaleNodes    = flag.Int("nodes", 50, "gateways that listen")
	scaleSessions = flag.Int("sessions", 2000, "sessions on the server")
)

// used is what INFO says.
func (s *server) used(t *testing.T, what string) float64 {
	t.Helper()
	text, err := s.do("INFO", "memory", "cpu").ToString()
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = strings.Cut(text, what+":")
	text, _, _ = strings.Cut(text, "\r")
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (s *server) cpu(t *testing.T) time.Duration {
	return time.Duration((s.used(t, "used_cpu_user") + s.used(t, "used_cpu_sys")) * float64(time.Second))
}

func TestScale(t *testing.T) {
	s := startServer(t, "--appendfsync", "no", "--maxclients", "10000")
	a, b := s.open(t, "x").(*remote), s.open(t, "x")
	feed, err := b.Watch(t.Context(), "session")
	if err != nil {
		t.Fatal(err)
	}
	put := func(i int) {
		t.Helper()
		o := store.PutOptions{TTL: time.Hour, Index: []string{fmt.Sprint("user:", i/2), fmt.Sprint("sid:", i)}}
		if _, err := a.Put(ctx, store.Key{Bucket: "session", ID: fmt.Sprintf("%064d", i)}, make([]byte, 600), o); err != nil {
			t.Fatal(err)
		}
	}

	// Memory of sessions, and what a write costs the server when nearly nobody listens.
	before, cpu := s.used(t, "used_memory"), s.cpu(t)
	n := *scaleSessions
	for i := range n {
		put(i)
		if ev := next(t, feed); ev.Kind != store.Set {
			t.Fatalf("event %+v", ev)
		}
	}
	each := (s.used(t, "used_memory") - before) / float64(n)
	alone := (s.cpu(t) - cpu) / time.Duration(n)
	t.Logf("a session takes %.0f bytes of the server: ten million take %.1f GB", each, each*1e7/1e9)
	t.Logf("a write takes %v of the server's processor when two gateways listen", alone)
	// What sessions that are in use ask for, which nobody is told of.
	cpu = s.cpu(t)
	for i := range n {
		if _, err := a.Get(ctx, store.Key{Bucket: "session", ID: fmt.Sprintf("%064d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("a read takes %v", (s.cpu(t)-cpu)/time.Duration(n))
	for _, part := range []int{1, touchStep} {
		cpu = s.cpu(t)
		uses := 0
		for round := range 1 + n/part {
			used := map[store.Key]time.Time{}
			for i := range part {
				used[store.Key{Bucket: "session", ID: fmt.Sprintf("%064d", (round*part+i)%n)}] = time.Now().Add(time.Hour + time.Duration(round)*time.Minute)
			}
			uses++
			if err := a.Touch(ctx, used); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("a script that writes the use of %d sessions takes %v", part, (s.cpu(t)-cpu)/time.Duration(uses))
	}
	if each > 4000 {
		t.Errorf("a session takes %.0f bytes", each)
	}

	// From one gateway's write to another's table: the p50 and p99 that a ban or a revocation takes.
	var took []time.Duration
	for i := range n {
		begin := time.Now()
		put(n + i)
		next(t, feed)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("from the call to the other gateway's watcher: p50 %v, p99 %v", took[n/2], took[n*99/100])

	// Many listen. Each is a connection that is subscribed as a gateway's is, and takes what comes.
	for range *scaleNodes {
		c, err := net.Dial("unix", s.socket())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Write([]byte("SUBSCRIBE {gatehouse:x}:feed\r\n")); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
	eventually(t, "all are subscribed", func() bool {
		got, err := s.do("PUBSUB", "NUMSUB", "{gatehouse:x}:feed").ToArray()
		if err != nil || len(got) != 2 {
			return false
		}
		n, err := got[1].AsInt64()
		return err == nil && n == int64(*scaleNodes+2)
	})
	cpu = s.cpu(t)
	const writes = 500
	for i := range writes {
		put(2*n + i)
	}
	many := (s.cpu(t) - cpu) / writes
	t.Logf("when %d gateways listen, a write takes %v: %.2f µs for each who listens", *scaleNodes, many, float64((many-alone).Nanoseconds())/1e3/float64(*scaleNodes))
	perDay := 2e7 / (8 * 3600.) // ten million sessions begin and end in a working day
	t.Logf("ten million sessions that begin and end within eight hours are %.0f writes/s: %.0f %% of the server's one thread", perDay, perDay*many.Seconds()*100)

	// Beats: one a second of each. The list of nodes is the longest part of an answer, so that not every beat has it.
	fill := []string{"HSET", "{gatehouse:x}:nodes"}
	far := strconv.FormatInt(time.Now().Add(time.Hour).UnixMicro(), 10)
	for i := range *scaleNodes {
		fill = append(fill, fmt.Sprintf("node-%022d", i), far+" gateway-"+strconv.Itoa(i)+" v1.2.3")
	}
	if err := s.do(fill...).Error(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.beat(ctx, a.key); err != nil { // it learns how many there are
		t.Fatal(err)
	}
	if len(a.Nodes()) < *scaleNodes {
		t.Fatalf("%d nodes", len(a.Nodes()))
	}
	cpu = s.cpu(t)
	for range 200 {
		if _, err := a.beat(ctx, a.key); err != nil {
			t.Fatal(err)
		}
	}
	beat := (s.cpu(t) - cpu) / 200
	t.Logf("with %d gateways a beat takes %v: %.1f %% of the server's one thread for all of them", *scaleNodes, beat, beat.Seconds()*float64(*scaleNodes)*100)

	// What a message costs who listens.
	message := "1 other + session " + a.sealer.seal('i', "session", "", make([]byte, 64))
	begin := time.Now()
	const messages = 20_000
	for range messages {
		a.receive(message)
	}
	t.Logf("a message takes %v of a gateway that it does not concern", time.Since(begin)/messages)
}
