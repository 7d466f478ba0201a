package valkey

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/store"
)

var heldSessions = flag.Int("held", 5000, "sessions on the server that TestHeld really holds")

// TestHeld holds real sessions on a real server, as many as are asked for (`make sim`: two million), and measures what they take of its
// memory and whether a change is slower beside them.
func TestHeld(t *testing.T) {
	s := startServer(t, "--appendonly", "no")
	into := s.mustMove(t, "x", store.MoveInto)
	value := make([]byte, 600)
	before, begin := s.used(t, "used_memory"), time.Now()
	batch := make([]store.Record, 0, 100)
	for i := range *heldSessions {
		batch = append(batch, store.Record{
			Key: store.Key{Bucket: "session", ID: fmt.Sprintf("%064d", i)}, Value: value,
			Index: []string{fmt.Sprint("sid:", i), fmt.Sprint("user:", i/2)}, Expires: time.Now().Add(12 * time.Hour),
		})
		if len(batch) == cap(batch) || i == *heldSessions-1 {
			if err := into.Restore(ctx, batch); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	each := (s.used(t, "used_memory") - before) / float64(*heldSessions)
	t.Logf("%d sessions are held, written in %v: %.2f GB of the server (%.2f GB of the machine), %.0f bytes each; ten million would be %.1f GB",
		*heldSessions, time.Since(begin).Round(time.Millisecond), s.used(t, "used_memory")/1e9, s.used(t, "used_memory_rss")/1e9, each, each*1e7/1e9)
	if each > 4000 {
		t.Errorf("a session takes %.0f bytes", each)
	}
	if err := into.End(true); err != nil {
		t.Fatal(err)
	}
	a, b := s.open(t, "x"), s.open(t, "x")
	feed, err := b.Watch(t.Context(), "session")
	if err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for i := range 1000 {
		k := store.Key{Bucket: "session", ID: fmt.Sprintf("%064d", i*(*heldSessions)/1000)}
		begin := time.Now()
		if err := a.Delete(ctx, k); err != nil {
			t.Fatal(err)
		}
		if ev := next(t, feed); ev.Kind != store.Gone || ev.Key != k {
			t.Fatalf("event %+v", ev)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("beside them a session ends at the other gateway within %v at the median, %v at p99", took[500], took[990])
}
