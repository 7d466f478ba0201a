package prove

import (
	"flag"
	"math/rand/v2"
	"os"
	"regexp/syntax"
	"strconv"
	"strings"
)

var soaking = flag.Int("soak", 1, "multiply the work of the brute-force tests")

// soak is how often a test that would repeat itself n times does so: more often in long runs (-soak=20, or PROVE_SOAK=20 in
// the environment), less often under the race detector.
func soak(n int) int {
	factor := *soaking
	if s, err := strconv.Atoi(os.Getenv("PROVE_SOAK")); err == nil && s > 0 {
		factor = s
	}
	if raced && factor == 1 {
		return n/16 + 1
	}
	return n * factor
}

// sample writes a text that a pattern matches or nearly does.
func sample(r *rand.Rand, re *syntax.Regexp, b *strings.Builder, depth int) {
	if depth > 60 || b.Len() > 600 {
		return
	}
	times := func(lo, hi int) {
		if hi < 0 || hi > lo+6 {
			hi = lo + 6
		}
		for range min(40, lo+r.IntN(hi-lo+1)) {
			sample(r, re.Sub[0], b, depth+1)
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 && r.IntN(2) == 0 && 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80 {
				c ^= 0x20
			}
			b.WriteRune(c)
		}
	case syntax.OpCharClass:
		if len(re.Rune) == 0 {
			return
		}
		i := r.IntN(len(re.Rune)/2) * 2
		lo, hi := re.Rune[i], min(re.Rune[i+1], re.Rune[i]+200)
		b.WriteRune(lo + rune(r.IntN(int(hi-lo+1))))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte(byte(32 + r.IntN(95)))
	case syntax.OpCapture:
		sample(r, re.Sub[0], b, depth+1)
	case syntax.OpStar:
		times(0, 2)
	case syntax.OpPlus:
		times(1, 3)
	case syntax.OpQuest:
		times(0, 1)
	case syntax.OpRepeat:
		times(re.Min, re.Max)
	case syntax.OpConcat:
		for _, s := range re.Sub {
			if r.IntN(60) == 0 {
				continue // nearly
			}
			sample(r, s, b, depth+1)
		}
	case syntax.OpAlternate:
		sample(r, re.Sub[r.IntN(len(re.Sub))], b, depth+1)
	}
}

// values makes texts that have to do with the rules.
type values struct {
	r     *rand.Rand
	rules []*rule
}

func (g *values) next() string {
	r := g.r
	switch r.IntN(10) {
	case 0:
		b := make([]byte, r.IntN(60))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return string(b)
	case 1:
		return anyValue(r)
	case 2:
		return sentence(r, 1+r.IntN(300))
	case 3:
		return []string{"", "0", "1", "GET", "POST", "-1", "99999999999999999999", "HTTP/1.1", "application/json", "multipart/form-data"}[r.IntN(10)]
	}
	var b strings.Builder
	for range 1 + r.IntN(2) {
		u := g.rules[r.IntN(len(g.rules))]
		switch {
		case u.op.pattern != nil && u.op.pattern.Syntax() != nil:
			sample(r, u.op.pattern.Syntax(), &b, 0)
		case len(u.op.lits) > 0:
			b.WriteString(u.op.lits[r.IntN(len(u.op.lits))])
		default:
			b.WriteString(attacks[r.IntN(len(attacks))])
		}
		if r.IntN(3) == 0 {
			b.WriteString([]string{" ", "ſ", "K", "\n", "é", "%", "&", "\\", "\xff"}[r.IntN(9)])
		}
	}
	s := b.String()
	for range r.IntN(3) {
		s = disguise(r, s)
	}
	if r.IntN(3) == 0 {
		s = mutate(r, s)
	}
	return s
}
