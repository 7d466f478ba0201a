package event_test

import (
	"strconv"
	"sync"
	"testing"

	"gatehouse.internal/modules/internal/event"
)

func TestEverySubscriberSeesEverythingInOrder(t *testing.T) {
	bus := event.NewBus()
	const subscribers, events = 3, 500
	got := make([][]string, subscribers)
	for i := range subscribers {
		bus.Subscribe("s"+strconv.Itoa(i), events, func(e event.Event) { got[i] = append(got[i], e.RequestID) })
	}
	for n := range events {
		bus.Publish(event.Event{Kind: event.RequestRefused, RequestID: strconv.Itoa(n)})
	}
	bus.Close() // hands over what is queued
	for i, ids := range got {
		if len(ids) != events {
			t.Fatalf("subscriber %d got %d events, want %d", i, len(ids), events)
		}
		for n, id := range ids {
			if id != strconv.Itoa(n) {
				t.Fatalf("subscriber %d: event %d is %s", i, n, id)
			}
		}
	}
}

func TestSlowSubscriberLosesTheOldestAndCounts(t *testing.T) {
	bus := event.NewBus()
	started, release := make(chan struct{}), make(chan struct{})
	var got []string
	first := true
	s := bus.Subscribe("slow", 4, func(e event.Event) {
		if first {
			first = false
			close(started)
			<-release
		}
		got = append(got, e.RequestID)
	})
	bus.Publish(event.Event{RequestID: "first"})
	<-started
	for n := range 10 {
		bus.Publish(event.Event{RequestID: strconv.Itoa(n)})
	}
	close(release)
	s.Close()
	want := []string{"first", "6", "7", "8", "9"}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	if s.Lost() != 6 {
		t.Errorf("Lost() = %d, want 6", s.Lost())
	}
}

func TestPublishWhileSubscribersComeAndGo(t *testing.T) {
	bus := event.NewBus()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				bus.Publish(event.Event{Kind: event.LoginFailed})
			}
		})
		wg.Go(func() {
			for range 50 {
				bus.Subscribe("short", 1, func(event.Event) {}).Close()
			}
		})
	}
	wg.Wait()
	bus.Close()
	bus.Close()
	bus.Publish(event.Event{})
	late := bus.Subscribe("late", 1, func(event.Event) { t.Error("event handled after Close") })
	late.Close()
}

func TestPublishAllocatesNothing(t *testing.T) {
	bus := event.NewBus()
	bus.Subscribe("s", 16, func(event.Event) {})
	defer bus.Close()
	e := event.Event{Kind: event.RequestRefused, RequestID: "x"}
	if n := testing.AllocsPerRun(1000, func() { bus.Publish(e) }); n > 0 {
		t.Errorf("Publish allocates %v times", n)
	}
}

// A tap has seen the event when Publish returns, and none after it was stopped.
func TestTap(t *testing.T) {
	bus, n := event.NewBus(), 0
	stop := bus.Tap(func(event.Event) { n++ })
	bus.Publish(event.Event{})
	if n != 1 {
		t.Errorf("%d after one event", n)
	}
	stop()
	bus.Publish(event.Event{})
	if n != 1 {
		t.Error("heard after the stop")
	}
}
