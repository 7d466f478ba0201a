package waf

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	soakExchanges = flag.Uint64("exchanges", 0, "how many mutated exchanges the prover's tests compare, and all of the corpus at every paranoia level (0: a sample)")
	soakSeed      = flag.Uint64("seed", 1, "where mutations begin (0: anywhere; the test says where)")
)

// settings are the engines that agreement is shown for: each level once in block mode and once in detect mode, where
// judging goes on after a match; answers are judged. The corpus's own settings make rules decide that sleep otherwise.
var settings = []struct {
	name string
	cfg  Config
	crs  bool // with the corpus's settings
}{
	{"block 1", Config{Paranoia: 1, Mode: Block}, false},
	{"detect 2", Config{Paranoia: 2, Mode: Detect}, true},
	{"block 3", Config{Paranoia: 3, Mode: Block}, true},
	{"detect 4", Config{Paranoia: 4, Mode: Detect}, false},
	{"detect 1", Config{Paranoia: 1, Mode: Detect}, true},
	{"block 2", Config{Paranoia: 2, Mode: Block}, false},
}

// sampled is how many of the settings are tried without a soak.
const sampled = 4

// pairAt returns the engines of the nth settings; compiling takes seconds, so that tests share them.
func pairAt(t testing.TB, n int) pair {
	t.Helper()
	pairs.Lock()
	defer pairs.Unlock()
	s := settings[n]
	if pairs.made[n].reference == nil {
		cfg := s.cfg
		cfg.BodyLimit, cfg.ResponseLimit = testLimit, testLimit
		if s.crs {
			files, err := ReadRules(os.DirFS("../../testenv/crs"))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Rules = files
		}
		pairs.made[n] = pair{s.name, stockEngine(t, cfg), proverEngine(t, cfg)}
	}
	return pairs.made[n]
}

var pairs struct {
	sync.Mutex
	made [16]pair // guarded by the mutex
}

// stockEngine compiles the reference: CRS for every exchange.
func stockEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	cfg.Prover = Off
	return compileEngine(t, cfg)
}

// proverEngine compiles the engine under test.
func proverEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	e := compileEngine(t, cfg)
	if on, why := e.Prover(); !on {
		t.Fatalf("no prover: %s", why)
	}
	return e
}

func compileEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	e, err := New(cfg, NewBudget(DefaultBudget))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// agreement counts what a comparison has seen.
type agreement struct{ judged, clean, proven, unsteady, wrong atomic.Uint64 }

func (a *agreement) count(c comparison) {
	a.judged.Add(1)
	for n, is := range map[*atomic.Uint64]bool{&a.clean: c.clean, &a.proven: c.proven, &a.unsteady: c.unsteady, &a.wrong: c.diff != nil} {
		if is {
			n.Add(1)
		}
	}
}

// maxWrong is after how many disagreements a comparison stops.
const maxWrong = 5

// agree compares p's engines on the exchanges that next returns for 0 to n-1, on all processors, and reports each
// disagreement in the smallest form that it finds.
func (p pair) agree(t *testing.T, n uint64, next func(uint64) *exchange) *agreement {
	t.Helper()
	var a agreement
	var at atomic.Uint64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for k := at.Add(1) - 1; k < n && a.wrong.Load() < maxWrong; k = at.Add(1) - 1 {
				x := next(k)
				c := p.compare(x)
				a.count(c)
				if c.diff == nil {
					continue
				}
				small := p.shrink(x, 300)
				if again := p.compare(small); again.diff != nil {
					c = again
				}
				t.Errorf("%s: %v\n%v", p.name, c.diff, small)
			}
		})
	}
	all.Wait()
	t.Logf("%s: %d exchanges, of which %d are clean, %d proven so; on %d the rules contradict themselves", p.name,
		a.judged.Load(), a.clean.Load(), a.proven.Load(), a.unsteady.Load())
	if a.unsteady.Load()*200 > a.judged.Load()+2000 {
		t.Errorf("%s: the rules contradict themselves too often for this to mean anything", p.name)
	}
	return &a
}

// every reports which settings a test runs through, and how much it leaves out.
func every() (n int, step uint64) {
	switch {
	case *soakExchanges > 0:
		return len(settings), 1
	case raced:
		return 2, 80
	case testing.Short():
		return 2, 32
	}
	return sampled, 2
}

// TestProverAgreesOnCorpus: CRS's own tests, and their answers behind innocent requests.
func TestProverAgreesOnCorpus(t *testing.T) {
	corpus := corpusExchanges(t)
	for _, x := range corpus[:len(corpus):len(corpus)] {
		if strings.HasPrefix(x.target, "/reflect") {
			c := stream("get", 1, 1)[0]
			c.name, c.status, c.answer, c.page, c.whole = x.name+" answered", x.status, x.answer, x.page, true
			corpus = append(corpus, c)
		}
	}
	levels, step := every()
	for n := range levels {
		t.Run(settings[n].name, func(t *testing.T) {
			step, from := step, uint64(n)%step // each level samples others
			if n == 0 && !raced && !testing.Short() {
				step, from = 1, 0
			}
			pairAt(t, n).agree(t, (uint64(len(corpus))-from+step-1)/step, func(k uint64) *exchange { return corpus[from+k*step] })
		})
	}
}

// TestProverAgreesOnMutations: the nth exchange of a seed goes to one of the settings.
func TestProverAgreesOnMutations(t *testing.T) {
	m := newMutator(corpusExchanges(t))
	levels, step := every()
	total, seed := *soakExchanges, *soakSeed
	if total == 0 {
		total = 12_000 / step
	}
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("%d exchanges of seed %d", total, seed)
	for n := range levels {
		t.Run(settings[n].name, func(t *testing.T) {
			pairAt(t, n).agree(t, total/uint64(levels), func(k uint64) *exchange {
				return m.exchange(seed, k*uint64(levels)+uint64(n))
			})
		})
	}
}

