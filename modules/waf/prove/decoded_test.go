package prove

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	"gatehouse.internal/modules/waf/literal"
	"gatehouse.internal/modules/waf/rx"
	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"
)

// decoding is a chain in which a transformation follows the decoding that changes which symbols there are.
const decoding = `
SecRule ARGS "@rx \A[A-Za-z0-9+/]{4,}={0,2}\z" "id:1007,phase:2,deny,chain"
    SecRule MATCHED_VARS "@rx \A[a-z]{2,6} [a-z]{2,6}\z" "t:none,t:base64DecodeExt,t:urlDecodeUni"`

// encoded makes values that rules may decode: what patterns match, near to it and far from it, in base64 that begins in the
// middle of a group, is cut short, or broken by space; or words, which decode to noise.
func encoded(r *rand.Rand, patterns []*syntax.Regexp) string {
	if r.IntN(4) == 0 {
		return sentence(r, 1+r.IntN(120))
	}
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteByte(byte(r.IntN(256)))
	}
	sample(r, patterns[r.IntN(len(patterns))], &b, 0)
	for range r.IntN(4) {
		b.WriteByte(byte(r.IntN(256)))
	}
	s := b.String()
	if r.IntN(8) == 0 {
		s = strings.ReplaceAll(strings.Trim(s, "\xff\x00"), " ", "+")
	}
	if r.IntN(4) == 0 { // what later transformations join, or take for something else
		at := r.IntN(len(s) + 1)
		s = s[:at] + []string{" ", "+", "\x00", "\xff", "\u00a0", "%61", `\x61`, "ſ", "\xc5\x00\xbf", "K", "/**/", "\t",
			"\\", "%", "*", "\xc5\\\xbf", `\z`, `\n`}[r.IntN(18)] + s[at:]
	}
	s = base64.StdEncoding.EncodeToString([]byte(s))
	if r.IntN(3) > 0 {
		s = strings.TrimRight(s, "=")
	}
	for range r.IntN(3) {
		at := r.IntN(len(s) + 1)
		s = s[:at] + []string{" ", "\n", "\t", "a", "-", "=", "\v", "é", "."}[r.IntN(9)] + s[at:]
	}
	return s
}

// misjudged compares what is dismissed as noise with plain evaluation. It counts what was dismissed and what was found.
func (p *Prover) misjudged(r *rand.Rand, tries int) (dismissed, matched int, err error) {
	pf := p.Begin(nil)
	defer pf.End()
	stock := map[string]*rx.Pattern{}
	matches := func(pattern *rx.Pattern, s string) bool { // by package regexp alone
		if stock[pattern.String()] == nil {
			stock[pattern.String()], _ = rx.Compile(pattern.String())
		}
		return stock[pattern.String()].Groups(s) != nil
	}
	for _, one := range p.rules {
		patterns := []*syntax.Regexp{}
		links := slices.DeleteFunc(slices.Clone(one.links), func(l *link) bool { return l.ways == nil })
		for _, l := range links {
			patterns = append(patterns, l.op.pattern.Syntax())
		}
		quiet := one.multi && one.op.pattern != nil && base64In(one.chain.Names()).quiet && one.piece >= 0
		if quiet {
			patterns = append(patterns, one.op.pattern.Syntax())
		}
		if len(patterns) == 0 {
			continue
		}
		var w walker
		p.groupsOf(one, func(g *group) { w = g.walker })
		in := p.plans.searchOf(one)
		for range tries {
			v := encoded(r, patterns)
			pf.base.set(v, symbol.Of(v), in)
			pf.noise.done = false
			for _, l := range links {
				is, no := matches(l.op.pattern, l.chain.Apply(v)), pf.dismisses(l, v, one)
				if is && no {
					return dismissed, matched, fmt.Errorf("a link of rule %d matches what %q decodes to", one.id, v)
				}
				dismissed, matched = dismissed+count(no), matched+count(is)
			}
			if !quiet {
				continue
			}
			is := slices.ContainsFunc(one.chain.Stages(v, nil)[1:], func(s string) bool { return matches(one.op.pattern, s) })
			no := pf.onlyNoise(&w, []*rule{one}, in)
			if is && no {
				return dismissed, matched, fmt.Errorf("rule %d matches a stage of %q", one.id, v)
			}
			dismissed, matched = dismissed+count(no), matched+count(is)
		}
	}
	if dismissed < tries/4 || matched < tries/4 {
		err = errors.New("nothing is compared")
	}
	return dismissed, matched, err
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// TestNoiseIsDismissed: what is dismissed matches nothing.
func TestNoiseIsDismissed(t *testing.T) {
	t.Parallel()
	e := build(t, 2, selecting+decoding)
	dismissed, matched, err := e.prover(t, unbounded).misjudged(rand.New(rand.NewPCG(21, 1)), soak(4000))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d dismissed, %d matched", dismissed, matched)
}

// TestDecodingsAgree: of clean text each way to decode writes a beginning of what base64DecodeExt writes.
func TestDecodingsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(22, 1))
	const letters = "abcxyzABCXYZ0189+/ \t\r\n"
	strict, err := transform.NewChain([]string{"base64decode"})
	if err != nil {
		t.Fatal(err)
	}
	for range soak(20000) {
		b := make([]byte, r.IntN(30))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		v := string(b)
		if !clean64.Holds(symbol.Of(v)) {
			t.Fatalf("%q is not clean", v)
		}
		all := lenient64.Apply(v)
		for _, skip := range []bool{false, true} {
			if got := string(transform.AppendBase64(nil, v, skip)); !strings.HasPrefix(all, got) || skip && got != all {
				t.Fatalf("%q: %q is no beginning of %q", v, got, all)
			}
		}
		if got := strict.Apply(v); !strings.HasPrefix(all, got) {
			t.Fatalf("%q: %q is no beginning of %q", v, got, all)
		}
	}
}

