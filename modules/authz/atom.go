package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/prefixset"
)

// An atom is the smallest thing that may hold of a request: a role, a network, a time. A policy's rules share their atoms,
// each of which is looked at once a request at the most: a rule is then a few bits to test.

// maxAtoms bounds the different atoms of one policy, so that what is known of a request fits on the stack.
const (
	maxAtoms = 2048
	bitWords = maxAtoms / 64
)

var errAtoms = fmt.Errorf("the policy names more than %d different roles, groups, users, networks and the like: name groups instead", maxAtoms)

// atomID names an atom within its policy.
type atomID uint16

// atom is one that is found out when a rule asks for it. Those that speak of who asks are found by name instead: see names.
type atom struct {
	word    string
	value   string // of method and host
	network *prefixset.Set
	window  window
	nth     int    // of segment
	claim   string // of segment
}

// holds looks.
func (a *atom) holds(q *Query) bool {
	switch a.word {
	case "method":
		return q.Method == a.value
	case "host":
		return matchHost(a.value, q.Host)
	case "network":
		return a.network.Contains(q.Client)
	case "time":
		return a.window.holds(q.Now)
	case "segment":
		s := segment(q.Path, a.nth)
		return s != "" && slices.Contains(q.Who.Claim(a.claim), s)
	}
	return false
}

// facts is what is known of one request.
type facts struct {
	known, have [bitWords]uint64
}

func (f *facts) set(id atomID) { f.have[id>>6] |= 1 << (id & 63) }

// holds reports whether the atom does, looking if nobody has yet.
func (f *facts) holds(p *program, q *Query, id atomID) bool {
	word, bit := id>>6%bitWords, uint64(1)<<(id&63)
	if f.known[word]&bit == 0 { // Slow path
		f.look(p, q, id)
	}
	return f.have[word]&bit != 0
}

func (f *facts) look(p *program, q *Query, id atomID) {
	f.known[id>>6] |= 1 << (id & 63)
	if p.atoms[id].holds(q) {
		f.set(id)
	}
}

// names finds the atoms that a list of names stands for.
type names struct {
	ids   map[string]atomID
	order []string                   // sorted
	marks [1 << markBits / 64]uint64 // of which names there may be one: most that people have are in no rule
}

const markBits = 12

// mark is a cheap hash of a name.
func mark(name string) uint32 {
	n := len(name)
	if n == 0 {
		return 0
	}
	h := uint32(n) ^ uint32(name[0])<<24 ^ uint32(name[n/2])<<16 ^ uint32(name[n-1])<<8 ^ uint32(name[n-1-min(1, n-1)])
	return h * 2654435761 >> (32 - markBits) // Knuth's multiplicative hash
}

func (n *names) add(name string, next atomID) {
	if n.ids == nil {
		n.ids = map[string]atomID{}
	}
	n.ids[name] = next
	n.marks[mark(name)>>6] |= 1 << (mark(name) & 63)
	at, _ := slices.BinarySearch(n.order, name)
	n.order = slices.Insert(n.order, at, name)
}

// fill notes which of the names are in the list, which must be sorted.
func (n *names) fill(f *facts, list []string) {
	if len(list) <= 16*len(n.order) {
		n.fillUnsorted(f, list)
		return
	}
	for _, name := range n.order { // whoever is in thousands of groups
		if _, found := slices.BinarySearch(list, name); found {
			f.set(n.ids[name])
		}
	}
}

func (n *names) fillUnsorted(f *facts, list []string) {
	if len(n.ids) == 0 {
		return
	}
	for _, name := range list {
		if m := mark(name); n.marks[m>>6]>>(m&63)&1 != 0 {
			n.one(f, name)
		}
	}
}

// who finds the atoms that speak of who asks.
type who struct {
	roles, groups, scopes, services, providers names
	users                                      map[string]*names // subjects by provider
	claims, facts                              []valuesOf
	person, guest                              atomID           // a person has logged in; somebody came by a link
	mask                                       [bitWords]uint64 // all of these atoms
}

// valuesOf finds the atoms of a claim's or a fact's values.
type valuesOf struct {
	name string
	names
}

// of returns what finds the values of this name, making it at first use.
func of(list *[]valuesOf, name string) *valuesOf {
	for i := range *list {
		if (*list)[i].name == name {
			return &(*list)[i]
		}
	}
	*list = append(*list, valuesOf{name: name})
	return &(*list)[len(*list)-1]
}

// fill notes what the proof shows.
func (w *who) fill(f *facts, q *Query) {
	f.known = w.mask
	if !q.Who.Known() {
		return
	}
	id := q.Who.Identity()
	w.roles.fill(f, id.Roles)
	w.roles.fill(f, q.Granted)
	w.groups.fill(f, id.Groups)
	w.scopes.fill(f, q.Who.Credential().Scopes)
	switch {
	case id.Kind == identity.Person:
		f.set(w.person)
	case id.Kind == identity.Service && id.Provider == identity.HouseServices: // another issuer's program may have the same name
		w.services.one(f, id.Subject)
	case id.Kind == identity.Guest && id.Provider == identity.HouseLinks:
		f.set(w.guest)
	}
	w.providers.one(f, id.Provider)
	if subjects := w.users[id.Provider]; subjects != nil {
		subjects.one(f, id.Subject)
	}
	for i := range w.claims {
		w.claims[i].fillUnsorted(f, id.Claims[w.claims[i].name])
	}
	for i := range w.facts {
		w.facts[i].one(f, q.fact(w.facts[i].name))
	}
}

func (n *names) one(f *facts, name string) {
	if id, ok := n.ids[name]; ok {
		f.set(id)
	}
}

// networkSet reads addresses and prefixes.
func networkSet(values []string) (*prefixset.Set, error) {
	prefixes := make([]netip.Prefix, 0, len(values))
	for _, v := range values {
		p, err := netip.ParsePrefix(v)
		if addr, err2 := netip.ParseAddr(v); err != nil && err2 == nil && addr.Zone() == "" {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("network %q: write an address or a prefix, such as 10.0.0.0/8", v)
		}
		prefixes = append(prefixes, p)
	}
	set, err := prefixset.Options{AllowEverything: true}.New(prefixes...)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	return set, nil
}

// checkHosts refuses what is no host name, and what would never match.
func checkHosts(c *Condition) error {
	for _, v := range c.Values {
		name := strings.TrimPrefix(v, "*.")
		if name == "" || strings.ContainsAny(name, "*/:[]") || hostName(v) != v {
			return fmt.Errorf("host %q: write a name in lower case without port, such as app.example.com or *.example.com", v)
		}
	}
	return nil
}

// parseSegment reads <n> claim <name>.
func parseSegment(values []string) (a atom, err error) {
	if len(values) != 3 || values[1] != "claim" {
		return a, errors.New("segment: write `segment <n> claim <name>`: the path's nth segment is one of the claim's values")
	}
	n, err := strconv.Atoi(values[0])
	if err != nil || n < 1 || n > 32 {
		return a, fmt.Errorf("segment %q: segments are counted from 1 to 32", values[0])
	}
	return atom{word: "segment", nth: n, claim: values[2]}, nil
}
