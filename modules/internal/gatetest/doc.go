// Package gatetest runs the gateway inside a test: Caddy with whatever modules the test links, on ports of its own,
// with a certificate that only the test's client trusts. For tests alone.
//
// # What
//
// A Gateway is one Caddy instance; Caddy has one per process, so tests that use it must not run in parallel.
//
// # Invariants
//
// Nothing outside the test's temporary directory is written, nothing but loopback is listened on, and everything is
// stopped and its goroutines are gone when the test ends.
//
// # Cost
//
// A few milliseconds a load, plus what the linked modules cost (the WAF: about a second the first time).
package gatetest
