package siem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/siem/format"
)

// plain encodes a record as its id.
func plain(b []byte, r *format.Record) []byte { return append(b, r.ID...) }

// fake is a receiver whose moods the test decides.
type fake struct {
	mu     sync.Mutex
	down   error
	bad    string // an id that is rejected
	got    []string
	broke  bool // the connection, for a receiver that never answers
	silent bool
}

func (f *fake) send(_ context.Context, entries []entry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return f.down
	}
	for _, e := range entries {
		if f.bad != "" && e.id == f.bad {
			return fmt.Errorf("%w: of its shape", errRejected)
		}
	}
	f.broke = false
	for _, e := range entries {
		f.got = append(f.got, e.id)
	}
	return nil
}

func (f *fake) Close() error { return nil }

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) ids() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.got, " ")
}

// quiet is a fake that never answers.
type quiet struct{ *fake }

func (q quiet) broken() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.broke
}

// published collects what was published.
type published struct {
	mu  sync.Mutex
	all []event.Event
}

func (k *published) publish(e event.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, e)
}

func (k *published) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var names []string
	for _, e := range k.all {
		names = append(names, string(e.Kind))
	}
	return strings.Join(names, " ")
}

func outletTo(t *testing.T, r receiver, told *published) *outlet {
	t.Helper()
	s, err := openSpool(t.TempDir(), 1<<30, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := &outlet{name: "test", encode: plain, publish: told.publish, spool: s, receiver: r, streams: map[string]bool{"access": true}}
	o.start()
	return o
}

func give(o *outlet, ids ...string) {
	for _, id := range ids {
		o.collect(&format.Record{ID: id, Time: time.Now(), Stream: "access"})
	}
	o.flush()
}

// A collector that is down for ten minutes has everything afterwards, in order, and each once; its absence is told of.
func TestCollectorDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, heard := &fake{}, &published{}
		o := outletTo(t, f, heard)
		give(o, "a", "b")
		synctest.Wait()
		f.set(func(f *fake) { f.down = errors.New("refused") })
		give(o, "c")
		time.Sleep(5 * time.Minute)
		give(o, "d", "e")
		if got, s := f.ids(), o.status(); got != "a b" || s.Down.IsZero() || s.Error != "refused" || s.Waiting == 0 {
			t.Errorf("it has %s; %+v", got, s)
		}
		time.Sleep(5 * time.Minute)
		f.set(func(f *fake) { f.down = nil })
		time.Sleep(longestPause)
		give(o, "f")
		synctest.Wait()
		if got, s := f.ids(), o.status(); got != "a b c d e f" || s.Sent != 6 || s.Lost != 0 || s.Waiting != 0 || s.Error != "" {
			t.Errorf("it has %s; %+v", got, s)
		}
		if got := heard.String(); got != "siem.down siem.resumed" {
			t.Errorf("published: %s", got)
		}
		o.stop()
	})
}

// What a collector rejects is left out, counted and told of; what came with it arrives.
func TestRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, heard := &fake{bad: "c"}, &published{}
		o := outletTo(t, f, heard)
		give(o, "a", "b", "c", "d", "e")
		time.Sleep(time.Minute)
		if got, s := f.ids(), o.status(); got != "a b d e" || s.Lost != 1 || s.Waiting != 0 || heard.String() != "siem.lost" {
			t.Errorf("it has %s; %+v; published: %s", got, s, heard)
		}
		o.stop()
	})
}

// What was sent last over a connection that broke is sent again: a protocol without answers cannot say what arrived.
func TestSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, heard := &fake{}, &published{}
		o := outletTo(t, quiet{f}, heard)
		give(o, "a")
		time.Sleep(settleFor + time.Second)
		give(o, "b", "c")
		synctest.Wait()
		f.set(func(f *fake) { f.broke = true })
		time.Sleep(time.Minute)
		if got := f.ids(); got != "a b c b c" {
			t.Errorf("it has %s", got)
		}
		// An idle connection that ends is nothing to tell of.
		f.set(func(f *fake) { f.broke = true })
		time.Sleep(10 * time.Minute)
		give(o, "d")
		time.Sleep(time.Minute)
		if got, s := f.ids(), o.status(); got != "a b c b c d" || s.Waiting != 0 || heard.String() != "" {
			t.Errorf("it has %s; %+v; published: %s", got, s, heard)
		}
		o.stop()
	})
}

// The queue lets go of the oldest when nobody writes, counts them, and keeps nobody waiting.
func TestQueueFull(t *testing.T) {
	heard := &published{}
	c := newCollector(heard.publish)
	c.deal.Lock() // nobody writes
	for range queueLength + drainAtOnce + 100 {
		c.put(told{})
	}
	c.deal.Unlock()
	if err := c.Destruct(); err != nil {
		t.Fatal(err)
	}
	if c.lost == 0 && heard.String() != "siem.lost" {
		t.Errorf("%d lost, published: %s", c.lost, heard)
	}
}

// Outlets that stay the same go on when the configuration changes; an owner that has gone ends nothing of the next one's.
func TestUse(t *testing.T) {
	c := newCollector(func(event.Event) {})
	defer c.Destruct()
	dir := t.TempDir()
	made := 0
	maker := func(name string) func() (*outlet, error) {
		return func() (*outlet, error) {
			made++
			s, err := openSpool(dir+"/"+name, 1<<30, 0)
			return &outlet{name: name, encode: plain, spool: s, receiver: &fake{}}, err
		}
	}
	one, two := new(int), new(int)
	if err := c.Use(plan{one, &scribe{}, map[string]func() (*outlet, error){"a": maker("a"), "b": maker("b")}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Use(plan{two, &scribe{}, map[string]func() (*outlet, error){"a": maker("a"), "b2": maker("b")}}); err != nil {
		t.Fatal(err)
	}
	c.Leave(one)
	if n := len(c.statuses()); n != 2 || made != 3 {
		t.Errorf("%d outlets, %d made", n, made)
	}
	c.Leave(two)
	if n := len(c.statuses()); n != 0 {
		t.Errorf("%d outlets are left", n)
	}
}
