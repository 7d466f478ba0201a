package rx

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp/syntax"
	"runtime"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/waf/automaton"
	"gatehouse.internal/modules/waf/rx/rxtest"
)

func TestMain(m *testing.M) {
	plugins.RegisterOperator("gatehouseTestFast", NewOperator)
	plugins.RegisterOperator("gatehouseTestStock", NewStock)
	plugins.RegisterOperator("gatehouseTestWrong", newWrong)
	m.Run()
}

// newWrong is an operator with a fault: its automaton is another pattern's.
func newWrong(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	p, err := Compile(o.Arguments)
	if err != nil {
		return nil, err
	}
	other, err := syntax.Parse("(?sm)"+o.Arguments+"z", syntax.Perl)
	if err != nil {
		return nil, err
	}
	p.once.Do(func() { p.fast, err = automaton.New([]*syntax.Regexp{other}, automaton.Options{}) })
	return operator{p}, err
}

// judge is a WAF whose two rules are one operator with and without captures.
type judge struct{ waf coraza.WAF }

func newJudge(op, arg string) (judge, error) {
	rule := `SecRule ARGS_GET:x "@%s %s" "id:%d,phase:1,pass,nolog,%ssetvar:tx.hit%d=1"` + "\n"
	text := fmt.Sprintf("SecRuleEngine On\n"+rule+rule, op, arg, 1, "", 1, op, arg, 2, "capture,", 2)
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(text))
	return judge{waf}, err
}

// verdict returns what the rules left in TX.
func (j judge) verdict(value string) map[string]string {
	tx := j.waf.NewTransaction()
	defer tx.Close()
	tx.AddGetRequestArgument("x", value)
	tx.ProcessRequestHeaders()
	left := map[string]string{}
	for _, m := range tx.(plugintypes.TransactionState).Variables().TX().FindAll() {
		left[m.Key()] = m.Value()
	}
	return left
}

// judges are Coraza's operator and ours.
type judges struct{ coraza, fast, stock judge }

var errNoRule = errors.New("not writable as a rule")

