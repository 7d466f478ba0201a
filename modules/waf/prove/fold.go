package prove

import (
	"math"

	"gatehouse.internal/modules/waf/symbol"
	"gatehouse.internal/modules/waf/transform"

	"github.com/corazawaf/coraza/v3/types/variables"
)

// Coraza keeps headers by their names in lower case, and beside each the name as it was sent, which only rules about
// REQUEST_HEADERS_NAMES and RESPONSE_HEADERS_NAMES see. Selectors and exceptions are asked about the former, and values do
// not depend on names. So if each such rule begins by lowering the case of what it sees, or can match no name of the usual
// characters, then, whatever case these names have, the same is proven.

// usual are the characters of the names that HeaderNamesFold speaks of.
var usual = symbol.Lower | symbol.Upper | symbol.Digit | symbol.Bytes("-_")

// HeaderNamesFold reports that what is proven about a transaction does not depend on the case of those names of headers
// that are letters, digits, hyphens and underscores of ASCII.
func (p *Prover) HeaderNamesFold() bool {
	for _, r := range p.rules { // those that are only watched are among them
		if !r.blind && readsHeaderNames(r.targets) && !caseless(r.chain, r.multi, &r.op) {
			return false
		}
		if namesInAny(r.sets) {
			return false
		}
		for _, w := range r.watches {
			if namesIn(&w.key) || namesIn(&w.value) {
				return false
			}
		}
		for _, l := range r.links {
			if namesIn(&l.argument) || namesInAny(l.sets) {
				return false
			}
			for i := range l.asks {
				if q := &l.asks[i]; q.kind == ofRequest && isHeaderNames(q.target.variable) && !caseless(l.chain, l.multi, &l.op) {
					return false
				}
			}
		}
	}
	return true
}

func isHeaderNames(v variables.RuleVariable) bool {
	return v == variables.RequestHeadersNames || v == variables.ResponseHeadersNames
}

func readsHeaderNames(targets []target) bool {
	for i := range targets {
		if isHeaderNames(targets[i].variable) {
			return true
		}
	}
	return false
}

// caseless reports whether the operator says the same of a usual name in any case.
func caseless(c *transform.Chain, multi bool, op *operator) bool {
	if names := c.Names(); !multi && len(names) > 0 && names[0] == "lowercase" {
		return true
	}
	image := c.Image
	if multi {
		image = c.StagesImage
	}
	out, known := image(usual)
	return known && !op.wants(out, math.MaxInt)
}

// namesIn reports whether a text may hold a header's name.
func namesIn(t *template) bool {
	for i := range t.parts {
		if t.parts[i].kind == isVariable && isHeaderNames(t.parts[i].variable) {
			return true
		}
	}
	return false
}

func namesInAny(sets []assignment) bool {
	for i := range sets {
		if namesIn(&sets[i].key) || namesIn(&sets[i].value) {
			return true
		}
	}
	return false
}
