package prove

import (
	"math"
	"slices"

	"gatehouse.internal/modules/waf/literal"
	"gatehouse.internal/modules/waf/symbol"
)

// search looks for the strings of all rules of a kind of phase at once.
//
// Most values are words and numbers. In them most strings cannot be, and most rules cannot match whatever strings are in
// them; yet pairs of letters that such rules look for beside punctuation are in every sentence. So there is a second
// scanner for texts of plain symbols alone. It lacks each string with another symbol, which is not in such a text, and each
// list that is only asked for by operators that no such text can satisfy. So that a list is not found means, with either
// scanner, that whoever asks for it cannot match the text.
type search struct {
	all, plain *literal.Scanner
}

// plainSymbols are those of the texts that the plain scanner is for.
var plainSymbols = symbol.Lower | symbol.Upper | symbol.Digit | symbol.Bytes(" _-.,")

// scan adds the lists of which a string occurs in a text with these symbols.
func (s *search) scan(text string, m symbol.Set, hits *literal.Hits) {
	if plainSymbols.Holds(m) {
		s.plain.Scan(text, hits)
	} else {
		s.all.Scan(text, hits)
	}
}

// newSearch makes the scanners; asked are the lists that plain texts are asked for. nil if they are too many.
func newSearch(lists [][]string, asked map[int]bool) *search {
	plain := make([][]string, len(lists))
	for i, list := range lists {
		for _, s := range list {
			if asked[i] && plainSymbols.Holds(symbol.Bytes(s)) {
				plain[i] = append(plain[i], s)
			}
		}
	}
	all, err := literal.NewScanner(lists)
	if err != nil {
		return nil
	}
	few, err := literal.NewScanner(plain)
	if err != nil {
		return nil
	}
	return &search{all, few}
}

// numbering gives lists of strings their numbers.
type numbering struct {
	lists [][]string
	asked map[int]bool // lists that plain texts are asked for
	given []given
}

type given struct {
	field *int
	value int
}

// add gives a list a number, which field is set to once there is a search. plain: it is asked for in plain texts.
func (n *numbering) add(list []string, field *int, plain bool) {
	i := slices.IndexFunc(n.lists, func(l []string) bool { return slices.Equal(l, list) })
	if i < 0 {
		i = len(n.lists)
		n.lists = append(n.lists, list)
	}
	n.asked[i] = n.asked[i] || plain
	n.given = append(n.given, given{field, i})
}

// number gives each rule's literals, and each gate's, a number in the search of its kind of phase. Without one literals
// prove nothing.
func (c *compiler) number(p *Prover) {
	for kind, into := range []**search{&p.plans.request, &p.plans.response} {
		n := numbering{asked: map[int]bool{}}
		for _, r := range c.rules {
			if kindOf(r) == kind {
				n.rule(r)
			}
		}
		if *into = newSearch(n.lists, n.asked); *into == nil {
			continue
		}
		for _, g := range n.given {
			*g.field = g.value
		}
	}
}

func (n *numbering) rule(r *rule) {
	if len(r.op.lits) > 0 {
		n.add(r.op.lits, &r.need, r.op.wants(plainSymbols, math.MaxInt))
	}
	if p := pieces(r.op.lits); p != nil && r.multi && base64In(r.chain.Names()).quiet {
		n.add(p, &r.piece, false) // which are looked for in noise, with all scanned
	}
	if r.gate != nil {
		n.add(r.gate.lits, &r.gate.need, true)
	}
	for _, l := range r.links {
		if len(l.op.lits) > 0 && l.chain.Active() == 0 {
			n.add(l.op.lits, &l.need, l.op.wants(plainSymbols, math.MaxInt))
		}
		for i := range l.ways {
			if w := &l.ways[i]; w.pieces != nil {
				n.add(w.pieces, &w.need, false)
			}
		}
	}
}
