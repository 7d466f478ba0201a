package waf

import (
	"fmt"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/verdict"
)

// observation is all that an engine says about an exchange and that anybody could notice: the verdict, the log line's
// notes, the debug log's rules. Equal observations are equal strings.
type observation struct {
	verdict string // reason and detail; "" when it was let through
	scores  [2]int // of the request and of the answer
	request string
	answer  string
	clean   bool // neither refused nor noted anything
}

// unscored is the observation without what the rules have counted.
func (o observation) unscored() observation {
	o.scores = [2]int{}
	return o
}

func (o observation) String() string {
	return fmt.Sprintf("verdict %q\n  request score=%d %s\n  answer  score=%d %s", o.verdict, o.scores[0], o.request, o.scores[1], o.answer)
}

// observe reads a closed inspection.
func observe(i *Inspection, v verdict.Verdict) observation {
	o := observation{
		scores:  [2]int{i.found.Score, i.answer.found.Score},
		request: fmt.Sprintf("%s skipped=%q %s", i.outcome, i.skipped, describeFindings(i.found)),
		answer:  fmt.Sprintf("%s unread=%q %s", i.answer.outcome, i.answer.unread, describeFindings(i.answer.found)),
		clean:   !v.Given() && nothing(i.found) && nothing(i.answer.found) && i.outcome == Passed,
	}
	if v.Given() {
		o.verdict = string(v.Reason) + " " + v.Detail
	}
	return o
}

// nothing reports whether the rules have noticed nothing.
func nothing(f Findings) bool {
	return f.Score == 0 && len(f.Rules) == 0 && len(f.Matches) == 0 && len(f.Logged) == 0 && !f.Blocking
}

// describeFindings leaves out what depends on the order of Go's maps: matches are sorted, not counted once the list is
// full, and without length and class where one line stands for several names.
func describeFindings(f Findings) string {
	var where []string
	for _, m := range f.Matches {
		if strings.HasSuffix(m.Target, ":*") {
			m.Length, m.Class = 0, ""
		}
		where = append(where, fmt.Sprintf("%d %s %s/%d", m.Rule, m.Target, m.Class, m.Length))
	}
	slices.Sort(where)
	if len(f.Matches) == maxMatches {
		where = []string{"many"}
	}
	return fmt.Sprintf("blocking=%v message=%q rules=%v logged=%v matches=%q", f.Blocking, f.Message, f.Rules, f.Logged, where)
}

// pair is two engines that must agree.
type pair struct {
	name                 string
	reference, gatehouse *Engine
}

// comparison is what came of asking both.
type comparison struct {
	diff     error // nil: they agree
	clean    bool  // the reference has found nothing
	proven   bool  // the prover vouched for the whole exchange
	unsteady bool  // the reference contradicts itself (chains that read the capture of the last of several matches,
	// decisions/0007); then it is enough that each has said once what the other says
}

func (p pair) compare(x *exchange) (c comparison) {
	i, v := judgeInTime(p.gatehouse, x)
	got := observe(i, v)
	want := observe(judgeInTime(p.reference, x))
	c.proven, c.clean = i.trial.stands() && got.clean, want.clean
	switch {
	case c.proven && !want.clean:
		c.diff = fmt.Errorf("proven clean, but the rules say\n  %v", want)
		return c
	case got == want:
		return c
	}
	var reference, gatehouse []observation
	for range 12 {
		reference = append(reference, observe(judgeInTime(p.reference, x)))
		gatehouse = append(gatehouse, observe(judgeInTime(p.gatehouse, x)))
	}
	if slices.Contains(reference, got) || slices.Contains(gatehouse, want) {
		c.unsteady = true
		return c
	}
	// Where 921180 counts parameters whose names differ in case alone, the rules alone come to sixty scores in a hundred and
	// fifty tries: they are not waited for. What was found, and what came of it, must still be the same.
	if wavers(reference) && wavers(gatehouse) && got.unscored() == want.unscored() {
		c.unsteady = true
		return c
	}
	c.diff = fmt.Errorf("the rules say\n  %v\nand with the prover\n  %v", want, got)
	return c
}

// wavers reports whether one engine has come to several scores, and to nothing else that differs.
func wavers(tries []observation) bool {
	scores := map[[2]int]bool{}
	for _, o := range tries {
		if o.unscored() != tries[0].unscored() {
			return false
		}
		scores[o.scores] = true
	}
	return len(scores) > len(tries)/2
}

// judgeInTime tries again when the time that an exchange has is over, which is the machine's doing: on a busy one it comes to
// different rules each time.
func judgeInTime(e *Engine, x *exchange) (i *Inspection, v verdict.Verdict) {
	for range 5 {
		if i, v = judgeExchange(e, x); i.skipped != "time" && !strings.Contains(v.Detail, "of CPU time") {
			break
		}
	}
	return i, v
}

// shrink makes x smaller as long as the engines still disagree, trying at most patience times.
func (p pair) shrink(x *exchange, patience int) *exchange {
	for {
		smaller := (*exchange)(nil)
		for _, c := range cuts(x) {
			if patience--; patience < 0 {
				return x
			}
			if p.compare(c).diff != nil {
				smaller = c
				break
			}
		}
		if smaller == nil {
			return x
		}
		x = smaller
	}
}

// cuts returns smaller exchanges than x, the greatest cuts first.
func cuts(x *exchange) (all []*exchange) {
	with := func(change func(c *exchange)) {
		c := x.clone()
		change(c)
		all = append(all, c)
	}
	if x.status != 0 {
		with(func(c *exchange) { c.status, c.answer, c.page = 0, nil, nil })
	}
	for n := range x.headers {
		with(func(c *exchange) { c.headers = slices.Delete(c.headers, n, n+1) })
	}
	for n := range x.answer {
		with(func(c *exchange) { c.answer = slices.Delete(c.answer, n, n+1) })
	}
	for _, text := range halves(x.target) {
		with(func(c *exchange) { c.target = text })
	}
	for _, text := range halves(string(x.body)) {
		with(func(c *exchange) {
			c.body = []byte(text)
			if c.header("Content-Length") != "" {
				c.set("Content-Length", fmt.Sprint(len(text)))
			}
		})
	}
	for _, text := range halves(string(x.page)) {
		with(func(c *exchange) { c.page = []byte(text) })
	}
	for n, f := range x.headers {
		for _, text := range halves(f.value) {
			with(func(c *exchange) { c.headers[n].value = text })
		}
	}
	return all
}

// halves returns s without ever smaller parts of it.
func halves(s string) (all []string) {
	for _, parts := range []int{2, 4, 16} {
		if len(s) < 2*parts {
			break
		}
		for n := range parts {
			all = append(all, s[:len(s)*n/parts]+s[len(s)*(n+1)/parts:])
		}
	}
	return all
}
