package waf

import (
	"fmt"
	"sync/atomic"
)

// DefaultBudget is how many bytes of bodies are held at one time, over all sites and requests, unless the house says
// otherwise (waf_budget).
const DefaultBudget = 256 << 20

// bodyCost is how many times a body is in memory while it is inspected: ours, Coraza's buffer, the text that its
// parser reads, and the arguments made from it.
const bodyCost = 4

// Budget bounds the memory of everything that draws on it, and how much of the machine it takes. Memory is refused
// rather than waited for: waiting requests hold memory as well, and would make a full budget last longer. Who may use
// the CPU is decided by two caps.
type Budget struct {
	size   atomic.Int64
	used   atomic.Int64
	bodies *Cap
	heads  *Cap
}

// NewBudget returns a budget of size bytes.
func NewBudget(size int64) *Budget {
	b := &Budget{bodies: newBodyCap(), heads: newHeadCap()}
	b.size.Store(size)
	return b
}

// resize changes how much may be reserved. What is reserved stays so: after a smaller size there is nothing to be had
// until enough was given back.
func (b *Budget) resize(size int64) { b.size.Store(size) }

// fits reports whether a budget of size bytes holds the largest body, or the largest answer, that cfg lets be inspected.
func (cfg Config) fits(size int64) error {
	for _, limit := range []struct {
		word  string
		bytes int64
	}{{"body_limit", cfg.BodyLimit}, {"response_inspection", cfg.ResponseLimit}} {
		if need := limit.bytes * bodyCost; need > size {
			return fmt.Errorf("a waf_budget of %d bytes is not enough for a %s of %d: it needs %d times as much", size, limit.word, limit.bytes, bodyCost)
		}
	}
	return nil
}

// take reserves n bytes, or reports false and reserves none.
func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.size.Load() {
		b.used.Add(-n)
		return false
	}
	return true
}

// give returns n bytes that were taken.
func (b *Budget) give(n int64) { b.used.Add(-n) }

// Used is how many bytes are reserved now.
func (b *Budget) Used() int64 { return b.used.Load() }
