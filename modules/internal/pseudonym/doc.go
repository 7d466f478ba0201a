// Package pseudonym replaces what names people by keyed pseudonyms.
//
// # What
//
// A [Namer] belongs to one tenant. The same user or address has the same pseudonym on all records of an epoch, so that they can
// be counted and followed; another tenant's is another, and so is the next epoch's. Without the tenant's key nobody can tell
// whose it is, not by trying all addresses either. A pseudonym's prefix says what it stands for.
//
// A [Veil] puts them over what happened, for records and log lines alike.
//
// [Keys] are the tenants' keys, one each, in the store's bucket pseudonym, sealed, so that all gateways on one store give the same
// pseudonyms. A key is random, not derived: [Keys.Destroy] ends what could be found out with it.
//
// # Invariants
//
// Pseudonyms are the first 80 bits of HMAC-SHA-256 under a key that HKDF makes of the tenant's key and the epoch. What is not
// known to be nobody's in particular is replaced: [Namer.Path] and [Namer.Text] leave words, not values; [Agent] leaves names of
// browsers that it knows. Where a tenant's key is destroyed, or was never made, its pseudonyms are of a key that this process alone
// has, and forgets. While the store cannot be asked, the key that was known last still counts.
//
// # Cost
//
// About a microsecond and a dozen allocations a pseudonym: for what is not on the request path. A tenant's key is at hand.
package pseudonym
