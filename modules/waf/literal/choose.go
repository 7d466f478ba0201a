package literal

import (
	"cmp"
	"slices"
	"strings"

	"gatehouse.internal/modules/waf/symbol"
)

// Choosing among true facts is a matter of speed alone: whatever these estimates say, the Need is sound.

// weights says about how often a byte follows another in benign names, values and headers, folded to lower case.
var weights = func() (w [256]float64) {
	for b := range w {
		w[b] = 0.002
	}
	for b := byte(0x80); b != 0; b++ {
		w[b] = 0.01
	}
	for i, c := range []byte("etaoinsrhldcumfpgwybvkxjqz") { // the letters of English by frequency
		w[c] = 0.12 - 0.0045*float64(i)
	}
	for c := byte('0'); c <= '9'; c++ {
		w[c] = 0.04
	}
	w[' '] = 0.15
	for _, c := range []byte("-./_:,=") {
		w[c] = 0.03
	}
	for _, c := range []byte("&;?%+()\"@") {
		w[c] = 0.01
	}
	return w
}()

// follows says how much likelier a byte is after another than after any: the commonest pairs of English words, also at
// their beginnings and ends, against the others.
var follows = func() (f [1 << 16]float32) {
	for i := range f {
		f[i] = 0.5
	}
	for _, pair := range strings.Fields(`th he in er an re nd on en at ou ed ha to or it is hi es ng
		ar al te co de ra et ti se me st le nt io ro ri ne ea ve ic ll be ma si om ur ce li ch ns ca el la ta us di fo pe
		tr as so no na ec ho ai pr ac tu mo ss il ge wi ee pa un em op em ul su po ab ie ly ow im cl ut ct id am ag lo ev
		ry da vi ay cu nu um mb do oc pl ct fi rd ck ty ct qu ue wn ts rs ds`) {
		f[int(pair[0])<<8|int(pair[1])] = 3
	}
	for _, c := range []byte("tasciwphbomdfrnelgy") {
		f[' '<<8|int(c)], f[int(c)<<8|' '] = 1.5, 1.5
	}
	return f
}()

// chance estimates how many of a million places in benign text begin with s.
func chance(s string) float64 {
	p := 1e6
	for i := range len(s) {
		p *= weights[s[i]]
		if i > 0 {
			p *= float64(follows[int(s[i-1])<<8|int(s[i])])
		}
	}
	return p
}

func chances(list []string) (sum float64) {
	for _, s := range list {
		sum += chance(s)
	}
	return sum
}

// better returns the list of which one is less likely to occur by accident; nil is worse than any list.
func better(a, b []string) []string {
	if a == nil || b != nil && chances(b) < chances(a) {
		return b
	}
	return a
}

// usable returns the list if a scanner can search for it, else nil.
func usable(list []string) []string {
	if len(list) == 0 || len(list) > maxAny || slices.ContainsFunc(list, func(s string) bool { return len(s) < minString }) {
		return nil
	}
	return list
}

// essential drops each string that contains another of the list: a text with it has the other too.
func essential(list []string) []string {
	var kept []string
	for _, s := range slices.SortedStableFunc(slices.Values(list), func(a, b string) int { return cmp.Compare(len(a), len(b)) }) {
		if !slices.ContainsFunc(kept, func(k string) bool { return strings.Contains(s, k) }) {
			kept = append(kept, s)
		}
	}
	return kept
}

// presence estimates how likely a benign value has a symbol of the set.
func presence(set symbol.Set) (p float64) {
	for _, c := range []struct {
		of symbol.Set
		p  float64
	}{{symbol.Lower, 1}, {symbol.Upper, 0.6}, {symbol.Digit, 0.7}, {symbol.High, 0.05}, {symbol.Control, 0.001}} {
		if set.Meets(c.of) {
			p += c.p
		}
	}
	for b := range byte(0x80) {
		if s := symbol.Byte(b); s > symbol.Control && set.Meets(s) {
			p += min(0.3, 5*weights[b])
		}
	}
	return p
}

// rarest returns the sets that exclude most, the best first, without those that another makes redundant: what has a
// symbol of a set has one of each set around it.
func rarest(sets []symbol.Set) []symbol.Set {
	sets = slices.Clone(sets)
	slices.SortFunc(sets, func(a, b symbol.Set) int {
		return cmp.Or(cmp.Compare(presence(a), presence(b)), cmp.Compare(a, b))
	})
	var kept []symbol.Set
	for _, s := range sets {
		if len(kept) < maxSets && !slices.ContainsFunc(kept, func(k symbol.Set) bool { return s.Holds(k) }) {
			kept = append(kept, s)
		}
	}
	return kept
}
