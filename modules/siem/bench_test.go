package siem

import (
	"net/netip"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/siem/format"
)

func someRequest() event.Ended {
	return event.Ended{
		Event: event.Event{
			Time: time.Now(), RequestID: "YCUU67CIAE7Z4TUJGSNVQELQSG", Site: "app.test", ClientIP: netip.MustParseAddr("198.51.100.7"),
			User: "local:ada", Session: "s1", Method: "GET", Path: "/orders/12345/edit", Status: 200,
		},
		Host: "app.test", Proto: "HTTP/2.0", Agent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0 Safari/537.36", Grant: "allow role staff",
		Duration: time.Millisecond,
	}
}

// BenchmarkRequest is what a request pays while there are collectors.
func BenchmarkRequest(b *testing.B) {
	c := newCollector(func(event.Event) {})
	defer c.Destruct()
	e := someRequest()
	b.ReportAllocs()
	for b.Loop() {
		c.ended(e)
	}
}

// BenchmarkRecord is what the room's goroutine does for each: pseudonyms, a form, a line for the spool.
func BenchmarkRecord(b *testing.B) {
	s, err := openSpool(b.TempDir(), 64<<20, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	encode, _ := format.Named("ecs")
	o := &outlet{name: "bench", encode: encode, publish: func(event.Event) {}, spool: s}
	w := scribeFor(b)
	t := told{Ended: someRequest(), request: true}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		o.collect(w.record(&t))
		if n++; n%drainAtOnce == 0 {
			o.flush()
		}
	}
}
