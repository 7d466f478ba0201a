// Package pseudonym replaces what names people by keyed pseudonyms.
//
// # What
//
// A [Namer] belongs to one tenant. The same user or address has the same pseudonym on all records of an epoch, so that they can
// be counted and followed; another tenant's is another, and so is the next epoch's. Without the house's key nobody can tell
// whose it is, not by trying all addresses either. A pseudonym's prefix says what it stands for.
//
// # Invariants
//
// Pseudonyms are the first 80 bits of HMAC-SHA-256 under a key that HKDF makes of the newest master key, the tenant and the
// epoch. A new master key begins an epoch. What is not known to be nobody's in particular is replaced: [Namer.Path] and
// [Namer.Text] leave words, not values; [Agent] leaves names of browsers that it knows.
//
// # Cost
//
// About a microsecond and twelve allocations a pseudonym: for what is not on the request path.
package pseudonym
