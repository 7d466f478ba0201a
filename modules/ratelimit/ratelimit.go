package ratelimit

import (
	"crypto/sha256"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/reqpath"
)

// Sizes of the node's tables, in powers of two of slots: 32 MiB and 4 MiB.
const (
	tableBits  = 21
	headerBits = 18
)

// around holds the networks around an IPv6 client's /64, and how many clients' worth of requests may come from them.
var around = []struct {
	bits  int
	times int64
}{{56, 4}, {48, 16}}

// Node is what all limits of a node share. It outlives configurations.
type Node struct {
	main    *Table
	headers *Table // apart: their values are the clients' to invent
	running Running
	shares  *Shares // nil: there are no other gateways
}

// NewNode returns a node on which nobody has asked for anything yet. It closes shares, which may be nil.
func NewNode(shares *Shares) *Node {
	return &Node{main: NewTable(tableBits), headers: NewTable(headerBits), shares: shares}
}

// Destruct implements caddy.Destructor.
func (n *Node) Destruct() error {
	if n.shares != nil {
		n.shares.Close()
	}
	return nil
}

// Asked is what the limits are judged by.
type Asked struct {
	Path   reqpath.Path
	Client netip.Addr
	Header http.Header
	// "" for nobody, and for who is of no tenant or has no key
	User, Session, Tenant, Key string
}

// Refusal is why a request may not pass now.
type Refusal struct {
	Rule  *Rule
	Whom  string // for operators; never a header's value
	Retry time.Duration
}

// Limiter judges the requests of one site by its rules, which are compiled.
type Limiter struct {
	node  *Node
	rules []Rule
	ids   []uint64 // of the rules: equal over reloads as long as what a rule counts is
	names []string // of the rules: equal on all gateways as long as what a rule counts is
	site  uint64
}

// NewLimiter returns the limiter of the site. Sites of the same name share their buckets.
func NewLimiter(n *Node, site string, rules []Rule) *Limiter {
	l := &Limiter{node: n, rules: rules, site: maphash.String(n.main.seed, site)}
	seen := map[string]int{}
	for i := range rules {
		r := &rules[i]
		name := fmt.Sprintf("%q %q %q %q", site, r.Per, r.Header, r.Paths)
		seen[name]++ // two rates for the same are two buckets: 10r/s and 1000r/h
		name += fmt.Sprint(" ", seen[name])
		l.names, l.ids = append(l.names, name), append(l.ids, max(maphash.String(n.main.seed, name), budgetBody+1))
		if r.name == "" {
			r.name = string(r.Per)
			if r.login {
				r.name = "login"
			}
			if i > 0 {
				r.name += "-" + strconv.Itoa(i+1)
			}
		}
	}
	return l
}

// charge is a token that a request takes.
type charge struct {
	table *Table
	key   uint64
	limit Limit
}

// bucket names one bucket; it is hashed as a whole.
type bucket struct {
	rule, hi, lo, more uint64
}

// Judge takes the tokens that the request costs and adds the fields that tell its client of them. When one is missing,
// none is taken, and the refusal says which.
func (l *Limiter) Judge(a Asked, answer http.Header) *Refusal {
	var space [8]charge
	taken := space[:0]
	var tell fields
	for i := range l.rules {
		r := &l.rules[i]
		if !r.counts(a.Path) {
			continue
		}
		var wanted [3]charge
		var told Decision
		for j, c := range l.charges(i, a, &wanted) {
			d := l.take(&c, i, j, a)
			if j == 0 || !d.OK {
				told = d
			}
			if !d.OK {
				for _, t := range taken {
					l.node.giveBack(t)
				}
				tell.add(r, told)
				tell.write(answer)
				return &Refusal{Rule: r, Whom: whom(r, a), Retry: d.Retry}
			}
			taken = append(taken, c)
			if j == 0 {
				tell.add(r, told)
			}
		}
	}
	tell.write(answer)
	return nil
}

// take takes a token from the node's own bucket, unless what all gateways share has none. c.limit becomes what it was
// taken under.
func (l *Limiter) take(c *charge, rule, nth int, a Asked) Decision {
	shares := l.node.shares
	if shares == nil {
		return c.table.Take(c.key, c.limit)
	}
	whole := c.limit
	c.limit = shares.part(whole)
	d := c.table.Take(c.key, c.limit)
	if !d.OK {
		return d
	}
	wait, due := shares.take(c.key, whole)
	if due > 0 {
		shares.report(report{key: c.key, name: l.name(rule, nth, a), limit: whole, want: due})
	}
	if wait > 0 {
		c.table.GiveBack(c.key, c.limit)
		return Decision{Full: wait + time.Duration(whole.horizon()), Retry: wait}
	}
	return d
}

func (n *Node) giveBack(c charge) {
	c.table.GiveBack(c.key, c.limit)
	if n.shares != nil {
		n.shares.giveBack(c.key)
	}
}

