package ban

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/identity"
)

// Scope says what of a client a ban shuts out.
type Scope string

// The scopes.
const (
	ByClient  Scope = ""        // its network
	BySession Scope = "session" // the session, or other credential that is no API key, under the name that logs have for it
	ByUser    Scope = "user"    // whoever was proven, provider:subject
	ByTenant  Scope = "tenant"  // everybody of the tenant
	ByKey     Scope = "key"     // the API key, by its public id
)

// named are the scopes that need to know who asks, from the narrowest on.
var named = []Scope{BySession, ByKey, ByUser, ByTenant}

const maxName = 512

var errWhom = errors.New("want an address or a network, such as 192.0.2.1 or 2001:db8::/64, or user:<provider>:<subject>, session:<name>, key:<id>, tenant:<name>, as logs call them")

// Whom is what a ban shuts out: a client network, or somebody who is known by name.
type Whom struct {
	Scope   Scope        `json:"scope,omitempty"`
	Network netip.Prefix `json:"network,omitzero"` // of ByClient, and of nothing else
	Name    string       `json:"name,omitempty"`   // of the other scopes
}

func clients(network netip.Prefix) Whom { return Whom{Network: network} }

// ParseWhom reads what String writes, and addresses.
func ParseWhom(text string) (Whom, error) {
	if scope, name, ok := strings.Cut(text, ":"); ok && slices.Contains(named, Scope(scope)) {
		w := Whom{Scope: Scope(scope), Name: name}
		if !w.valid() {
			return Whom{}, errWhom
		}
		return w, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return clients(netip.PrefixFrom(addr, addr.BitLen())), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p != p.Masked() || p.Addr().Is4In6() {
		return Whom{}, errWhom
	}
	return clients(p), nil
}

func (w Whom) valid() bool {
	if w.Scope == ByClient {
		return w.Name == "" && w.Network.IsValid() && w.Network == w.Network.Masked() && !w.Network.Addr().Is4In6()
	}
	who, subject, ok := strings.Cut(w.Name, ":")
	return slices.Contains(named, w.Scope) && w.Network == netip.Prefix{} && w.Name != "" && len(w.Name) <= maxName &&
		(w.Scope != ByUser || ok && who != "" && subject != "")
}

// String is how operators write it.
func (w Whom) String() string {
	switch {
	case w.Scope != ByClient:
		return string(w.Scope) + ":" + w.Name
	case w.Network.IsSingleIP():
		return w.Network.Addr().String()
	}
	return w.Network.String()
}

// id is its key in the store. Of a network it always has a length.
func (w Whom) id() string {
	if w.Scope == ByClient {
		return w.Network.String()
	}
	return w.String()
}

// kind is what refusals call it: without the name, which the request's record has in a place of its own.
func (w Whom) kind() string {
	if w.Scope == ByClient {
		return "network " + w.Network.String()
	}
	return "the " + string(w.Scope)
}

// of returns what of the client it is that the scope shuts out; false when there is nothing of the sort.
func (s Scope) of(who identity.Proof) (Whom, bool) {
	w := Whom{Scope: s}
	switch {
	case !who.Known():
	case s == ByUser:
		w.Name = who.Name()
	case s == ByTenant:
		w.Name = who.Tenant()
	case (s == ByKey) == (who.Method() == identity.ByAPIKey) && s != ByClient:
		w.Name = who.Session()
	}
	return w, w.valid()
}

// isOf reports whether the ban of w hits who.
func (w Whom) isOf(who identity.Proof) bool {
	x, ok := w.Scope.of(who)
	return ok && x == w
}
