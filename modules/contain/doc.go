// Package contain is the room of the switches that an operator throws in an incident, with one command, for a while.
//
// # What
//
// `gatehouse contain lock` closes a tenant, a site, a route or everything; `read-only` lets pass only what changes nothing;
// `step-up` asks everybody for a second factor that was proven since; `paranoia` has the WAF judge more strictly. Each has an end, a
// reason and an author, and is on record before it takes effect. The engine, and what a switch is, is internal/containment: the waf
// heeds it too.
//
// # Place
//
// After authenticate, bans by name and limits of users, so that the log says whom a switch has hit; before verify, the portal and
// authorize: what is locked asks nobody for anything, and no grant is minted. Paranoia is the waf's, at the head of the row.
//
// # Reads / Writes
//
// Reads Request.Run, Path, Site, Identity, and the house's second factors. Writes none of Request's fields. Keyspace containment,
// sealed; switches are kept there 90 days after their end.
//
// # Invariants
//
// Nothing is in force that is not in the audit log and in the store, nor longer than it says, seven days at the most. A switch is in force
// on every gateway of the store as soon as the store's feed tells of it, over reloads and restarts, and ends by this node's clock.
// A second after it was thrown, what it would refuse is cut: streams, downloads, websockets. No connection is
// dropped, but those that are a websocket; over HTTP/1.1 a refusal of what has a body ends its connection here as everywhere. The portal stays open: people can log in and out, prove factors and
// end sessions; only, while a site is locked or takes no changes, nobody pairs a program there and no program gets a token, which would
// be good for afterwards, or where no switch is heeded. The administration endpoint knows no switch. Who is asked for a factor is asked by the room of second factors, as
// the word mfa does; service accounts have none to prove, and pass step-up. A switch whose place is no site's is not thrown; one
// whose site leaves the configuration hits nobody.
//
// # Fails
//
// 503 locked and 503 read_only, both with Retry-After, which never says more than a quarter of an hour (RFC 9110 15.6.4, 10.2.3).
// step-up: 401 mfa_required. The state is closed: 503 unavailable. The audit log or the store cannot be written: no switch is
// thrown, and the command says so.
//
// # Cost
//
// One atomic load per request while no switch is in force, and an entry in a table of running requests (some 100 ns, no
// allocation); with switches, a walk over those in force, a hundred at the most. No store operation.
package contain
