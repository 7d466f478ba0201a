// Package ledger keeps small records that every node must agree on and that requests are judged by: service accounts,
// keys.
//
// # What
//
// A [Ledger] is one bucket of the store whose records are sealed with the house's keys, and this node's copies of those in
// use. The store's feed tells it which copies are no longer good, so that a change made anywhere counts everywhere as soon
// as the feed has told it. A [Lapsing] is one whose records are in force for a while, and all at hand.
//
// # Invariants
//
// A record that [Ledger.Get] returns is shared and must not be written. What the store could not be asked about is an error,
// never an absence. A record that does not open is none: it was sealed by another house, or for another place. Updates are
// compare-and-swap; what Update or Delete has returned, Get says on this node. What lapses does so by this node's clock, while
// the store is away or silent, too; that it has is written, and told of once, when the store takes it.
//
// # Cost
//
// Get of a record in use: one lock, one look-up, no allocation. Otherwise one read of the store. At most the number of
// copies that the ledger was made for are kept.
package ledger
