// Package mfa keeps people's second factors, has them prove one, and says which requests come with enough proof.
//
// # What
//
// Codes of authenticator applications (RFC 6238), passkeys and security keys (WebAuthn, with user verification), and ten
// backup codes, of whoever logs in, whichever identity provider vouches for them. [Module] shows the pages below
// /.gatehouse/mfa, judges requests for authorize, and binds a proof to the one request that it was given for. `gatehouse
// mfa` and the administration endpoint list and reset. There is no factor by SMS or telephone.
//
// # Place
//
// No handler: the portal hands it the requests to its pages, authorize asks it about each request that it would grant.
//
// # Reads / Writes
//
// Reads Request.Identity and Path. Writes none of Request's fields. Store buckets mfa (one sealed record a person, under a
// hash), mfa.guard (attempts), mfa.flow (forms that were used), mfa.kept (forms that wait, sealed), mfa.ticket (proofs that
// wait for their request, sealed).
//
// # Invariants
//
// A code works once: the last step is stored by compare-and-swap, and none before it is taken whatever the clock says. A
// backup code works once, and is stored as a hash. A passkey must have verified its user, and its count never goes back. A
// ticket passes one request, of one session: the one whose method, address and body it was given for. What an identity
// provider says of factors counts only as far as its token proves it, and never when it names a method that is denied.
// Whoever holds an administrative role reaches no application without a factor (control CER-05).
//
// # Fails
//
// 401 mfa_required (a page load is led to the page that asks; programs are told as RFC 9470 has it), 413 body_too_large for
// what is to be confirmed and is too large, 429 too_many_attempts, 503 unavailable when the state cannot be read.
//
// # Cost
//
// A request that needs no more proof than its session has: no store operation, no allocation. One that needs a proof of its
// own: its body in memory (1 MiB at most), and two store operations. A login: one read. A proof: four store operations; a
// passkey's is some 0.3 ms of a processor.
package mfa
