package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/reqpath"
)

// At four times the rate, what passes is the burst and the rate's share of the time, to the token.
func TestAdmittedIsBurstPlusRateTimesTime(t *testing.T) {
	for _, tt := range []struct {
		n     int
		per   time.Duration
		burst int
	}{{50, time.Second, 100}, {3, time.Second, 1}, {300, time.Minute, 20}, {7, time.Hour, 7}} {
		synctest.Test(t, func(t *testing.T) {
			table, limit := NewTable(4), NewLimit(tt.n, tt.per, tt.burst)
			passed, step := 0, tt.per/time.Duration(4*tt.n)+1 // or every fourth comes a nanosecond early
			var took time.Duration
			for range 4 * tt.n * 10 { // ten times the unit
				if table.Take(7, limit).OK {
					passed++
				}
				time.Sleep(step)
				took += step
			}
			want := float64(tt.burst) + float64(tt.n)*float64(took)/float64(tt.per)
			if float64(passed) > want || float64(passed) < want*.98-1 {
				t.Errorf("%d in %v, burst %d: %d passed in %v, want %.1f", tt.n, tt.per, tt.burst, passed, took, want)
			}
		})
	}
}

func TestBurstIsExactUnderConcurrency(t *testing.T) {
	table, limit := NewTable(10), NewLimit(1, time.Hour, 100)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if table.Take(42, limit).OK {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d passed, want 100", passed.Load())
	}
}

func TestRefusalsSayWhenAndCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, limit := NewTable(4), NewLimit(1, 10*time.Second, 2)
		table.Take(1, limit)
		table.Take(1, limit)
		for range 5 {
			if d := table.Take(1, limit); d.OK || d.Retry != 10*time.Second || d.Full != 20*time.Second {
				t.Fatalf("%+v", d)
			}
		}
		time.Sleep(10*time.Second - 1)
		if table.Take(1, limit).OK {
			t.Error("passes too early")
		}
		time.Sleep(1)
		if d := table.Take(1, limit); !d.OK || d.Left != 0 {
			t.Errorf("does not pass when it was told to come: %+v", d)
		}
		// A limit that was lowered applies at once, and does not make its client wait longer than it would from empty.
		if d := table.Take(1, NewLimit(1, time.Second, 1)); d.OK || d.Retry != time.Second {
			t.Errorf("under a new limit: %+v", d)
		}
	})
}

// Whoever is at the limit stays there, however many other keys come.
func TestFloodOfKeysFreesNobody(t *testing.T) {
	table, limit := NewTable(8), NewLimit(1, time.Hour, 10)
	const offender = 99
	for table.Take(offender, limit).OK {
	}
	for range 100_000 {
		table.Take(rand.Uint64(), limit)
	}
	if table.Take(offender, limit).OK {
		t.Error("the flood gave the offender a new bucket")
	}
	if table.Evicted() == 0 || len(table.slots) != 256 {
		t.Errorf("%d evicted, %d slots", table.Evicted(), len(table.slots))
	}
}

func compiled(t testing.TB, rules ...Rule) []Rule {
	t.Helper()
	for i := range rules {
		if err := rules[i].compile(); err != nil {
			t.Fatal(err)
		}
	}
	return rules
}

func testNode() *Node { return &Node{main: NewTable(12), headers: NewTable(8)} }

