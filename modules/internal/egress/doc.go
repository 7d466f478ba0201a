// Package egress says whom the process may speak to, and asks before it does.
//
// # What
//
// A [Policy] is a mode and what an operator allows. While one is in force ([Use]), everything that dials by way of this package
// asks it: the rooms by [DialContext] or [Dialer], and after [Install] whatever uses Go's default transport or its default
// resolver, which is nearly all of what Caddy and its libraries fetch.
//
// # Invariants
//
// Without a policy, and in mode connected, everything is dialled. In the other modes a destination is this machine, an address
// or a name that is allowed, or an application that is declared; everything else is refused before a packet leaves, counted, and
// told once an hour for each destination. In mode strict no name is looked up. A refusal is never a pause: it comes at once.
//
// # Cost
//
// In mode connected one atomic load a connection; else one look into a map and a short list.
package egress
