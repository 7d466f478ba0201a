package authn

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"gatehouse.internal/modules/internal/identity"
)

const (
	// atOnce is how short a time ago another session must have been used to count as used at the same time.
	atOnce = 15 * time.Minute
	// Sessions are far apart when they differ in so many first bits of their networks' addresses. Without a map that is a
	// hint, and no more: a telephone on its own network is far from the office too.
	farBits4, farBits6 = 16, 32
)

// Crowd is what a person's sessions look like when one more has begun.
type Crowd struct {
	Older []Info // all but the new one, the oldest first
	Far   []Info // those of them that are in use from far away
}

// half reports whether a login is not complete: the person has a second factor and has not proven it in the session.
func half(p identity.Proof) bool {
	f := p.Factor()
	return f.Expected && f.Method == ""
}

// Crowd returns the person's living sessions besides the one that has just begun in the network and the one that it takes the
// place of, by their names. Logins that are not complete are none of it: who knows a password and no more can neither push
// the person out nor take up their places.
func (s *Sessions) Crowd(ctx context.Context, provider, subject, network, begun, replaced string, l Limits) (Crowd, error) {
	all, err := s.List(ctx, provider, subject, "")
	if err != nil {
		return Crowd{}, err
	}
	var c Crowd
	for _, other := range all {
		if other.Name == begun || other.Name == replaced || half(other.entry.prove(l, s.clock.now())) {
			continue
		}
		c.Older = append(c.Older, other)
		if time.Since(other.LastSeen) < atOnce && farApart(network, other.Network) {
			c.Far = append(c.Far, other)
		}
	}
	slices.SortFunc(c.Older, func(a, b Info) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name)) })
	return c, nil
}

// farApart reports whether two networks, as Meta names them, are certainly not neighbours. Addresses of different
// families say nothing.
func farApart(a, b string) bool {
	one, err1 := netip.ParsePrefix(a)
	two, err2 := netip.ParsePrefix(b)
	if err1 != nil || err2 != nil || one.Addr().Is4() != two.Addr().Is4() {
		return false
	}
	bits := farBits6
	if one.Addr().Is4() {
		bits = farBits4
	}
	return netip.PrefixFrom(one.Addr(), bits).Masked() != netip.PrefixFrom(two.Addr(), bits).Masked()
}

// surplus returns the oldest of a person's sessions that must end so that, with the new one, there are most of them.
func (c Crowd) surplus(most int) []Info {
	if over := len(c.Older) + 1 - most; most > 0 && over > 0 {
		return c.Older[:over]
	}
	return nil
}

// refused reports whether a session that began then is one too many, when those that were there before come first. Of two
// that begin at once each node judges the same one to be later.
func (c Crowd) refused(most int, name string, began time.Time) bool {
	before := 0
	for _, other := range c.Older {
		if cmp.Or(other.Created.Compare(began), cmp.Compare(other.Name, name)) < 0 {
			before++
		}
	}
	return most > 0 && before >= most
}
