// Package testenv tests Gatehouse from outside: the real binary, real sockets, real clients, a real application.
//
// # What
//
// Stories. The short ones are scripts/*.txtar, one file each; those that need load, raw bytes or randomness are Go
// tests, one file per concern. README.md explains the harness to a newcomer and how a story is added.
//
// # Invariants
//
// This package must not import gatehouse.internal/modules/...: what cannot be seen over HTTP, the command line, the log
// or the state directory is not tested here (kept by the architecture test). Only loopback addresses are used. Only
// processes that a test started are ended, by their id. Nothing waits for time to pass: a condition is polled, with
// a deadline.
package testenv
