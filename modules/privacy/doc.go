// Package privacy keeps what is people's data, and of no use to most who run the gateway, so that few can read it, and so that
// it can be taken away.
//
// # What
//
// A [Safe] keeps what the WAF's rules matched, encrypted to the recipients (age, C2SP) that the house names: analysts whose
// identities the gateway never sees. gatehouse reveal hands a sealed record out to a person with a role, a reason and a second
// factor proven just now, after a second person has approved it where the house says so; that it does is on record before.
//
// It also tells what the gateway keeps of a person, and erases that: gatehouse privacy. Rooms delete their own records
// (gatehouse.OnErase), the audit log's key of the person is destroyed, and the record of it, with its proof, is the certificate.
// A tenant that has left is erased so, with the people who are nobody else's, and the tenant's key for pseudonyms.
//
// # Place
//
// Outside the row: the WAF hands payloads over when a request has ended (gatehouse.PayloadKeeper). The house's word privacy.
//
// # Reads / Writes
//
// Writes the folder payloads of the state directory, one file a request, and the store's bucket privacy.approval. No field of
// Request.
//
// # Invariants
//
// No identity is here: what is in the safe can be deleted by the gateway, and read by nobody who has nothing but the gateway. A
// file holds in the clear the request's id and time, its site and tenant, the rules, and a hash of who made it. Files are there
// whole or not at all; at most as many as the house says, of at most maxPlain bytes each, and none older than it says. Nothing is handed out
// before the audit log has it that it will be.
//
// # Fails
//
// What comes faster than it can be sealed is dropped, and counted, as is what the disk does not take. When there are too many
// records the oldest go. A reveal that is refused says why, and the audit log has it.
//
// # Cost
//
// None for requests that match no rule. For others a copy of what matched and a slot in a queue; a goroutine encrypts (0.1 ms)
// and syncs one file.
package privacy
