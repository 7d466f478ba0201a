package waf

import (
	"strings"
	"testing"
)

// always makes every request of e one that is checked.
func always(e *Engine) *Engine {
	e.innocence.checks.share = 1
	return e
}

// checked waits for the check that runs, if any, and lets the next one begin at once.
func checked(e *Engine) uint64 {
	c := &e.innocence.checks
	c.running.Wait()
	c.resting.Store(0)
	return c.done.Load()
}

// TestCheckFindsALyingProver, wherever the rules match: it is not asked again.
func TestCheckFindsALyingProver(t *testing.T) {
	for name, x := range map[string]*exchange{
		"head":             clicked(func(x *exchange) { x.target = "/?q=%3Cscript%3Ealert(1)%3C/script%3E" }),
		"body":             clicked(func(x *exchange) { x.carry("application/x-www-form-urlencoded", "q=%3Cscript%3Ealert(1)%3C/script%3E") }),
		"answer":           clicked(func(x *exchange) { x.page = []byte(leak) }),
		"below the score":  clicked(func(x *exchange) { x.host = "192.0.2.1" }),
		"head, no answer ": clicked(func(x *exchange) { x.target, x.status = "/.git/config", 0 }),
	} {
		t.Run(name, func(t *testing.T) {
			e := always(lying(t))
			if i, v := judgeExchange(e, x); v.Given() || !i.trial.stands() {
				t.Fatalf("this prover would not vouch: %+v", v)
			}
			checked(e)
			if on, why := e.Prover(); on || !strings.Contains(why, "rule ") {
				t.Fatalf("the prover is on %v: %q", on, why)
			}
			want := observe(judgeExchange(pairAt(t, 0).reference, x))
			if got := observe(judgeExchange(e, x)); got != want {
				t.Errorf("afterwards\n%v\nwant\n%v", got, want)
			}
		})
	}
}

// TestChecksAgree: an honest prover stays on, and checks are few.
func TestChecksAgree(t *testing.T) {
	e := always(proverEngine(t, Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, ResponseLimit: testLimit}))
	var before uint64
	for _, x := range []*exchange{
		clicked(func(*exchange) {}),
		clicked(func(x *exchange) { x.carry("application/json", `{"name":"Ada"}`) }),
		clicked(func(x *exchange) { x.page = htmlPage(newSeeded(1), 2048) }),
	} {
		judgeExchange(e, x)
		if n := checked(e); n != before+1 {
			t.Errorf("%d checks, want %d", n, before+1)
		}
		before++
	}
	for name, x := range map[string]*exchange{
		"an attack": clicked(func(x *exchange) { x.target = "/?q=%3Cscript%3E" }),
		"a large body": clicked(func(x *exchange) {
			x.carry("application/json", `{"a":"`+strings.Repeat("word ", checkBody/5)+`"}`)
		}),
	} {
		judgeExchange(e, x)
		if n := checked(e); n != before {
			t.Errorf("%s is checked", name)
		}
	}
	if on, why := e.Prover(); !on {
		t.Errorf("the prover is off: %s", why)
	}
}

// TestChecksRest: while one runs or has just run, others are left out.
func TestChecksRest(t *testing.T) {
	e := always(proverEngine(t, Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit}))
	judge(e, get("/"))
	e.innocence.checks.running.Wait()
	judge(e, get("/"))
	e.innocence.checks.running.Wait()
	if n := e.innocence.checks.done.Load(); n != 1 {
		t.Errorf("%d checks without a rest", n)
	}
}
