// Package forward tells the backend who the user is, as the last word before the proxy.
//
// # What
//
// Sets the identity headers that the site chose, from the proof alone, and takes the gateway's own cookies out.
// A site can have its application told in a signed form too (assertion.go), which it verifies with keys that the portal
// publishes.
//
// # Place
//
// The last room before the backend, so that nothing can be rewritten after it.
//
// # Reads / Writes
//
// Reads Request.Grant, Audited, Identity and Site. Writes none of Request's fields. No store keyspace.
//
// # Invariants
//
// Nothing passes without a Grant (I1), and nothing to an audited route that is not on record. A header is either absent or the gateway's own (I2): it is deleted before it
// is set. No value holds a control character. Of the roles the backend is told those that the site names, and none with a
// comma in it; what would not fit into a header is not told at all. The session cookie stays here.
//
// # Fails
//
// 500 internal without a Grant; 503 unavailable when an assertion cannot be signed, or the record of an audited route be written.
//
// # Cost
//
// No store operation; one allocation per header. A signature (some 30 µs) a minute for each user of a site with
// assertions, and its text as a sum for each request.
// A request to an audited route waits for one fsync, shared with others.
package forward
