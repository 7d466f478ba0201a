// Package authn finds out who makes a request, and runs the pages on which people log in and out.
//
// # What
//
// The session cookie, the sessions behind it, the login flows, and the portal at /.gatehouse/ that drives the identity
// providers and the room of second factors. A session is renewed at its provider while it lasts, and whatever runs in it
// ends with it. `gatehouse session` and the administration endpoint list and revoke.
//
// # Place
//
// authenticate and portal stand after the WAF's head phase and before authorize.
//
// # Reads / Writes
//
// Writes Request.Identity and Challenger. Store buckets session (key: SHA-256 of the cookie; sealed; indexes
// user:<provider>:<hash of the subject> and sid:<provider>:<hash>), renew (leases of renewals), authn.clock, flow (used
// login flows, by id), and the portal's notice and kept. Reads people's standing, and files who waits for approval. Writes
// what providers say of people into the roster, at each login and renewal.
//
// # Invariants
//
// A second factor is noted in the session whose owner proved it; the first one gives the session another cookie. While the
// login of somebody who has a factor, or must have one, is not complete, they see no page but those that complete it.
//
// The only place that mints identity.Proof. A cookie is 256 random bits, known to the browser alone; the store holds
// its hash. A session is of one host and of no other. A session that ended never comes back. It ages on a clock that
// never goes back; across a restart, by a minute at the most and the time between. What pages do by themselves does not keep it alive. A
// renewal is stored, by compare-and-swap, before it is used, and is no use of the session. A request that runs in a
// session ends within a second of it, on every node; one that the policy of a new configuration would not let in, within a
// second of that. A login flow belongs to the browser that began it and yields one
// session at the most. The return address never leaves the site.
//
// # Fails
//
// No or a dead session is not an error: nobody is proven, and authorize decides. A credential that browsers send everywhere is
// none either where it does not count, unless nobody may pass there: then its reason is told, as link_invalid. 503 unavailable when the state cannot
// be read, 0.9 s later if it does not answer, 400 login_expired, 403 login_failed and what providers say in its place
// (clock_differs, groups_missing), 429 too_many_attempts, 403 account_pending and account_disabled, 503 provider_down (also
// a session that its provider has not renewed for the grace), 404 not_found, 413 body_too_large, 403 forbidden when the
// session ended before the answer began.
//
// # Cost
//
// A request with a session this node knows: no store operation; looking it up allocates nothing, being cut with it one
// small object. Otherwise one read. One batched, not durable write per session and 30 s at the most; one
// durable write a minute for the clock. Some 700 bytes a session at hand, 900 more at the most for the rhythm of what it
// asks for. One call to the provider, one goroutine and three writes per renewal, 256 at once.
package authn
