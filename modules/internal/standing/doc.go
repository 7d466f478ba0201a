// Package standing knows who may use the house at all: whether a person's account waits for approval, was approved,
// rejected, disabled or deleted, and since when what was issued to them counts.
//
// # What
//
// A [Book] holds one [Record] for each person of any identity provider who has been judged. Whoever accepts a
// credential (a session, a bearer token, an API key, a signed link) asks [Book.Allows] for each request, at the price of
// a look into the node's memory. Logins read the record itself ([Book.Get]), and administrators change it ([Book.Update]).
//
// # Invariants
//
//   - A person without a record is Unknown: Allows says yes, since their provider has vouched; whether that is enough to
//     log in is the provider's to say.
//   - When Update has returned, Allows says what it wrote on this node, and on every other as soon as the store's feed
//     has told it. A record that cannot be read allows nothing.
//   - The store knows people by hashes, and holds their records sealed.
//
// # Cost
//
// Allows: one atomic load while everybody is in good standing, otherwise a lock and one map look-up, and no
// allocation. Some 300 bytes for each person who is not, or whose credentials were revoked.
package standing
