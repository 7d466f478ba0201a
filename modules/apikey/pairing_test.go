package apikey

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/roster"
	"gatehouse.internal/modules/internal/service"
	"gatehouse.internal/modules/internal/store"
)

func pairings(t *testing.T, n int) (all []*Pairings) {
	t.Helper()
	st := store.NewMemory()
	keys, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		b, err := NewBook(st, keys, service.Accounts{}, roster.Roster{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Destruct() })
		all = append(all, b.pairings)
	}
	return all
}

func wish(from string) *Pairing {
	return &Pairing{Client: "sync", Host: "app.test", Tenant: "acme", From: netip.MustParseAddr(from)}
}

// However many ask at one time, on whatever node, an approval is good for one key.
func TestOneKeyByOneApproval(t *testing.T) {
	nodes, now, ctx := pairings(t, 2), time.Now(), t.Context()
	p := wish("192.0.2.7")
	device, err := nodes[0].Ask(ctx, p, now)
	if err != nil {
		t.Fatal(err)
	}
	found, err := nodes[1].Waiting(ctx, p.UserCode, "app.test", "acme", now)
	if err != nil || found.ID != p.ID {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := nodes[1].Decide(ctx, p.ID, personOf("local", "ada"), true, now); err != nil {
		t.Fatal(err)
	}
	if err := nodes[0].Decide(ctx, p.ID, personOf("local", "eve"), false, now); !errors.Is(err, errNoPairing) {
		t.Errorf("decided twice: %v", err)
	}
	var got atomic.Int32
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			switch p, err := nodes[i%2].Poll(ctx, device, "sync", "app.test", "acme", now); {
			case err == nil && p.Person == personOf("local", "ada"):
				got.Add(1)
			case !errors.Is(err, errNoPairing):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got.Load() != 1 {
		t.Errorf("%d keys by one approval", got.Load())
	}
}

func TestPairingsEnd(t *testing.T) {
	ps, now, ctx := pairings(t, 1)[0], time.Now(), t.Context()
	p := wish("192.0.2.7")
	device, err := ps.Ask(ctx, p, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"host": nil, "tenant": nil, "client": nil} {
		host, tenant, client := "app.test", "acme", "sync"
		switch name {
		case "host":
			host = "b.test"
		case "tenant":
			tenant = ""
		case "client":
			client = "other"
		}
		if _, err = ps.Poll(ctx, device, client, host, tenant, now); !errors.Is(err, errNoPairing) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := ps.Waiting(ctx, p.UserCode, "app.test", "", now); !errors.Is(err, errNoPairing) {
		t.Errorf("another tenant: %v", err)
	}
	late := now.Add(pairFor)
	if _, err := ps.Poll(ctx, device, "sync", "app.test", "acme", late); !errors.Is(err, errTooLate) {
		t.Errorf("too late: %v", err)
	}
	if err := ps.Decide(ctx, p.ID, personOf("local", "ada"), true, late); !errors.Is(err, errNoPairing) {
		t.Errorf("decided too late: %v", err)
	}
	if _, err := ps.Waiting(ctx, p.UserCode, "app.test", "acme", late); !errors.Is(err, errNoPairing) {
		t.Errorf("shown too late: %v", err)
	}
}

// Programs that ask too often have to leave more time, each time (RFC 8628 3.5).
func TestHastyPrograms(t *testing.T) {
	ps, now, ctx := pairings(t, 1)[0], time.Now(), t.Context()
	device, err := ps.Ask(ctx, wish("192.0.2.7"), now)
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		after time.Duration
		want  error
	}{{0, errPending}, {pollInterval, errPending}, {pollInterval - 1, errSlowDown}, {2*pollInterval - 1, errSlowDown}, {3 * pollInterval, errPending}} {
		now = now.Add(step.after)
		if _, err := ps.Poll(ctx, device, "sync", "app.test", "acme", now); !errors.Is(err, step.want) {
			t.Errorf("%d: %v, want %v", i, err, step.want)
		}
	}
}

// What waits is bounded, for a network and in total: anybody may ask.
func TestFloodOfPairings(t *testing.T) {
	ps, now, ctx := pairings(t, 1)[0], time.Now(), t.Context()
	for range maxPairsNet {
		if _, err := ps.Ask(ctx, wish("192.0.2.7"), now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ps.Ask(ctx, wish("192.0.2.7"), now); !errors.Is(err, errManyAsking) {
		t.Errorf("one more of a network: %v", err)
	}
	if _, err := ps.Ask(ctx, wish("192.0.2.8"), now); err != nil {
		t.Errorf("another network: %v", err)
	}
	if _, err := ps.Ask(ctx, wish("192.0.2.7"), now.Add(pairFor)); err != nil {
		t.Errorf("once they are over: %v", err)
	}
}

func TestUserCodes(t *testing.T) {
	for typed, want := range map[string]string{
		"WDJB-MJHT": "WDJBMJHT", "wdjb mjht": "WDJBMJHT", "w-d-j-b-m-j-h-t": "WDJBMJHT", "WDJBMJH": "", "WDJBMJHTT": "", "WDJBMJHA": "", "": "",
		"WDJB–MJHT": "", "--------------------------------WDJBMJHT": "",
	} {
		if got := UserCode(typed); got != want {
			t.Errorf("%q is %q, want %q", typed, got, want)
		}
	}
	if shown("WDJBMJHT") != "WDJB-MJHT" {
		t.Error(shown("WDJBMJHT"))
	}
}