// newJudges makes the judges of an argument. Where Coraza refuses it, so must we.
func newJudges(arg string) (all judges, err error) {
	if strings.ContainsAny(arg, "\n\r\"`") || strings.TrimSpace(arg) != arg || arg == "" || strings.HasSuffix(arg, `\`) {
		return all, errNoRule
	}
	var refused, ours [2]error
	all.coraza, refused[0] = newJudge("rx", arg)
	all.fast, ours[0] = newJudge("gatehouseTestFast", arg)
	all.stock, ours[1] = newJudge("gatehouseTestStock", arg)
	if (refused[0] == nil) != (ours[0] == nil) || (refused[0] == nil) != (ours[1] == nil) {
		return all, fmt.Errorf("coraza says %v, we say %v", refused[0], ours)
	}
	if refused[0] != nil {
		return all, errNoRule
	}
	return all, nil
}

// disagreement says how ours differ from Coraza's operator about a value, or "".
func (all judges) disagreement(value string) string {
	want := all.coraza.verdict(value)
	for name, j := range map[string]judge{"operator": all.fast, "stock": all.stock} {
		if got := j.verdict(value); !maps.Equal(got, want) {
			return fmt.Sprintf("%q: %s leaves %q, coraza %q", value, name, got, want)
		}
	}
	return ""
}

func TestRulesAgainstCoraza(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	compared, matched, binary := 0, 0, 0
	for _, arg := range rxtest.Arguments(t) {
		all, err := newJudges(arg)
		if err == errNoRule {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		p, err := Compile(arg)
		if err != nil {
			t.Fatal(err)
		}
		if p.Binary() {
			binary++
		}
		compared++
		for range 8 {
			value := rxtest.Mutate(rxtest.Sample(p.tree, r), r)
			if d := all.disagreement(value); d != "" {
				t.Fatalf("%s: %s", arg, d)
			}
			want := all.coraza.verdict(value)
			groups := p.Groups(value)
			if p.Match(value, nil) != (want["hit1"] != "") || p.Match(value, &automaton.Budget{}) != (want["hit2"] != "") || (groups == nil) != (want["hit2"] == "") {
				t.Fatalf("%s: %q: the pattern contradicts %q", arg, value, want)
			}
			if groups != nil {
				matched++
			}
			for i, g := range groups {
				if want[fmt.Sprint(i)] != g {
					t.Fatalf("%s: %q: group %d is %q, not %q", arg, value, i, g, want[fmt.Sprint(i)])
				}
			}
		}
	}
	if compared < 200 || matched < compared || binary < 3 {
		t.Errorf("%d patterns, %d of them binary, %d matches: the test has lost its substance", compared, binary, matched)
	}
	t.Logf("%d patterns, %d of them binary, %d matches", compared, binary, matched)
}

func TestOperatorsAgreeWithCoraza(t *testing.T) {
	for _, c := range []struct {
		name, arg string
		values    []string
	}{
		{"dot takes line feeds", `a.b`, []string{"a\nb", "a\xffb", "ab"}},
		{"lines", `^b$`, []string{"a\nb\nc", "ab", "b\r\n", ""}},
		{"nine groups kept of eleven", `(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)(k)`, []string{"abcdefghijk", "xx"}},
		{"absent groups", `(a)|(b)|(c)`, []string{"a", "b", "c", ""}},
		{"bytes", `\xbc[^\xbe>]*[\xbe>]`, []string{"\xbcscript\xbe", "\xbcx>", "¼script¾", "\xbc", ""}},
		{"bytes in braces", `\x{c2}(\x{b4})`, []string{"´", "\xc2", "\xb4", "\xc2\xb4"}},
		{"bytes under folding", `(?i)\xe5k$`, []string{"\xc5K", "\xe5\u212a", "åk", "\xe5k\n"}},
		{"bytes: dot and lines without flags", `^\xff.$`, []string{"\xff\n", "\xffa", "a\n\xffb"}},
		{"escaped backslash before an escape", `\\xff`, []string{`\xff`, "\\\xff", "\xff"}},
		{"escape in the last bytes", `a\xf`, []string{"a"}},
		{"replacement rune", "\ufffd", []string{"\xff", "\ufffd", "x"}},
		{"Kelvin", `(?i)^k$`, []string{"K", "k", "\u212a"}},
		{"empty matches", `a*`, []string{"", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, err := newJudges(c.arg)
			if err != nil && err != errNoRule {
				t.Fatal(err)
			}
			if err == errNoRule {
				if c.name != "escape in the last bytes" {
					t.Fatal(err)
				}
				return
			}
			for _, v := range c.values {
				if d := all.disagreement(v); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

func TestAFaultyAutomatonIsSeen(t *testing.T) {
	all, err := newJudges(`(?i)sel(ect)`)
	if err != nil {
		t.Fatal(err)
	}
	if d := all.disagreement("xSELECT"); d != "" {
		t.Fatal(d)
	}
	if all.fast, err = newJudge("gatehouseTestWrong", `(?i)sel(ect)`); err != nil {
		t.Fatal(err)
	}
	seen := false
	for range 5 { // the first evaluations build, within their budgets, and are decided by the engine
		seen = seen || all.disagreement("xSELECT") != ""
	}
	if !seen {
		t.Error("an operator with another pattern's automaton was not noticed")
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, arg := range []string{`(`, `a{2000}`, `\xff(`, `[z-a]`, `\1`} {
		if p, err := Compile(arg); err == nil {
			t.Errorf("%s compiled to %v", arg, p)
		}
	}
}

func TestSyntax(t *testing.T) {
	p, err := Compile(`a.$`)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Syntax(); got.Op != syntax.OpConcat || got.Sub[1].Op != syntax.OpAnyChar || got.Sub[2].Op != syntax.OpEndLine {
		t.Errorf("%v: Coraza's flags are not in it", got)
	}
	if p, err = Compile(`\xff`); err != nil || p.Syntax() != nil || !p.Binary() {
		t.Errorf("%v, %v: a pattern of bytes must have no syntax for package regexp", p, err)
	}
}

// Who asks for an argument shares a pattern with whoever else uses it, and nothing is kept that nobody uses.
func TestPatternsAreShared(t *testing.T) {
	arg := `shared (?:pattern)+`
	held := func() bool {
		known.mu.Lock()
		defer known.mu.Unlock()
		_, ok := known.of[arg]
		return ok
	}
	func() {
		o := plugintypes.OperatorOptions{Arguments: arg}
		fast, err1 := NewOperator(o)
		stocked, err2 := NewStock(o)
		if err1 != nil || err2 != nil || fast.(operator).Pattern != stocked.(stock).Pattern || !held() {
			t.Fatalf("%v %v: two operators of one argument have two patterns", err1, err2)
		}
		if fast.(operator).fast == nil {
			t.Error("the automaton is left to a request to make")
		}
		runtime.KeepAlive(fast)
		runtime.KeepAlive(stocked)
	}()
	for n := 0; held(); n++ {
		if runtime.GC(); n == 1000 {
			t.Fatal("the pattern is kept though nobody uses it")
		}
		runtime.Gosched()
	}
	if _, err := NewStock(plugintypes.OperatorOptions{Arguments: "("}); err == nil {
		t.Error("a broken argument was accepted")
	}
}

// All evaluations in one transaction together build no more than it was lent, and answer as before.
func TestLentBudget(t *testing.T) {
	tx, all := transaction(t), patterns(t)
	var b automaton.Budget
	end := Lend(tx, &b)
	defer end()
	states := func() (n int) {
		for _, p := range all {
			n += p.fast.States()
		}
		return n
	}
	held := states()
	for name, value := range hostile() {
		for _, left := range []int{0, 50, 300} {
			b.States = left
			before := states()
			for _, p := range all {
				if got, want := (operator{p}).Evaluate(tx, value), (stock{p}).Evaluate(tx, value); got != want {
					t.Errorf("%s, %s: %v, want %v", name, p, got, want)
				}
			}
			if built := states() - before; built > left {
				t.Errorf("%s: %d states built of %d", name, built, left)
			}
		}
	}
	if states() == held {
		t.Error("nothing was built at all")
	}
	end()
	if (operator{all[0]}).learn(tx, "nothing was lent"); b.Each == freeStates {
		t.Error("what was lent is used after its end")
	}
}

func FuzzOperator(f *testing.F) {
	f.Add(`(?i)(a)|b(c)?$`, "xA\nbC")
	f.Add(`\xbc[^>\xbe]*([\xbe>])`, "\xbcx\xbe")
	f.Add(`\x{e9}\b(k+)`, "ék\u212a")
	f.Fuzz(func(t *testing.T, arg, value string) {
		if len(arg) > 100 || len(value) > 500 {
			t.Skip()
		}
		all, err := newJudges(arg)
		if err == errNoRule {
			t.Skip()
		} else if err != nil {
			t.Fatalf("%q: %v", arg, err)
		}
		values := []string{value}
		if p, err := Compile(arg); err == nil {
			r := rand.New(rand.NewPCG(uint64(len(arg)), uint64(len(value))))
			values = append(values, rxtest.Sample(p.tree, r), rxtest.Mutate(rxtest.Sample(p.tree, r), r))
		}
		for _, v := range values {
			// Often, so that the automaton comes to answer: its first evaluations build, and the engine answers.
			for range 4 {
				if d := all.disagreement(v); d != "" {
					t.Fatalf("%q: %s", arg, d)
				}
			}
		}
	})
}
