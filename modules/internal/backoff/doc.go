// Package backoff slows guessing down: after the nth failure in a row, the next attempt must wait 2^(n-1) seconds.
//
// # What
//
// A [Table] counts failures by [Key]: of a user from a network, say. An attempt is counted as failed before it is judged
// ([Table.Begin]), so that many made at once are not all the first one; success ends the streak ([Table.Succeeded]), and an
// attempt that nobody could judge is taken back ([Table.Undo]).
//
// # Invariants
//
// Nobody is locked out for good: no pause is longer than the table's longest. Memory is bounded, whatever is tried. It is this
// node's memory, and ends with the process.
//
// # Cost
//
// One lock, one map look-up; some 190 bytes a streak.
package backoff
