package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

// few is a world that is small enough to check by hand.
func few() config {
	return config{
		sessions: 20_000, nodes: 7, life: 2 * time.Hour, pause: 20 * time.Minute, visit: 2 * time.Minute, renew: time.Hour, loginWrites: 3,
		span: 2 * time.Hour, seed: 1, table: 1 << 20, entry: 752, stored: 2100,
		write: 100, listener: 5, get: 10, flush: 20, touch: 5, beat: 50,
	}
}

func run(t *testing.T, c config) *result {
	t.Helper()
	r, err := simulate(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if math.Abs(got-want) > part*want {
		t.Errorf("%s: %v, want about %v", what, got, want)
	}
}

// TestRates: what the simulation counts is what follows from how people behave, where that can be said by hand.
func TestRates(t *testing.T) {
	c := few()
	r := run(t, c)
	n, span := float64(c.sessions), c.span.Seconds()
	near(t, "ends", float64(r.ends), n, 0.1) // each lasts two hours, and is counted for two
	near(t, "logins", float64(r.logins), float64(r.ends), 0)
	near(t, "uses", float64(r.uses), n*6*4, 0.05) // six visits, of four uses that are told
	near(t, "uses written", float64(r.touches), float64(r.uses), 0.001)
	near(t, "messages", float64(r.messages), float64(r.ends)+3*float64(r.logins)+3*float64(r.renewals), 0)
	if r.renewals < int64(n)/2 || r.renewals > 2*int64(n) { // hourly, at a visit
		t.Errorf("%d renewals of %v sessions in two hours", r.renewals, n)
	}
	near(t, "beats", r.byBeats, 7*50/1e6, 1e-9)
	near(t, "changes", r.byWrites, float64(r.messages)*(100+7*5)/1e6/span, 1e-9)
	if r.least < 1 || r.most > c.sessions {
		t.Errorf("%d to %d sessions at hand", r.least, r.most)
	}
	if r.p50 < 135 || r.p99 < r.p50 || r.longest < r.p99 {
		t.Errorf("told after %v, %v, %v: less than a change takes", r.p50, r.p99, r.longest)
	}
}

// TestSameAgain: the same flags print the same; another seed does not.
func TestSameAgain(t *testing.T) {
	c := few()
	c.sessions, c.span = 2000, 20*time.Minute
	said := func(c config) string {
		var b strings.Builder
		run(t, c).print(&b)
		return b.String()
	}
	first := said(c)
	if again := said(c); again != first {
		t.Errorf("%s\nand then\n%s", first, again)
	}
	if c.seed++; said(c) == first {
		t.Error("chance plays no part")
	}
}

// TestBounds: a full table does not grow, and makes a gateway read more; a server that is asked for more than it can do says so.
func TestBounds(t *testing.T) {
	c := few()
	c.renew = 0
	free := run(t, c)
	c.table = 100
	full := run(t, c)
	if full.most > 100 || full.gets <= free.gets {
		t.Errorf("%d at hand, %d reads; without a bound %d", full.most, full.gets, free.gets)
	}
	c.write = 1e6
	if r := run(t, c); r.load <= 1 {
		t.Errorf("a load of %v", r.load)
	}
	if _, err := simulate(config{}); err == nil {
		t.Error("nothing is simulated")
	}
}
