// Package breakglass lets somebody in when the usual ways are shut: with a code that was made beforehand, printed and
// sealed (control CAL-06).
//
// # What
//
// [Seals] makes and breaks the codes: 125 random bits each, shown once, stored as hashes, good for one use. [Provider] is the
// Caddy module around them: a page that takes a code and the purpose it is used for, and vouches for a session with the
// roles of the code that ends after half an hour. `gatehouse break-glass` makes the codes, uses one from the command line,
// and says how many are left.
//
// # Place
//
// A guest of the house (gatehouse.identity_providers.break_glass), reached at /.gatehouse/break-glass, which leads to the
// portal's /.gatehouse/login/break_glass. It asks nobody: no identity provider, no network, no name.
//
// # Reads / Writes
//
// Store: bucket "seal", one sealed record a code, under its hash; "seal.used", which were broken, when and why, for 400 days;
// "seal.link", links that `break-glass use` makes. Events: break_glass.sealed, break_glass.used (at level error),
// break_glass.request for each request of such a session, break_glass.unsealed at each start without codes.
//
// # Invariants
//
// A code is in no log, event, error or page, and works once, however many send it at the same time. Nothing is opened without a
// purpose in words. Breaking a seal is told before the session exists. A session ends with its time, whatever it is used
// for, with what runs in it. Making new codes voids the old ones, unless they are to be kept.
//
// # Fails
//
// A wrong code, or none of purpose: the form again, and the event login.failed. Too many in a row from one network:
// too_many_attempts, half a minute at the most. The store: unavailable.
//
// # Cost
//
// Nothing until it is used: then two reads and three writes of the store.
package breakglass
