// Package gatehouse is the house: the Caddy app that every room of the gateway lives in.
//
// # What
//
// It opens the state (store, keys, event bus, audit log) once and keeps it over reloads, loads the identity providers, hardens
// every server that carries the gate, and owns the per-request [Request]. Rooms find it through [Of].
//
// # Place
//
// Layer 1: above the foundations, below every room. It serves no request itself.
//
// # Reads / Writes
//
// Writes only Request's verdict, through Deny and Challenge, for the room that calls them. Owns no store keyspace.
//
// # Invariants
//
// One [State] per state directory, however many configurations overlap. The TLS floor, SNI = Host, no 0-RTT, no HTTP/3 and
// strict forwarded-for hold on every policy of every gated server (I9). No site on a gated listener is without the
// gate. TCP connections are bounded, of one client and together (I10). An app that was not configured denies everyone: it has no provider, so nobody can be proven. What runs as somebody
// when another configuration takes over is judged by that one (review.go). In the modes strict and hybrid nobody is spoken to who is
// neither declared nor allowed (decisions/0028).
//
// # Fails
//
// Broken configuration: the load is refused with one sentence and its fix, and what ran before goes on. State that
// cannot be opened or is closed: [ErrClosed], which rooms answer with 503 unavailable, as they do a store that hangs.
//
// # Cost
//
// One atomic load for the state, one allocation for the request.
package gatehouse
