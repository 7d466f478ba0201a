// Package mail sends messages to people, by way of one mail server.
//
// # What
//
// [SMTP] are an operator's words about the server, [Postman] sends by them: with TLS that is verified, or not at all, unless the
// settings say insecure_smtp_clear.
//
// # Invariants
//
// Post never waits. At most queueLength letters wait; none outlives the process, but what becomes of each that was taken is told, unless the process is killed. A password is never sent in the clear.
//
// # Cost
//
// A connection for each letter.
package mail
