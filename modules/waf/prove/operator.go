package prove

import (
	"io/fs"
	"math"
	"net"
	"path"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/corazawaf/libinjection-go"

	"gatehouse.internal/modules/waf/automaton"
	"gatehouse.internal/modules/waf/literal"
	"gatehouse.internal/modules/waf/rx"
	"gatehouse.internal/modules/waf/seclang"
	"gatehouse.internal/modules/waf/symbol"
)

// operator is what a rule asks of a transformed value. The zero value is not modelled: it may be true of anything.
//
// sets, minLen, lits and part are necessary conditions of a match and empty for negated operators, of which nothing follows.
type operator struct {
	negated bool
	// holds answers exactly, before negation; nil: not modelled. b bounds what automata may build.
	holds func(s string, b *automaton.Budget) bool
	// withArg is holds for an operator whose argument is only known in a transaction (a macro); then holds is nil.
	withArg func(s, arg string) bool

	sets    []symbol.Set
	minLen  int
	lits    []string // a match has one of them, ASCII case aside; nil: not known
	phrases bool     // having one of lits *is* the match
	part    string   // a match has it, byte for byte; "": not known
	pattern *rx.Pattern
	only    symbol.Set // a match is made of these symbols alone; 0: not known. Not of what a value may become: of what it is
	sure    sure       // what matches for certain
	sql     bool       // it is detectSQLi
	counts  bool       // pattern counts far: it makes a state for each number, times those of any pattern beside it
}

// may reports whether the operator, negation included, may be true of s. It is exact where the operator is modelled.
func (o *operator) may(s string, b *automaton.Budget) bool {
	if o.holds == nil {
		return true
	}
	return o.holds(s, b) != o.negated
}

// mayWith is may for an operator that takes its argument from the transaction.
func (o *operator) mayWith(s, arg string) bool {
	return o.withArg == nil || o.withArg(s, arg) != o.negated
}

// wants reports whether the symbols of a value and its length leave a match possible.
func (o *operator) wants(m symbol.Set, n int) bool {
	if n < o.minLen {
		return false
	}
	for _, s := range o.sets {
		if !s.Meets(m) {
			return false
		}
	}
	return true
}

// fits reports whether a text with exactly these symbols may match.
func (o *operator) fits(m symbol.Set) bool { return o.only == 0 || o.only.Holds(m) }

// operator models an operator as Coraza's internal/operators has it. What it does not know, or cannot compile, is not
// modelled.
func (c *compiler) operator(r *seclang.Rule) operator {
	o := operator{negated: r.Op.Negated}
	arg := r.Op.Argument
	switch r.Op.Name {
	case "rx":
		o.regexp(c.pattern(arg))
	case "pm":
		o.phraseList(strings.Split(strings.ToLower(arg), " "))
	case "pmfromfile", "pmf":
		if list, ok := c.phraseFile(r.Op.Dir, arg); ok {
			o.phraseList(list)
		}
	case "pmfromdataset":
		if r.Op.Dataset != nil {
			o.phraseList(lowered(r.Op.Dataset))
		}
	case "detectsqli":
		o.sql = true
		o.holds = func(s string, _ *automaton.Budget) bool {
			if plainWords(s) {
				return false
			}
			is, _ := libinjection.IsSQLi(s)
			return is
		}
	case "detectxss":
		// libinjection reports a doctype, tag or comment, which begin with <, or the value of an attribute that it saw
		// the name of, which stand apart by =.
		o.sets = []symbol.Set{symbol.Bytes("<=")}
		o.holds = func(s string, _ *automaton.Budget) bool { return libinjection.IsXSS(s) }
	case "validatebyterange":
		o.byteRange(arg)
	case "validateurlencoding":
		o.sets = []symbol.Set{symbol.Bytes("%")}
		o.holds = func(s string, _ *automaton.Budget) bool { return badEscape(s) }
	case "validateutf8encoding":
		o.sets = []symbol.Set{symbol.High}
		o.holds = func(s string, _ *automaton.Budget) bool { return !utf8.ValidString(s) }
	case "unconditionalmatch":
		o.holds = func(string, *automaton.Budget) bool { return true }
	case "nomatch":
		o.holds = func(string, *automaton.Budget) bool { return false }
	case "ipmatch":
		o.addresses(arg)
	default:
		o.compare(r.Op.Name, arg)
	}
	if o.negated {
		o.sets, o.minLen, o.lits, o.part, o.only, o.sure = nil, 0, nil, "", 0, sure{}
	}
	return o
}

// pattern compiles a pattern once; nil if it is none.
func (c *compiler) pattern(arg string) *rx.Pattern {
	p, ok := c.patterns[arg]
	if !ok {
		if p, _ = rx.Shared(arg); p != nil {
			p.Prepare()
		}
		c.patterns[arg] = p
	}
	return p
}

