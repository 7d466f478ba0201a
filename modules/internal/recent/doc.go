// Package recent remembers, for a while, what was found out about a credential, so that the next request with it need not
// find it out again.
//
// # What
//
// A [Map] from SHA-256 sums to values, each with a time until which it counts. The sum of a credential is its key, so
// that nothing in memory is the credential itself.
//
// # Invariants
//
// A value is never returned at or after its time. A map holds no more values than it was made for, whoever fills it; one
// that is full gives up those whose time is over, and else any.
//
// # Cost
//
// Get: one lock of 16, one look-up, no allocation.
package recent
