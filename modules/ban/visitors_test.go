package ban

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/store"
)

func person(name string) identity.Proof {
	return identity.Prove(identity.Identity{Provider: "local", Subject: name, Tenant: "acme"}, "s-"+name, time.Now())
}

// A dry run tells of the last hour, and no longer, and of what runs.
func TestForesee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		d, _, _ := testDesk(t, st, Settings{})
		office := netip.MustParsePrefix("198.51.100.0/24")
		at := netip.MustParseAddr
		for i := range 30 {
			d.visitors.record(at(fmt.Sprintf("198.51.100.%d", i%3)), person(fmt.Sprintf("u%02d", i/3)), time.Now())
			d.visitors.record(at("203.0.113.9"), identity.Proof{}, time.Now())
		}
		run := running.New(t.Context(), nil)
		d.present.enter(at("198.51.100.1"), run, false)
		f := d.Foresee(clients(office))
		if f.Requests != 30 || f.Of != 60 || f.Clients != 3 || f.Running != 1 || len(f.Users) != 8 || !f.More || f.Refused != "" {
			t.Errorf("%+v", f)
		}
		if f := d.Foresee(Whom{Scope: ByUser, Name: "local:u03"}); f.Requests != 3 || f.Of != 60 || len(f.Users) != 1 || f.Refused != "" {
			t.Errorf("of one user: %+v", f)
		}
		if f := d.Foresee(Whom{Scope: ByTenant, Name: "acme"}); f.Requests != 30 || f.Of != 60 || len(f.Users) != 8 || !f.More {
			t.Errorf("of the tenant: %+v", f)
		}
		if text := f.String(); !strings.Contains(text, "30 of 60 requests (50.0 %), of 3 clients; 1 requests run") || !strings.Contains(text, `"local:u00"`) || !strings.Contains(text, "and more") {
			t.Errorf("%s", text)
		}
		if _, banned := d.Banned(at("198.51.100.1")); banned {
			t.Error("the dry run banned somebody")
		}
		if f := d.Foresee(clients(netip.MustParsePrefix("203.0.113.0/24"))); f.Refused == "" || f.Requests != 30 || len(f.Users) != 0 {
			t.Errorf("a trusted proxy's network: %+v", f)
		}
		time.Sleep(55 * time.Minute)
		d.visitors.record(at("198.51.100.1"), identity.Proof{}, time.Now())
		if f := d.Foresee(clients(office)); f.Requests != 31 {
			t.Errorf("after 55 minutes: %+v", f)
		}
		time.Sleep(10 * time.Minute)
		if f := d.Foresee(clients(office)); f.Requests != 1 || f.Of != 1 {
			t.Errorf("after 65 minutes: %+v", f)
		}
		d.present.leave(at("198.51.100.1"), run)
		run.Leave()
		_ = d.Destruct()
		_ = st.Close()
	})
}

// However many come, no more than so many are remembered, and the latest are.
func TestVisitorsAreBounded(t *testing.T) {
	v := newVisitors()
	now := time.Unix(1_800_000_000, 0)
	for i := range maxVisitors + 20_000 {
		v.record(netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}), identity.Proof{}, now.Add(time.Duration(i)*time.Millisecond))
	}
	total := 0
	for i := range v.shards {
		total += len(v.shards[i].all)
	}
	if total > maxVisitors {
		t.Errorf("%d networks are remembered, want %d at the most", total, maxVisitors)
	}
}

func BenchmarkRecord(b *testing.B) {
	v, now, ada := newVisitors(), time.Now(), person("ada")
	addr := netip.MustParseAddr("198.51.100.9")
	b.ReportAllocs()
	for b.Loop() {
		v.record(addr, ada, now)
	}
}
