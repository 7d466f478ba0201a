package ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

func testRules(t testing.TB, s Settings) *Rules {
	t.Helper()
	var err error
	if s.jails, err = jails(s.Jails); err != nil {
		t.Fatal(err)
	}
	r, err := s.rules([]netip.Prefix{netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("2001:db8:f::7/128")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testDesk(t testing.TB, st store.Store, s Settings) (*Desk, *event.Bus, *[]string) {
	t.Helper()
	bus, lines := event.NewBus(), new([]string)
	d, err := Open(st, bus)
	if err != nil {
		t.Fatal(err)
	}
	r := testRules(t, s)
	r.log = func(line string) { *lines = append(*lines, line) }
	d.Use(r)
	return d, bus, lines
}

var threeStrikes = Jail{Name: "login", MaxRetry: 3, FindTime: "1m", BanTime: "10m", Escalate: true}

func failed(ip string) event.Event {
	return event.Event{Kind: event.LoginFailed, ClientIP: netip.MustParseAddr(ip), RequestID: "r1", Path: "/.gatehouse/login"}
}

// The ban is in force when Publish returns, is durable and told of a moment later, ends by itself, and grows.
func TestJail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		d, bus, lines := testDesk(t, st, Settings{Jails: []Jail{threeStrikes}})
		addr := netip.MustParseAddr("198.51.100.9")
		for i := range 3 {
			if _, banned := d.Banned(addr); banned {
				t.Fatalf("banned after %d", i)
			}
			bus.Publish(failed("198.51.100.9"))
		}
		b, banned := d.Banned(addr)
		if !banned || b.Jail != "login" || b.Request != "r1" {
			t.Fatalf("not banned after 3: %+v", b)
		}
		synctest.Wait()
		if _, err := st.Get(t.Context(), keyOf(b.Whom)); err != nil {
			t.Errorf("not durable: %v", err)
		}
		if len(*lines) != 1 || (*lines)[0] != "[login] Ban 198.51.100.9" {
			t.Errorf("log: %q", *lines)
		}
		time.Sleep(10*time.Minute + time.Second)
		if _, banned := d.Banned(addr); banned {
			t.Error("the ban does not end")
		}
		for range 3 {
			bus.Publish(failed("198.51.100.9"))
		}
		synctest.Wait()
		if b, banned := d.Banned(addr); !banned || b.Until.Sub(b.Since) != 20*time.Minute {
			t.Errorf("the second ban: %v %+v", banned, b)
		}
		if err := d.Destruct(); err != nil {
			t.Error(err)
		}
		// What was told of is there for the next process.
		again, _, _ := testDesk(t, st, Settings{})
		if _, banned := again.Banned(addr); !banned {
			t.Error("the ban is lost with the process")
		}
		_ = again.Destruct()
		_ = st.Close()
	})
}

func TestWhatIsNoOffence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		d, bus, _ := testDesk(t, st, Settings{Jails: []Jail{threeStrikes}, Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.128/25")}})
		person := failed("198.51.100.1")
		person.Session = "s-1"
		refusal := failed("198.51.100.2")
		refusal.Kind, refusal.Reason = event.RequestRefused, verdict.Banned
		for name, e := range map[string]event.Event{
			"of who is logged in": person, "a banned request": refusal, "of the allow-list": failed("198.51.100.200"),
			"of a trusted proxy": failed("203.0.113.7"), "beside a trusted proxy": failed("2001:db8:f::8"),
			"of loopback": failed("127.0.0.1"), "of a private network": failed("10.1.2.3"), "of a private IPv6 network": failed("fd00::1"),
		} {
			for range 10 {
				bus.Publish(e)
			}
			if _, banned := d.Banned(e.ClientIP); banned {
				t.Errorf("an offence %s brings a ban", name)
			}
		}
		slow := failed("198.51.100.3")
		for range 10 { // never three within a minute
			bus.Publish(slow)
			time.Sleep(30 * time.Second)
		}
		if _, banned := d.Banned(slow.ClientIP); banned {
			t.Error("offences that are long past count")
		}
		for i := range 3 { // an IPv6 client is a /64
			bus.Publish(failed(fmt.Sprintf("2001:db8:1:2::%x", i+1)))
		}
		if _, banned := d.Banned(netip.MustParseAddr("2001:db8:1:2:ffff::1")); !banned {
			t.Error("moving about in a /64 helps")
		}
		_ = d.Destruct()
		_ = st.Close()
	})
}

func TestOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		d, _, lines := testDesk(t, st, Settings{})
		ctx := context.Background()
		for text, want := range map[string]error{
			"0.0.0.0/0": ErrTooWide, "203.0.0.0/16": ErrAllowed, "10.0.0.0/8": ErrAllowed, "2001:db8:f::/64": ErrAllowed, "2000::/3": ErrTooWide,
		} {
			if _, err := d.Add(ctx, Order{Whom: clients(netip.MustParsePrefix(text)), For: time.Hour, By: "ada"}); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", text, err, want)
			}
		}
		n := netip.MustParsePrefix("198.51.100.0/24")
		if _, err := d.Add(ctx, Order{Whom: clients(n), For: time.Hour, Detail: "trial", By: "ada"}); err != nil {
			t.Fatal(err)
		}
		if _, banned := d.Banned(netip.MustParseAddr("198.51.100.77")); !banned || len(d.List()) != 1 {
			t.Error("the ban is not in force")
		}
		if found, err := d.Lift(ctx, clients(n), "bob"); !found || err != nil {
			t.Fatal(found, err)
		}
		synctest.Wait()
		if _, banned := d.Banned(netip.MustParseAddr("198.51.100.77")); banned {
			t.Error("the ban was not lifted")
		}
		h, err := d.History(ctx)
		if err != nil || len(h) != 2 || h[0].Ban.Detail != "trial" || h[1].Ban.By != "ada" {
			t.Errorf("history: %+v, %v", h, err)
		}
		if got := strings.Join(*lines, "; "); got != "[manual] Ban 198.51.100.0/24; [manual] Unban 198.51.100.0/24" {
			t.Errorf("log: %s", got)
		}
		_ = d.Destruct()
		_ = st.Close()
	})
}

// What another node writes counts here.
func TestOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		here, _, _ := testDesk(t, st, Settings{})
		there, _, _ := testDesk(t, st, Settings{})
		n, addr := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("198.51.100.1")
		if _, err := there.Add(t.Context(), Order{Whom: clients(n), For: time.Hour, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, banned := here.Banned(addr); !banned {
			t.Error("a ban of another node does not count")
		}
		if _, err := here.Lift(t.Context(), clients(n), "ada"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, banned := there.Banned(addr); banned {
			t.Error("lifted on one node only")
		}
		_, _ = here.Destruct(), there.Destruct()
		_ = st.Close()
	})
}

func TestCounterIsBounded(t *testing.T) {
	c, j := newCounter(100), &Jail{Name: "x", MaxRetry: 1000, find: time.Hour}
	for i := range 10_000 {
		c.offend(j, clients(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 32)), time.Now(), 1)
	}
	if len(c.records) != 100 || c.order.Len() != 100 {
		t.Errorf("%d records", len(c.records))
	}
}

func TestRefusedJails(t *testing.T) {
	for _, j := range []Jail{
		{Name: "login", MaxRetry: 0, FindTime: "1m", BanTime: "1m"}, {Name: "login", MaxRetry: 5, FindTime: "soon", BanTime: "1m"},
		{Name: "login", MaxRetry: 5, FindTime: "1m", BanTime: "10000h"}, {Name: "mine", MaxRetry: 5, FindTime: "1m", BanTime: "1m"},
		{Name: "mine", MaxRetry: 5, FindTime: "1m", BanTime: "1m", On: []string{"banned"}}, {Name: "nope", Off: true},
		{Name: "mine", MaxRetry: 5, FindTime: "1m", BanTime: "1m", On: []string{"rudeness"}},
	} {
		if _, err := jails([]Jail{j}); err == nil {
			t.Errorf("%+v is accepted", j)
		}
	}
}

func BenchmarkBannedAmongAMillion(b *testing.B) {
	d := &Desk{present: newPresent()}
	d.Use(testRules(b, Settings{}))
	until := &Ban{Until: time.Now().Add(time.Hour)}
	all := map[Whom]*Ban{}
	for i := range uint32(1 << 20) {
		x := i * 2654435761
		all[clients(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}), 32))] = until
	}
	d.bans.replace(all)
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i++ {
		x := i*0x9e3779b9 + 1
		d.Banned(netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}))
	}
}
