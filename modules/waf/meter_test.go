package waf

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

// fastClock makes each look at the thread's clock ten times as late as may be.
func fastClock(t *testing.T) {
	before, now := threadTime, atomic.Int64{}
	threadTime = func() time.Duration { return time.Duration(now.Add(int64(10 * cpuLimit))) }
	t.Cleanup(func() { threadTime = before })
}

// TestTimeIsBounded: an expensive request that takes too long to judge is refused with 503, or 403 if its score says so
// by then; in detect mode, and under insecure_waf_fail_open, it passes, and is noted.
func TestTimeIsBounded(t *testing.T) {
	if raced {
		t.Skip("no time is measured under the race detector")
	}
	// Behind CRS, where phase 1 refuses nothing more: what scores there counts when the body is judged.
	files := RuleFiles{"after/a.conf": `SecRule ARGS_GET:a "@streq marked" "id:10000,phase:1,pass,log,msg:'an attack',setvar:tx.inbound_anomaly_score_pl1=+5"
SecRule ARGS "@rx dubious" "id:10001,phase:2,pass,log,msg:'the rules must read all of it'"`}
	engine := func(mode Mode) *Engine {
		e, err := New(Config{Paranoia: 1, Mode: mode, BodyLimit: testLimit, Rules: files}, NewBudget(DefaultBudget))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	block, detect := engine(Block), engine(Detect)
	answers := engineOf(t, Config{ResponseLimit: DefaultResponseLimit, Rules: RuleFiles{
		"before/a.conf": `SecRule RESPONSE_BODY "@contains leak" "id:10000,phase:4,pass,log,msg:'a leak',setvar:tx.outbound_anomaly_score_pl1=+4"
SecRule RESPONSE_BODY "@rx dubious" "id:10001,phase:4,pass,log,msg:'the rules must read all of it'"`}})
	for _, e := range []*Engine{block, detect, answers} {
		if on, why := e.Prover(); !on {
			t.Fatal(why)
		}
	}
	long := strings.Repeat("some words ", cheap/10)
	slow := func() *http.Request { return form("q", long, "p", "dubious") }
	attack := func() *http.Request {
		return body("POST", "/save?a=marked", "application/x-www-form-urlencoded", "p=dubious&q="+url.QueryEscape(long))
	}
	fastClock(t)
	tests := []struct {
		name    string
		e       *Engine
		r       *http.Request
		open    bool
		want    verdict.Reason
		outcome Outcome
		skipped string
		rules   bool
	}{
		{"what took too long", block, slow(), false, verdict.WAFFailed, Failed, "", false},
		{"an attack that took too long", block, attack(), false, verdict.WAFBlocked, Refused, "", true},
		{"a site that fails open", block, slow(), true, "", Failed, "time", false},
		{"an attack there", block, attack(), true, verdict.WAFBlocked, Refused, "", true},
		{"detect mode", detect, slow(), false, "", Failed, "time", false},
		{"an attack there", detect, attack(), false, "", Detected, "time", true},
		{"what is short", block, form("p", "dubious"), false, "", Passed, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := tt.e.Inspect("req-1")
			defer i.Close()
			i.failOpen = tt.open
			v := i.Head(tt.r, testClient)
			if !v.Given() {
				v = i.Body(tt.r)
			}
			if v.Reason != tt.want || i.outcome != tt.outcome || i.skipped != tt.skipped {
				t.Errorf("%+v, outcome %q, skipped %q; want %q %q %q", v, i.outcome, i.skipped, tt.want, tt.outcome, tt.skipped)
			}
			if got := slices.Contains(i.found.Rules, 10000) && i.found.Score >= 5 && len(i.found.Matches) > 0; got != tt.rules {
				t.Errorf("score %d, rules %v, matches %v", i.found.Score, i.found.Rules, i.found.Matches)
			}
			metered.meters.Range(func(any, any) bool { t.Error("a meter is left"); return false })
			if n := metered.count.Load(); n != 0 {
				t.Errorf("%d meters run", n)
			}
		})
	}
	t.Run("an answer", func(t *testing.T) {
		for text, want := range map[string]verdict.Reason{"dubious": "", "dubious leak": verdict.ResponseBlocked} {
			i := answers.Inspect("req-1")
			defer i.Close()
			r := get("/")
			if v := i.Head(r, testClient); v.Given() {
				t.Fatalf("%+v", v)
			}
			hold, v := i.ResponseHead(r, http.StatusOK, http.Header{"Content-Type": {"text/html"}})
			if !hold || v.Given() {
				t.Fatalf("%v %+v", hold, v)
			}
			v = i.ResponseBody(t.Context(), []byte(text+strings.Repeat(" words of a page", expensiveAnswer/10)), true)
			if v.Reason != want || i.answer.unread != unreadTime || want != "" != i.answer.found.Blocking {
				t.Errorf("%s: %+v, unread %q, found %+v; want %q", text, v, i.answer.unread, i.answer.found, want)
			}
		}
	})
	t.Run("a larger inspect_limit allows more", func(t *testing.T) {
		if got := (Config{InspectLimit: 4 * DefaultInspectLimit}).timeLimit(); got != 4*cpuLimit {
			t.Error(got)
		}
		if got := (Config{InspectLimit: cheap}).timeLimit(); got != cpuLimit {
			t.Error(got)
		}
	})
	t.Run("without a prover, the length is the limit", func(t *testing.T) {
		e := engineOf(t, Config{Prover: Off})
		i := e.Inspect("req-1")
		defer i.Close()
		i.measure()
		if i.meter.limit != 0 {
			t.Error(i.meter.limit)
		}
	})
}
