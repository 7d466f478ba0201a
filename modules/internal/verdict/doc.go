// Package verdict is the closed list of how a request can end at the gate.
//
// # What
//
// A Reason is one word that means the same in the page a person sees, the problem document a program gets, the
// metric, the log line and the event. A Verdict is a refusal as a value: rooms decide, admit renders. A Grant is the
// capability without which nothing reaches a backend; authz alone may mint one (kept by the architecture test).
//
// # Invariants
//
// Every reason has a status and belongs to the table; an unknown reason renders as internal. The zero Grant is no.
//
// # Cost
//
// Values; no allocation.
package verdict
