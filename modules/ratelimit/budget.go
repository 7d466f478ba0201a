package ratelimit

import (
	"hash/maphash"
	"net/netip"
	"time"

	"gatehouse.internal/modules/internal/clientip"
)

// Budget is what each client network may cost the node, over all sites: a bucket that is charged once it is known what
// something cost, and may so go into debt. Who is in debt is refused until the debt is paid. The zero Budget is no bound.
type Budget struct {
	what  string // for operators
	key   string // for the metric
	id    uint64
	limit Limit
}

// What budgets are called and their buckets named by; no rule's hash is so small.
const (
	budgetCPU  = 1 // in microseconds
	budgetBody = 2 // in KiB
)

// newBudget returns the budget of so many units a second, with burst at once.
func newBudget(id uint64, perSecond, burst int64) Budget {
	what, key := "processor time", "cpu"
	if id == budgetBody {
		what, key = "body bytes", "body"
	}
	return Budget{what: what, key: key, id: id, limit: Limit{every: max(int64(time.Second)/perSecond, 1), burst: burst}}
}

func (b Budget) bounds() bool { return b.limit.burst > 0 }

// Spend charges the client's network with n units, whether it has them or not. The debt is never more than what a full
// bucket holds, so that it ends.
func (n *Node) Spend(b Budget, client netip.Addr, units int64) {
	if !b.bounds() || units <= 0 {
		return
	}
	var space [3]charge
	for _, c := range n.purses(b, client, &space) {
		c.table.Spend(c.key, c.limit, units)
	}
}

// Owes returns for how long the client's network, or one around it, is in debt; zero when it is not.
func (n *Node) Owes(b Budget, client netip.Addr) (longest time.Duration) {
	if !b.bounds() {
		return 0
	}
	var space [3]charge
	for _, c := range n.purses(b, client, &space) {
		longest = max(longest, c.table.Owes(c.key, c.limit))
	}
	return longest
}

// purses returns the buckets of the client's own network and those around it.
func (n *Node) purses(b Budget, client netip.Addr, to *[3]charge) []charge {
	own := clientip.Network(client)
	out := append(to[:0], n.network(b.id, own, b.limit))
	if own.Addr().Is6() && own.Bits() == clientip.V6Bits {
		for _, a := range around {
			out = append(out, n.network(b.id, clientip.Aggregate(client, clientip.V4Bits, a.bits), b.limit.times(a.times)))
		}
	}
	return out
}

func (n *Node) network(id uint64, p netip.Prefix, limit Limit) charge {
	return charge{n.main, maphash.Comparable(n.main.seed, ofNetwork(id, p)), limit}
}

// Spend takes n tokens from the key's bucket, whether they are there or not. The debt is bounded by what the bucket holds.
func (t *Table) Spend(key uint64, l Limit, n int64) {
	key = max(key, 1)
	set, mu := t.set(key)
	defer mu.Unlock()
	now := t.now()
	at := place(set, key)
	tat := now
	if at.key == key {
		tat = max(at.tat, now)
	} else if at.tat > now {
		t.evicted.Add(1)
	}
	most := 2 * l.horizon()
	if n = min(n, most/l.every); n < 0 {
		n = 0
	}
	*at = slot{key: key, tat: min(tat+n*l.every, now+most)}
}

// Owes returns for how long the key's bucket has no token: its debt, and none is taken.
func (t *Table) Owes(key uint64, l Limit) time.Duration {
	key = max(key, 1)
	set, mu := t.set(key)
	defer mu.Unlock()
	if at := place(set, key); at.key == key {
		return max(time.Duration(at.tat-t.now()-l.horizon()), 0)
	}
	return 0
}

// place returns the key's slot, or the one to give up for it: that which is nearest to full again.
func place(set []slot, key uint64) *slot {
	at := &set[0]
	for i := range set {
		if set[i].key == key {
			return &set[i]
		}
		if set[i].tat < at.tat {
			at = &set[i]
		}
	}
	return at
}