func path(t testing.TB, text string) reqpath.Path {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "https://app.test"+text, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = text
	p, err := reqpath.FromRequest(r, reqpath.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhoIsCountedTogether(t *testing.T) {
	root := path(t, "/")
	client := func(ip string) Asked { return Asked{Path: root, Client: netip.MustParseAddr(ip)} }
	user := func(name, session string) Asked {
		return Asked{Path: root, Client: netip.MustParseAddr("192.0.2.1"), User: name, Session: session}
	}
	of := func(tenant, key string) Asked {
		return Asked{Path: root, Client: netip.MustParseAddr("192.0.2.1"), User: "service:" + key, Session: key, Tenant: tenant, Key: key}
	}
	key := func(v string) Asked {
		return Asked{Path: root, Client: netip.MustParseAddr("192.0.2.1"), Header: http.Header{"X-Key": {v}}}
	}
	for _, tt := range []struct {
		name        string
		rule        Rule
		first, next Asked
		together    bool
	}{
		{"one IPv4 address", Rule{}, client("192.0.2.1"), client("192.0.2.1"), true},
		{"neighbours on IPv4", Rule{}, client("192.0.2.1"), client("192.0.2.2"), false},
		{"one /64", Rule{}, client("2001:db8::1"), client("2001:db8::ffff:1"), true},
		{"two /64", Rule{}, client("2001:db8::1"), client("2001:db8:0:1::1"), false},
		{"a user on two devices", Rule{Per: PerUser}, user("local:ada", "a"), user("local:ada", "b"), true},
		{"two users", Rule{Per: PerUser}, user("local:ada", "a"), user("local:bob", "b"), false},
		{"nobody is no user", Rule{Per: PerUser}, user("", ""), user("", ""), false},
		{"a user's two sessions", Rule{Per: PerSession}, user("local:ada", "a"), user("local:ada", "b"), false},
		{"everybody of a tenant", Rule{Per: PerTenant}, of("acme", "k1"), of("acme", "k2"), true},
		{"two tenants", Rule{Per: PerTenant}, of("acme", "k1"), of("umbrella", "k1"), false},
		{"no tenant is none", Rule{Per: PerTenant}, of("", "k1"), of("", "k1"), false},
		{"one API key", Rule{Per: PerKey}, of("acme", "k1"), of("acme", "k1"), true},
		{"two API keys", Rule{Per: PerKey}, of("acme", "k1"), of("acme", "k2"), false},
		{"a session is no API key", Rule{Per: PerKey}, user("local:ada", "a"), user("local:ada", "a"), false},
		{"one key", Rule{Per: PerHeader, Header: "x-key"}, key("k"), key("k"), true},
		{"two keys", Rule{Per: PerHeader, Header: "x-key"}, key("k"), key("l"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.rule.Rate = "1r/h"
			l := NewLimiter(testNode(), "app", compiled(t, tt.rule))
			if r := l.Judge(tt.first, http.Header{}); r != nil {
				t.Fatalf("the first is refused: %+v", r)
			}
			if r := l.Judge(tt.next, http.Header{}); (r != nil) != tt.together {
				t.Errorf("refused: %v, want %v", r != nil, tt.together)
			}
		})
	}
}

// Moving about inside a /56 or a /48 gives four and sixteen clients' worth, not 256 and 65,536.
func TestSpreadOverNetworks(t *testing.T) {
	root := path(t, "/")
	for _, tt := range []struct {
		format string
		want   int
	}{{"2001:db8:1:%x::1", 4 * 10}, {"2001:db8:2:%x00::1", 16 * 10}} {
		l := NewLimiter(testNode(), "app", compiled(t, Rule{Rate: "1r/h", Burst: 10}))
		passed := 0
		for i := range 256 {
			for range 10 {
				if l.Judge(Asked{Path: root, Client: netip.MustParseAddr(fmt.Sprintf(tt.format, i))}, http.Header{}) == nil {
					passed++
				}
			}
		}
		if passed != tt.want {
			t.Errorf("%s: %d passed, want %d", tt.format, passed, tt.want)
		}
	}
}

func TestRefusedByOneIsChargedToNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(testNode(), "app", compiled(t, Rule{Rate: "10r/h"}, Rule{Rate: "1r/s", Burst: 1}))
		asked, passed := Asked{Path: path(t, "/"), Client: netip.MustParseAddr("192.0.2.1")}, 0
		for range 50 { // four of five are refused by the second
			if l.Judge(asked, http.Header{}) == nil {
				passed++
			}
			time.Sleep(200 * time.Millisecond)
		}
		if passed != 10 {
			t.Errorf("%d passed, want all 10 of the hour", passed)
		}
	})
}

func TestFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(testNode(), "app", compiled(t, Rule{Rate: "60r/m", Burst: 2}, Rule{Rate: "100r/h"}))
		asked := Asked{Path: path(t, "/"), Client: netip.MustParseAddr("192.0.2.1")}
		for _, want := range []string{`"client";r=1;t=1`, `"client";r=0;t=2`, `"client";r=0;t=2`} {
			h := http.Header{}
			l.Judge(asked, h)
			if got := h.Get("RateLimit"); got != want {
				t.Errorf("RateLimit: %s, want %s", got, want)
			}
			if got := h.Get("RateLimit-Policy"); !strings.HasPrefix(got, `"client";q=2;w=2`) {
				t.Errorf("RateLimit-Policy: %s", got)
			}
		}
	})
}

func TestLoginRule(t *testing.T) {
	rule := loginRule()
	for text, want := range map[string]bool{
		"/.gatehouse/login": true, "/.GATEHOUSE/login": true, "/.gatehouse/login/corp/callback": true,
		"/.gatehouse/login/corp/backchannel-logout": false, "/x/backchannel-logout": false, "/": false,
	} {
		if got := rule.counts(path(t, text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestRefusedRules(t *testing.T) {
	for _, r := range []Rule{
		{}, {Rate: "0r/s"}, {Rate: "-1r/s"}, {Rate: "5"}, {Rate: "5r/d"}, {Rate: "1000000r/s"}, {Rate: "5r/s", Burst: -1},
		{Rate: "5r/s", Per: "planet"}, {Rate: "5r/s", Per: PerHeader}, {Rate: "5r/s", Per: PerHeader, Header: "a b"}, {Rate: "5r/s", Header: "X-Key"},
	} {
		if err := r.compile(); err == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}

func TestRunning(t *testing.T) {
	l := NewLimiter(testNode(), "app", nil)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	leave, ok := l.Enter(a, 1)
	if _, again := l.Enter(a, 1); !ok || again {
		t.Fatal("one may run, not two")
	}
	if _, ok := l.Enter(b, 1); !ok {
		t.Error("another client is counted with the first")
	}
	leave()
	if _, ok := l.Enter(a, 1); !ok {
		t.Error("who has left is counted still")
	}
}

// A million clients in the table that a node has.
func BenchmarkTakeAmongAMillion(b *testing.B) {
	table, limit := NewTable(tableBits), NewLimit(50, time.Second, 100)
	const keys = 1 << 20
	hash := func(i uint64) uint64 { return i*0x9e3779b97f4a7c15 ^ i>>7 }
	for i := range uint64(keys) {
		table.Take(hash(i), limit)
	}
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		table.Take(hash((i*2654435761)%keys), limit)
	}
}

// What the room's card says.
func TestAllocations(t *testing.T) {
	l := NewLimiter(testNode(), "app", compiled(t, Rule{Rate: "50000r/s"}, Rule{Rate: "50000r/m", Per: PerHeader, Header: "X-Key"}))
	asked, h := Asked{Path: path(t, "/"), Client: netip.MustParseAddr("2001:db8::1"), Header: http.Header{"X-Key": {"k"}}}, http.Header{}
	if n := testing.AllocsPerRun(100, func() { clear(h); l.Judge(asked, h) }); n != 2 {
		t.Errorf("%v allocations", n)
	}
	if h.Get("RateLimit") == "" || h.Get("RateLimit-Policy") == "" {
		t.Errorf("no fields: %v", h)
	}
}

func BenchmarkJudge(b *testing.B) {
	l := NewLimiter(NewNode(nil), "app", compiled(b, Rule{Rate: "50r/s"}, loginRule()))
	root, h := path(b, "/"), http.Header{}
	b.ReportAllocs()
	for i := uint32(0); b.Loop(); i++ {
		clear(h)
		x := i * 2654435761 & (1<<20 - 1)
		l.Judge(Asked{Path: root, Client: netip.AddrFrom4([4]byte{10, byte(x >> 16), byte(x >> 8), byte(x)})}, h)
	}
}
