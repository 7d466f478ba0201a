package waf

import "sync/atomic"

// DefaultBudget is how many bytes of bodies are held at one time, over all sites and requests.
const DefaultBudget = 256 << 20

// bodyCost is how many times a body is in memory while it is inspected: ours, Coraza's buffer, the text that its
// parser reads, and the arguments made from it.
const bodyCost = 4

// Budget bounds the memory of everything that draws on it, and how much of the machine it takes. Memory is refused
// rather than waited for: waiting requests hold memory as well, and would make a full budget last longer. Who may use
// the CPU is decided by two caps.
type Budget struct {
	size   int64
	used   atomic.Int64
	bodies *Cap
	heads  *Cap
}

// NewBudget returns a budget of size bytes.
func NewBudget(size int64) *Budget {
	return &Budget{size: size, bodies: newBodyCap(), heads: newHeadCap()}
}

// take reserves n bytes, or reports false and reserves none.
func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.size {
		b.used.Add(-n)
		return false
	}
	return true
}

// give returns n bytes that were taken.
func (b *Budget) give(n int64) { b.used.Add(-n) }

// Used is how many bytes are reserved now.
func (b *Budget) Used() int64 { return b.used.Load() }
