// Package identity says who a request comes from, and carries the proof that somebody checked it.
//
// # What
//
// Identity is plain data: what an identity provider vouched for. Credential is what it was proven with: a session, a
// token, a key, a link, and what that may be used for. Proof is the capability that the rest of the
// gateway decides with. It can be made in one place only, [Prove], and the architecture test allows one room to
// call that place, [ProveBy] and [ProveFactor]: authn, after it has verified a credential. [Factor] is what a proof
// knows of a second factor.
//
// # Invariants
//
// The zero Proof means nobody. A Proof's identity never changes; a role change makes a new Proof.
//
// # Cost
//
// Copying a Proof copies four words; reading it allocates nothing.
package identity