func (o *operator) regexp(p *rx.Pattern) {
	if p == nil {
		return
	}
	o.pattern, o.holds = p, p.Match
	if re, err := syntax.Parse(p.String(), syntax.Perl); err != nil || countsFar(re) {
		o.counts = true
	}
	if p.Binary() {
		// Each byte stands for the rune of its number. What Analyse knows of such a tree's symbols holds for bytes too:
		// those from 80 on are High as runes from 80 on are, and runes beyond FF only add to a set. Its lengths and
		// literals do not, being those of UTF-8.
		if re, err := syntax.Parse(p.String(), syntax.Perl); err == nil {
			o.sets = literal.Analyse(re).Sets
		}
	} else if re := p.Syntax(); re != nil {
		need := literal.Analyse(re)
		o.sets, o.minLen, o.lits = need.Sets, need.MinLen, usable(need.Any)
		if raw, err := syntax.Parse("(?sm)"+p.String(), syntax.Perl); err == nil {
			o.only, o.sure = onlyOf(raw), sureOf(raw)
		}
	}
}

// far is a count beyond which a pattern keeps to itself.
const far = 20

// countsFar reports whether a pattern repeats some part up to a large number of times.
func countsFar(re *syntax.Regexp) bool {
	if re.Op == syntax.OpRepeat && max(re.Min, re.Max) > far {
		return true
	}
	return slices.ContainsFunc(re.Sub, countsFar)
}

// usable returns the literals if the scanner can look for all of them.
func usable(lits []string) []string {
	for _, l := range lits {
		if len(l) < 2 {
			return nil
		}
	}
	return lits
}

// phraseList models Coraza's Aho-Corasick search, which ignores ASCII case.
func (o *operator) phraseList(list []string) {
	var single [256]bool
	var long []string
	o.minLen = math.MaxInt
	shorts := symbol.Set(0)
	for _, p := range list {
		o.minLen = min(o.minLen, len(p))
		switch len(p) {
		case 0:
		case 1:
			c := p[0]
			single[c], shorts = true, shorts|symbol.Byte(c)
			if 'a' <= c && c <= 'z' {
				single[c-'a'+'A'], shorts = true, shorts|symbol.Upper
			}
		default:
			long = append(long, p)
		}
	}
	if o.minLen == 0 { // whether the search finds an empty phrase is its own affair
		return
	}
	if len(long) == 0 {
		o.sets = []symbol.Set{shorts}
		o.holds = func(s string, _ *automaton.Budget) bool { return anyByte(s, &single) }
		return
	}
	scanner, err := literal.NewScanner([][]string{long})
	if err != nil {
		o.minLen = 0
		return
	}
	if shorts == 0 {
		o.lits, o.phrases = long, true
	}
	o.holds = func(s string, _ *automaton.Budget) bool {
		var hits literal.Hits
		scanner.Scan(s, &hits)
		return hits.Has(0) || shorts != 0 && anyByte(s, &single)
	}
}

// phraseFile reads the phrases of a file: one a line, but for comments.
func (c *compiler) phraseFile(dir, name string) (list []string, ok bool) {
	if !path.IsAbs(name) {
		name = path.Join(dir, name)
	}
	data, err := fs.ReadFile(c.files, name)
	if err != nil {
		return nil, false
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			list = append(list, strings.ToLower(line))
		}
	}
	return list, true
}

func lowered(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

func anyByte(s string, set *[256]bool) bool {
	for i := range len(s) {
		if set[s[i]] {
			return true
		}
	}
	return false
}

// byteRange is true of a value that holds a byte outside the ranges.
func (o *operator) byteRange(arg string) {
	var bad [256]bool
	for i := range bad {
		bad[i] = true
	}
	for part := range strings.SplitSeq(arg, ",") {
		low, high, ranged := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(low)
		last := first
		if ranged && err == nil {
			last, err = strconv.Atoi(high)
		}
		if err != nil || first < 0 || first > 255 || last < 0 || last > 255 {
			return
		}
		for i := first; i <= last; i++ {
			bad[i] = false
		}
	}
	var set symbol.Set
	for i := range bad {
		if bad[i] {
			set |= symbol.Byte(byte(i))
		}
	}
	o.sets, o.minLen = []symbol.Set{set}, 1
	o.holds = func(s string, _ *automaton.Budget) bool { return anyByte(s, &bad) }
}

// badEscape reports whether some % is not followed by two hexadecimal digits.
func badEscape(s string) bool {
	for i := 0; i < len(s); {
		switch {
		case s[i] != '%':
			i++
		case i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]):
			return true
		default:
			i += 3
		}
	}
	return false
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func (o *operator) addresses(arg string) {
	var nets []*net.IPNet
	for part := range strings.SplitSeq(arg, ",") {
		part = strings.TrimSpace(part)
		switch {
		case strings.Contains(part, "/"):
		case strings.Contains(part, ":"):
			part += "/128"
		case strings.Contains(part, "."):
			part += "/32"
		}
		if _, n, err := net.ParseCIDR(part); err == nil {
			nets = append(nets, n)
		}
	}
	o.holds = func(s string, _ *automaton.Budget) bool {
		ip := net.ParseIP(s)
		for _, n := range nets {
			if n.Contains(ip) {
				return true
			}
		}
		return false
	}
}
