package store

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// TestFeedIsComplete: a watcher that obeys Resync ends up knowing the last state of everything, however slow it was.
func TestFeedIsComplete(t *testing.T) {
	const keys, rounds = 64, 2000
	for _, lag := range []int{0, 7, 200} { // spins before each event is read
		t.Run(strconv.Itoa(lag), func(t *testing.T) {
			h := NewFeed()
			feed, err := h.Watch(ctx, "a", "b")
			if err != nil {
				t.Fatal(err)
			}
			var state [2][keys]atomic.Int64
			buckets := [2]Bucket{"a", "b"}
			go func() {
				for n := range int64(rounds) {
					for b := range state {
						var events []Event
						for i := range keys {
							if (n+int64(i))%3 == 0 {
								state[b][i].Store(n)
								events = append(events, Event{Set, Key{buckets[b], strconv.Itoa(i)}})
							}
						}
						h.Publish(events)
					}
				}
				h.Shut()
			}()
			var known [2][keys]int64
			resyncs := 0
			for ev := range feed {
				for range lag {
					_ = state[0][0].Load()
				}
				b := 0
				if ev.Key.Bucket == "b" {
					b = 1
				}
				if ev.Kind == Resync {
					resyncs++
					for i := range keys {
						known[b][i] = state[b][i].Load()
					}
					continue
				}
				i, _ := strconv.Atoi(ev.Key.ID)
				known[b][i] = state[b][i].Load()
			}
			for b := range state {
				for i := range keys {
					if got, want := known[b][i], state[b][i].Load(); got != want {
						t.Errorf("%s/%d: knows %d, is %d", buckets[b], i, got, want)
					}
				}
			}
			t.Logf("%d resyncs", resyncs)
		})
	}
}

func TestInterrupt(t *testing.T) {
	h := NewFeed()
	feed, err := h.Watch(ctx, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // unread, one for each bucket is enough
		h.Interrupt()
	}
	got := map[Bucket]int{}
	for len(feed) > 0 {
		ev := <-feed
		if ev.Kind != Resync {
			t.Errorf("event %+v", ev)
		}
		got[ev.Key.Bucket]++
	}
	if got["a"] != 1 || got["b"] != 1 {
		t.Errorf("resyncs %v", got)
	}
	h.Interrupt()
	if len(feed) != 2 {
		t.Errorf("%d events after the next interruption, want 2", len(feed))
	}
}

// TestWatchRace: watchers come, go and close while events are published.
func TestWatchRace(t *testing.T) {
	h := NewFeed()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if feed, err := h.Watch(t.Context(), "a"); err == nil {
					select {
					case <-feed:
					default:
					}
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 2000 {
			h.Publish([]Event{{Set, Key{"a", strconv.Itoa(i)}}})
		}
		h.Shut()
	})
	wg.Wait()
}
