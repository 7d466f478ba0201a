package authn_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

func init() { caddy.RegisterModule(new(slowStore)) }

// lag is how late the slow store answers; a negative one: never.
var lag atomic.Int64

// slowStore is a store engine behind a network that has become slow, or swallows what is sent.
type slowStore struct{}

func (*slowStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.stores.slow", New: func() caddy.Module { return new(slowStore) }}
}
func (*slowStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }
func (*slowStore) StoreKey() string                                { return "slow" }
func (*slowStore) OpenStore(string, *keyring.Ring, *event.Bus) (store.Store, error) {
	return lagging{store.NewMemory()}, nil
}

var _ gatehouse.StoreOpener = (*slowStore)(nil)

// lagging takes its time with what requests wait for.
type lagging struct{ store.Store }

func late(ctx context.Context) error {
	var answered <-chan time.Time
	if d := time.Duration(lag.Load()); d == 0 {
		return nil
	} else if d > 0 {
		answered = time.After(d)
	}
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l lagging) Get(ctx context.Context, k store.Key) (store.Item, error) {
	if err := late(ctx); err != nil {
		return store.Item{}, err
	}
	return l.Store.Get(ctx, k)
}

func (l lagging) Put(ctx context.Context, k store.Key, value []byte, o store.PutOptions) (uint64, error) {
	if err := late(ctx); err != nil {
		return 0, err
	}
	return l.Store.Put(ctx, k, value, o)
}

func (l lagging) Delete(ctx context.Context, keys ...store.Key) error {
	if err := late(ctx); err != nil {
		return err
	}
	return l.Store.Delete(ctx, keys...)
}

func (l lagging) Touch(ctx context.Context, to map[store.Key]time.Time) error {
	if err := late(ctx); err != nil {
		return err
	}
	return l.Store.Touch(ctx, to)
}

// A store that has become slow, or mute, is not felt by who is logged in, and keeps nobody waiting (ABUSE S1, S2).
func TestSlowStore(t *testing.T) {
	lag.Store(0)
	h := openGate(t, "{{session}}", "}\n store slow {")
	defer lag.Store(0)
	ada := h.browser().login("ada", "")
	if a := ada.get("/"); a.StatusCode != http.StatusOK {
		t.Fatalf("status %d", a.StatusCode)
	}
	// hits are a hundred requests of somebody whose session is at hand.
	hits := func(what string) {
		t.Helper()
		var took []time.Duration
		for range 100 {
			began := time.Now()
			if a := ada.get("/"); a.StatusCode != http.StatusOK {
				t.Fatalf("%s: status %d\n%s", what, a.StatusCode, a.body)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		t.Logf("%s: p50 %v, p99 %v", what, took[50].Round(time.Microsecond), took[98].Round(time.Microsecond))
		if took[98] > 400*time.Millisecond { // 50 ms where nothing else runs; less than one look at the store anyhow
			t.Errorf("%s: p99 %v", what, took[98])
		}
	}
	hits("the store answers")

	lag.Store(int64(500 * time.Millisecond))
	hits("the store takes 500 ms")
	bob, began := h.browser(), time.Now()
	state := bob.begin("/.gatehouse/login")
	if a := bob.get(callback(state, "bob", "")); a.StatusCode != http.StatusSeeOther {
		t.Errorf("a login: status %d\n%s", a.StatusCode, a.body)
	}
	if took := time.Since(began); took > 2*time.Second+time.Second/2 {
		t.Errorf("a login took %v", took)
	} else {
		t.Logf("a login took %v", took.Round(time.Millisecond))
	}

	// A session that this node does not have at hand cannot be known: 503 within a second, and no word of a new login.
	lag.Store(-1)
	hits("the store is mute")
	began = time.Now()
	a := bob.get("/")
	if took := time.Since(began); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.body, "unavailable") || took > 2*time.Second {
		t.Errorf("a session that is not at hand: status %d after %v", a.StatusCode, took)
	} else {
		t.Logf("a session that is not at hand: 503 after %v", took.Round(time.Millisecond))
	}
	lag.Store(0)
	if a := bob.get("/"); a.StatusCode != http.StatusOK {
		t.Errorf("the store answers again: status %d", a.StatusCode)
	}
}