// TestScoresThatNobodyRepeats: exchanges for which the rules alone come to another score each time are no disagreement.
func TestScoresThatNobodyRepeats(t *testing.T) {
	if raced || testing.Short() {
		t.Skip("compiles rules for paranoia level 4")
	}
	m, p := newMutator(corpusExchanges(t)), pairAt(t, 3)
	for _, n := range []uint64{235797, 496725} {
		if c := p.compare(m.exchange(1, n)); c.diff != nil {
			t.Errorf("mutation %d: %v", n, c.diff)
		}
	}
}

// TestProverAgreesOnStreams: benign traffic, which is what the prover is for.
func TestProverAgreesOnStreams(t *testing.T) {
	levels, step := every()
	for n := range levels {
		t.Run(settings[n].name, func(t *testing.T) {
			var all []*exchange
			for _, kind := range streamKinds {
				count := 24 / step
				if strings.Contains(kind, "64k") {
					count = 1
				}
				all = append(all, stream(kind, int(max(count, 1)), 7)...)
			}
			pairAt(t, n).agree(t, uint64(len(all)), func(k uint64) *exchange { return all[k] })
		})
	}
}

// TestMutatorRepeatsItself: a seed and a number are enough to have an exchange again.
func TestMutatorRepeatsItself(t *testing.T) {
	m := newMutator(corpusExchanges(t))
	seen := map[string]bool{}
	n := 4000
	if raced {
		n = 800
	}
	for k := range uint64(n) {
		a, b := fmt.Sprint(m.exchange(3, k)), fmt.Sprint(m.exchange(3, k))
		if a != b {
			t.Fatalf("%s\nand then\n%s", a, b)
		}
		_, text, _ := strings.Cut(a, "\n")
		seen[text] = true
	}
	if len(seen) < n*98/100 {
		t.Errorf("only %d of %d exchanges differ", len(seen), n)
	}
}

// TestComparisonNotices keeps the tests above honest: an engine that lacks one rule, or whose prover lies, is told apart,
// and the exchange that shows it is small.
func TestComparisonNotices(t *testing.T) {
	base := Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit, ResponseLimit: testLimit}
	reference := stockEngine(t, base)
	tests := []struct {
		name, rule, near string                           // near: the corpus's tests to begin with, for the rest takes minutes
		both             string                           // rules that the reference has too
		spoil            func(t *testing.T, p *innocence) // what is wrong with the prover
	}{
		{name: "a prover that vouches for everything"},
		{name: "a request rule is gone", rule: "SecRuleRemoveById 942100", near: "942100"},
		{name: "a response rule is gone", rule: "SecRuleRemoveById 951230", near: "951230"},
		{name: "a target is gone", rule: `SecRuleUpdateTargetById 932160 "!REQUEST_COOKIES"`, near: "932160"},
		{name: "a rule is logged that was not", rule: `SecRule REQUEST_METHOD "@streq PATCH" "id:5000001,phase:2,pass,log,msg:'x'"`, near: "911100"},
		{name: "headers' names in lower case, which a rule can tell", both: `SecRule REQUEST_HEADERS_NAMES "@rx ^Ho" "id:5000002,phase:1,deny"`,
			spoil: func(t *testing.T, p *innocence) {
				if p.folds {
					t.Error("they are so already")
				}
				p.folds = true
			}},
		{name: "parsing without rules, which a rule can tell", both: `SecRule REQUEST_METHOD "@streq GET" "id:5000003,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
				SecRule REQBODY_PROCESSOR "@streq XML" "id:5000004,phase:2,deny"`,
			spoil: func(t *testing.T, p *innocence) {
				if p.ofBodies {
					t.Error("they are left out already")
				}
				p.ofBodies = true
			}},
	}
	m := newMutator(corpusExchanges(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, p := base, pair{name: tt.name, reference: reference}
			if tt.both != "" {
				cfg.Rules = RuleFiles{"after/x.conf": tt.both}
				p.reference = stockEngine(t, cfg)
			} else if tt.rule != "" {
				cfg.Rules = RuleFiles{"after/x.conf": tt.rule}
			}
			p.gatehouse = compileEngine(t, cfg)
			switch {
			case tt.spoil != nil:
				tt.spoil(t, p.gatehouse.innocence)
			case tt.rule == "":
				p.gatehouse = lying(t)
			}
			// Or a check would find it out, as it should in production, and the prover not be asked again.
			p.gatehouse.innocence.checks.busy.Store(true)
			found := func() *exchange {
				corpus := corpusExchanges(t)
				near := func(x *exchange) bool { return strings.HasPrefix(x.name, tt.near) }
				corpus = slices.Concat(slices.DeleteFunc(slices.Clone(corpus), func(x *exchange) bool { return !near(x) }), corpus)
				for k := range 6000 {
					x := m.exchange(1, uint64(k))
					if k < len(corpus) {
						x = corpus[k]
					}
					if p.compare(x).diff != nil {
						return x
					}
				}
				return nil
			}()
			if found == nil {
				t.Fatal("nobody noticed")
			}
			small := p.shrink(found, 60)
			t.Logf("%d bytes, shrunk from %d:\n%v", len(small.String()), len(found.String()), small)
			if p.compare(small).diff == nil {
				t.Error("the small form does not show it")
			}
		})
	}
}
