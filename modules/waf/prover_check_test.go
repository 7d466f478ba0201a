package waf

import (
	"strings"
	"sync"
	"testing"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/prove"
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

// seesIDs is an operator that notes which transactions ask it, and never matches.
type seesIDs struct{}

var seenIDs sync.Map

func (seesIDs) Evaluate(tx plugintypes.TransactionState, _ string) bool {
	seenIDs.Store(tx.ID(), true)
	return false
}

func init() {
	plugins.RegisterOperator("testSeesIDs", func(plugintypes.OperatorOptions) (plugintypes.Operator, error) { return seesIDs{}, nil })
}

// fixed is an operator that always says the same.
type fixed bool

func (f fixed) Evaluate(plugintypes.TransactionState, string) bool { return bool(f) }

// TestChecksUseStockRx: a check's transaction is marked, and in a marked one @rx is Coraza's own.
func TestChecksUseStockRx(t *testing.T) {
	e := always(proverEngine(t, Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, Rules: RuleFiles{
		"before/x.conf": `SecRule REQUEST_METHOD "@testSeesIDs" "id:10001,phase:1,pass,nolog"`}}))
	i := e.Inspect("someone")
	i.Head(get("/"), testClient)
	i.Close()
	checked(e)
	if _, ok := seenIDs.Load(checkMark + "someone"); !ok {
		t.Fatal("the check's transaction is not marked")
	}
	tx := e.waf.NewTransactionWithID(checkMark + "x").(plugintypes.TransactionState)
	if (checkable{fast: fixed(false), stock: fixed(true)}).Evaluate(tx, "") != true {
		t.Error("a check asks the fast operator")
	}
	tx = e.waf.NewTransactionWithID("x").(plugintypes.TransactionState)
	if (checkable{fast: fixed(false), stock: fixed(true)}).Evaluate(tx, "") != false {
		t.Error("a request asks the slow operator")
	}
	op, err := newRx(plugintypes.OperatorOptions{Arguments: "a+b", Root: sources{fast: true}})
	if c, ok := op.(checkable); err != nil || !ok || c.fast == c.stock || !c.fast.Evaluate(tx, "xaab") || !c.stock.Evaluate(tx, "xaab") {
		t.Errorf("the judge's @rx is %T, %v", op, err)
	}
}

// TestLaterPhasesCatchEarlierMistakes: when a doubt has the rules judge after all, what they find in phases that were
// proven is a mistake too, on the request's own path.
func TestLaterPhasesCatchEarlierMistakes(t *testing.T) {
	for _, mode := range []Mode{Block, Detect} {
		cfg := Config{Paranoia: 1, Mode: mode, BodyLimit: testLimit, ResponseLimit: testLimit}
		e := proverEngine(t, cfg)
		all, err := prove.New(&obligation.Set{Unprovable: map[int][]string{2: {"so that it doubts"}}}, sources{}, prove.Options{})
		if err != nil {
			t.Fatal(err)
		}
		e.innocence.prover = all
		var who told
		i := e.Inspect("REQUEST")
		i.teller = &who
		r := form("q", "hello")
		r.Header.Set("Referer", "() { :; }; /bin/bash -c id")
		if v := i.Head(r, testClient); v.Given() {
			t.Fatalf("%s: this prover would not vouch: %+v", mode, v)
		}
		v := i.Body(r)
		i.Close()
		if v.Given() != (mode == Block) || len(i.found.Rules) == 0 {
			t.Errorf("%s: %+v, rules %v", mode, v, i.found.Rules)
		}
		if on, _ := e.Prover(); on || len(who.mistakes) != 1 || len(who.mistakes[0].Rules) == 0 {
			t.Errorf("%s: the prover is on %v, %d mistakes", mode, on, len(who.mistakes))
		}
		if e.proverState() != proverWrong {
			t.Errorf("%s: its state is %s", mode, e.proverState())
		}
	}
}

func TestLabelsAreFew(t *testing.T) {
	l := labels{limit: 2}
	for _, tt := range []struct {
		rule int
		want string
	}{{942100, "942100"}, {byParser, "parser"}, {0, "bounds"}, {1, "1"}, {2, "other"}, {942100, "942100"}, {3, "other"}} {
		if got := l.of(tt.rule); got != tt.want {
			t.Errorf("rule %d is %q, want %q", tt.rule, got, tt.want)
		}
	}
}

// TestProverEngines: the metric has each state, and counts the engines of sites.
func TestProverEngines(t *testing.T) {
	count := func() map[string]float64 {
		reg, states := prometheus.NewRegistry(), map[string]float64{}
		reg.MustRegister(proverEngines{})
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range families[0].GetMetric() {
			states[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
		return states
	}
	before := count()
	provision(t, &Handler{Prover: Off, BodyLimit: 54321})
	h := provision(t, &Handler{BodyLimit: 54321, Routes: []Route{{Path: pattern("/a/*"), Prover: Off}}})
	p := h.live.plan.Load()
	if p.strict.proverState() != proverOff || p.routes[0].engine.proverState() != proverOff || p.site.proverState() != proverOn {
		t.Error("the word of a route is not what counts there, and where two readings differ")
	}
	p.site.innocence.distrust(fault{why: "a test says so"})
	after := count()
	for state, more := range map[string]float64{proverOn: 0, proverOff: 1, proverNone: 0, proverWrong: 1} {
		if got, ok := after[state]; !ok || got-before[state] != more {
			t.Errorf("%s: %v more, want %v", state, got-before[state], more)
		}
	}
}
