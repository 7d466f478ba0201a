// Package certstore keeps Caddy's certificates, keys and ACME accounts in the store that several gateways share.
//
// # What
//
// The module caddy.storage.gatehouse: `storage gatehouse` in the global options. One gateway obtains a certificate, and all have it;
// an internal authority is the same on all. Its locks keep two of them from obtaining the same one at a time.
//
// # Place
//
// No room of the request path: Caddy asks it when it loads and renews certificates.
//
// # Reads / Writes
//
// Buckets "certmagic" and "certlock" of the store. Names and values are sealed or hashed by the engine; values are also sealed
// with the house's keys, bound to their names, so that whoever has the server alone has no private key.
//
// # Invariants
//
// It has a connection of its own, which is opened when it is asked first: Caddy needs storage before the house has begun, and
// checking a configuration opens nothing. It counts as no gateway. What cannot be opened with the keys is an error, never an
// absence, so that no certificate is obtained anew for it. A lock whose holder has died is free after half a minute.
//
// # Fails
//
// The store does not answer: an error, which Caddy logs and tries again; certificates in memory go on. The embedded store is
// refused: it is one gateway's, and Caddy's files are as good.
//
// # Cost
//
// A round trip a call; List and Delete read the names of all that is kept.
package certstore
