// Package authn finds out who makes a request, and runs the pages on which people log in and out.
//
// # What
//
// The session cookie, the sessions behind it, the login flows, and the portal at /.gatehouse/ that drives the identity
// providers.
//
// # Place
//
// authenticate and portal stand after the WAF's head phase and before authorize.
//
// # Reads / Writes
//
// Writes Request.Identity and Challenger. Store buckets session (key: SHA-256 of the cookie; sealed; index
// user:<provider>:<subject>) and flow (used login flows, by id).
//
// # Invariants
//
// The only place that mints identity.Proof. A cookie is 256 random bits, known to the browser alone; the store holds
// its hash. A session is of one host and of no other. Idle and absolute limits are judged on a clock that cannot be
// set back while the process runs; a session that ended never comes back. A login flow belongs to the browser that
// began it and yields one session at the most. The return address never leaves the site.
//
// # Fails
//
// No or a dead session is not an error: nobody is proven, and authorize decides. 503 unavailable when the state cannot
// be read, 400 login_expired, 403 login_failed, 429 too_many_attempts, 503 provider_down, 404 not_found, 413
// body_too_large.
//
// # Cost
//
// A request with a session this node knows: no store operation, no allocation but the proof's copy; otherwise one
// read. One batched, not durable write per session and 30 s at the most.
package authn
