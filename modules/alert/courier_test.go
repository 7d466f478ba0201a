package alert

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/event"
)

// fickle takes notices, unless it has a reason not to.
type fickle struct {
	mu    sync.Mutex
	why   error
	tries int
	got   []string
}

func (f *fickle) send(_ context.Context, n Notice) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tries++; f.why != nil {
		return f.why
	}
	f.got = append(f.got, n.ID)
	return nil
}

func (f *fickle) set(why error) (tries int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tries, f.why, f.tries = f.tries, why, 0
	return tries
}

func plain(read func() Reading, couriers func() []*courier) *plan {
	return &plan{owner: new(int), read: read, interval: 15 * time.Second, repeat: time.Hour, node: "gw1", runbooks: "book", couriers: couriers}
}

// A receiver that is away gets everything, in order, when it is back; that it was is told once.
func TestReceiverAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fickle{why: errors.New("away")}
		var mu sync.Mutex
		var kinds []event.Kind
		b := openBoard(filepath.Join(t.TempDir(), "alerts.json"), func(e event.Event) {
			mu.Lock()
			defer mu.Unlock()
			kinds = append(kinds, e.Kind)
		})
		b.Use(plain(func() Reading { return nil }, func() []*courier { return []*courier{newCourier("hook", warning, nil, f)} }))
		defer b.Destruct()
		for i := range 3 {
			b.couriers[0].put(Notice{ID: fmt.Sprint(i), At: time.Now()})
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if tries := f.set(nil); tries < 10 || tries > 40 {
			t.Errorf("%d tries in an hour", tries)
		}
		if s := b.Status().Receivers[0]; s.Waiting != 3 || s.Down.IsZero() || s.Error != "away" {
			t.Errorf("%+v", s)
		}
		time.Sleep(longestPause)
		synctest.Wait()
		if fmt.Sprint(f.got) != "[0 1 2]" {
			t.Errorf("got %v", f.got)
		}
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(kinds) != "[alert.undelivered alert.deliverable]" {
			t.Errorf("told %v", kinds)
		}
	})
}

func TestQueueIsBoundedAndRefusalsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fickle{why: fmt.Errorf("%w: 400", errRefused)}
		c := newCourier("hook", warning, nil, f)
		for i := range queueLength + 5 {
			c.put(Notice{ID: fmt.Sprint(i), At: time.Now()})
		}
		if s := c.status(); s.Waiting != queueLength || s.Dropped != 5 {
			t.Errorf("%+v", s)
		}
		c.queue = c.queue[:1]
		c.start()
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := c.status(); f.tries != triesRefused || s.Waiting != 0 || s.Dropped != 6 {
			t.Errorf("%d tries, %+v", f.tries, s)
		}
		f.set(errors.New("away"))
		c.put(Notice{ID: "old", At: time.Now()})
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if s := c.status(); s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		c.stop()
	})
}

// What waits outlives configurations and the process; a configuration that fails changes nothing.
func TestNoticesOutliveConfigurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "alerts.json")
		f := &fickle{why: errors.New("away")}
		var level atomic.Int64
		level.Store(1)
		read := func() Reading {
			return Reading{{"gatehouse_siem_up", map[string]string{"sink": "x"}, float64(level.Load())}}
		}
		couriers := func() []*courier {
			return []*courier{newCourier("hook", warning, nil, f), newCourier("other", warning, []string{privileged}, f)}
		}
		b := openBoard(file, func(event.Event) {})
		first, failing := plain(read, couriers), plain(func() Reading { return nil }, func() []*courier { return nil })
		b.Use(first)
		level.Store(0)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		b.Use(failing)
		b.Leave(failing.owner)
		if s := b.Status(); len(s.Alerts) != 1 || s.Receivers[0].Waiting != 1 || s.Receivers[1].Waiting != 0 {
			t.Errorf("%+v", s)
		}
		if err := b.Destruct(); err != nil {
			t.Fatal(err)
		}
		f.set(nil)
		b = openBoard(file, func(event.Event) {})
		b.Use(plain(read, couriers))
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := b.Status(); len(f.got) != 1 || len(s.Alerts) != 1 {
			t.Errorf("%v %+v", f.got, s)
		}
		if err := b.Destruct(); err != nil {
			t.Fatal(err)
		}
	})
}

// keeping is a receiver that keeps what the file held when it was told.
type keeping struct {
	fickle
	file string
	held [][]byte
}

func (k *keeping) send(ctx context.Context, n Notice) error {
	text, err := os.ReadFile(k.file)
	k.mu.Lock()
	k.held = append(k.held, text)
	k.mu.Unlock()
	return errors.Join(err, k.fickle.send(ctx, n))
}

// Whenever the gateway is killed, what is due is told after it starts again: by the same notice, if a receiver may have heard of it
// already, and not at all when it has.
func TestKilledWhileTelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused atomic.Int64
		read := func() Reading {
			return Reading{{Name: "gatehouse_events_total", Labels: map[string]string{"kind": "admin.refused"}, Value: float64(refused.Load())}}
		}
		file := filepath.Join(t.TempDir(), "alerts.json")
		k := &keeping{file: file}
		begin := func(file string) *board {
			b := openBoard(file, func(event.Event) {})
			b.Use(plain(read, func() []*courier { return []*courier{newCourier("hook", warning, nil, k)} }))
			return b
		}
		b := begin(file)
		time.Sleep(time.Minute)
		refused.Store(5)
		time.Sleep(time.Minute)
		synctest.Wait()
		after, err := os.ReadFile(file)
		if err != nil || len(k.got) != 1 || len(k.held) != 1 {
			t.Fatalf("told %v, %v", k.got, err)
		}
		_ = b.Destruct()
		for name, test := range map[string]struct {
			text  []byte
			again int
		}{"while it is told": {k.held[0], 1}, "afterwards": {after, 0}} {
			refused.Store(0) // counters begin anew with the process
			k.got = nil
			file := filepath.Join(t.TempDir(), "alerts.json")
			k.file = file
			if err := os.WriteFile(file, test.text, 0o600); err != nil {
				t.Fatal(err)
			}
			first := k.held[0]
			b := begin(file)
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(k.got) != test.again || test.again > 0 && !strings.Contains(string(first), k.got[0]) {
				t.Errorf("killed %s: told again %v, want %d times, as what it was", name, k.got, test.again)
			}
			if len(b.Status().Alerts) != 1 {
				t.Errorf("killed %s: the alert is forgotten: it will not be told that it is over", name)
			}
			_ = b.Destruct()
		}
	})
}