// TestKeptBytesStay: without what spoils them, transformations in a row leave the kept bytes as they are.
func TestKeptBytesStay(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 1))
	kept := func(s string) string {
		return string(slices.DeleteFunc([]byte(s), func(c byte) bool { return !isKept[c] }))
	}
	const bytes = "%\\*/+ \x00\t\n\v\u00a0\u2003\xc5\xbf\xe2\x84\xaa\xffux061abcZ&#;'\"{}ntU8g"
	all := slices.Sorted(maps.Keys(spoiledBy))
	stayed := 0
	for range soak(100000) {
		var names []string
		for range 1 + r.IntN(4) {
			names = append(names, all[r.IntN(len(all))])
		}
		c, err := transform.NewChain(names)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, r.IntN(16))
		few := 1 + r.IntN(len(bytes))
		for i := range b {
			b[i] = bytes[r.IntN(few)]
			if few < 12 {
				b[i] = bytes[(few*7+r.IntN(6))%len(bytes)]
			}
		}
		v := string(b)
		n := noise{raw: b, symbols: symbol.Of(v)}
		n.kept.s = kept(v)
		by, _ := spoilsOf(names)
		if n.spoilt(by) {
			continue
		}
		stayed++
		for _, out := range append(c.Stages(v, nil), c.Apply(v)) {
			if kept(out) != kept(v) {
				t.Fatalf("%s of %q is %q", names, v, out)
			}
			if literal.Odd(out) && !literal.Odd(v) && !joins(v) {
				t.Fatalf("%s of %q is odd: %q", names, v, out)
			}
		}
	}
	if stayed < soak(20000) {
		t.Errorf("only %d stayed", stayed)
	}
}

// TestShapes: what the shape of a pattern tells is so.
func TestShapes(t *testing.T) {
	r := rand.New(rand.NewPCG(24, 1))
	patterns := []string{`\A[A-Za-z0-9+/_\s-]{10,20}={0,2}\z`, `\A[\t\n\r\x20-\x7e]{8,}\z`, `\A[a-y]{1,9}\z`, `\A(?:ab|[0-9])+x?\z`, `\A[^a]{2,5}\z`,
		`^[a-z]{1,9}$`, `\A[a-z]{2,4}b*(?:cd)?\z`, `\A[a-z]{2,4}b+\z`, `(?i)\Ask\z`, `\A[a-zſ]{1,4}\z`, `\A.{2,4}\z`, `\A\b[a-z ]{1,5}\z`, `\A[a-z]{0,3}\z`}
	told := 0
	for _, text := range patterns {
		p, err := rx.Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		var o operator
		o.regexp(p)
		for range soak(4000) {
			b := make([]byte, r.IntN(24))
			few := 1 + r.IntN(23)
			for i := range b {
				b[i] = []byte("abcdxyzskABZ0189=-_ \n\xff\x7f\x05")[r.IntN(few)]
			}
			v := string(b)
			if r.IntN(4) == 0 {
				var w strings.Builder
				sample(r, p.Syntax(), &w, 0)
				v = w.String()
			}
			is, m := p.Groups(v) != nil, symbol.Of(v)
			if is && !o.fits(m) || !is && o.sure.matches(m, len(v)) {
				t.Fatalf("%s of %q: %v, fits %v, sure %v", text, v, is, o.fits(m), o.sure.matches(m, len(v)))
			}
			told += count(!o.fits(m)) + count(o.sure.matches(m, len(v)))
		}
	}
	if told < soak(4000) {
		t.Errorf("only %d told", told)
	}
}