// name is what the nth of a rule's buckets for the request is called in the store. It is of one length whatever clients send.
func (l *Limiter) name(rule, nth int, a Asked) string {
	var whom string
	switch r := &l.rules[rule]; {
	case r.Per != PerClient:
		whom = r.of(a)
	case nth == 0:
		whom = clientip.Network(a.Client).String()
	default:
		whom = clientip.Aggregate(a.Client, clientip.V4Bits, around[nth-1].bits).String()
	}
	sum := sha256.Sum256([]byte(l.names[rule] + " " + whom))
	return string(sum[:])
}

// charges returns the buckets that the rule takes from for the request, the client's own first; none for a user or
// session when there is nobody, and a header that is not there.
func (l *Limiter) charges(i int, a Asked, to *[3]charge) []charge {
	r, out := &l.rules[i], to[:0]
	text := func(t *Table, s string) []charge {
		if s == "" {
			return out
		}
		b := bucket{rule: l.ids[i], hi: maphash.String(t.seed, s), more: 2}
		return append(out, charge{t, maphash.Comparable(t.seed, b), r.limit})
	}
	switch r.Per {
	case PerHeader:
		return text(l.node.headers, r.of(a))
	case PerUser, PerSession, PerTenant, PerKey:
		return text(l.node.main, r.of(a))
	}
	own := clientip.Network(a.Client)
	out = append(out, l.node.network(l.ids[i], own, r.limit))
	if own.Addr().Is6() && own.Bits() == clientip.V6Bits {
		for _, n := range around {
			out = append(out, l.node.network(l.ids[i], clientip.Aggregate(a.Client, clientip.V4Bits, n.bits), r.limit.times(n.times)))
		}
	}
	return out
}

func ofNetwork(id uint64, p netip.Prefix) bucket {
	a := p.Addr().As16()
	b := bucket{rule: id, more: 4 + uint64(p.Bits())<<8}
	for i := range 8 {
		b.hi, b.lo = b.hi<<8|uint64(a[i]), b.lo<<8|uint64(a[i+8])
	}
	return b
}

// Enter counts a running request of the client's network, unless so many run already on the site.
func (l *Limiter) Enter(client netip.Addr, most int) (leave func(), ok bool) {
	key := maphash.Comparable(l.node.main.seed, ofNetwork(l.site, clientip.Network(client)))
	if !l.node.running.Enter(key, most) {
		return nil, false
	}
	return func() { l.node.running.Leave(key) }, true
}

// of is what the rule counts by, other than the client's network; "" when the request has none.
func (r *Rule) of(a Asked) string {
	switch r.Per {
	case PerUser:
		return a.User
	case PerSession:
		return a.Session
	case PerTenant:
		return a.Tenant
	case PerKey:
		return a.Key
	case PerHeader:
		return a.Header.Get(r.Header)
	}
	return ""
}

func whom(r *Rule, a Asked) string {
	switch r.Per {
	case PerClient:
		return "client network " + clientip.Network(a.Client).String()
	case PerHeader:
		return "header " + r.Header
	}
	return string(r.Per) + " " + r.of(a)
}

// fields makes the RateLimit fields of an answer (draft-ietf-httpapi-ratelimit-headers-10): every policy that applied,
// and of them the one with the least left.
type fields struct {
	text strings.Builder // the policies
	rule *Rule
	left int64
	full time.Duration
}

func (f *fields) add(r *Rule, d Decision) {
	if f.rule != nil {
		f.text.WriteString(", ")
	} else {
		f.text.Grow(128)
	}
	f.item(r.name, `";q=`, r.limit.burst, ";w=", seconds(time.Duration(r.limit.horizon())))
	if f.rule == nil || !d.OK || d.Left < f.left {
		f.rule, f.left, f.full = r, d.Left, d.Full
	}
}

// item writes a policy or a limit, with its two parameters.
func (f *fields) item(name, first string, one int64, second string, two int64) {
	var digits [20]byte
	f.text.WriteByte('"')
	f.text.WriteString(name)
	f.text.WriteString(first)
	f.text.Write(strconv.AppendInt(digits[:0], one, 10))
	f.text.WriteString(second)
	f.text.Write(strconv.AppendInt(digits[:0], two, 10))
}

// write adds both fields: one text for both, and one array for their values.
func (f *fields) write(h http.Header) {
	if f.rule == nil {
		return
	}
	policy := f.text.Len()
	f.item(f.rule.name, `";r=`, f.left, ";t=", seconds(f.full))
	text, values := f.text.String(), new([2]string)
	values[0], values[1] = text[policy:], text[:policy]
	put(h, "Ratelimit", values[0:1:1])
	put(h, "Ratelimit-Policy", values[1:2:2])
}

// put adds the value to those that another of the room's handlers may have written.
func put(h http.Header, name string, value []string) {
	if before := h[name]; before != nil {
		value = append(before, value...)
	}
	h[name] = value
}

// seconds rounds up, so that nobody comes back too early.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
