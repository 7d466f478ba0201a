// Package keyring keeps the gateway's master keys, and does with them what needs a key: seal, authenticate, sign.
//
// # What
//
// A [Ring] holds the master keys of one key file. One of them is active and makes new output: the newest whose time has come. Others
// still open and verify, which is the overlap of a rotation; so does a new one before its time, which is why other gateways and
// applications can know it before they meet it. A retired key opens stored boxes ([Ring.OpenStored]) and nothing else: what others
// hand in with it is nobody's. Callers name a purpose ("session", "audit"), and every purpose has keys of its own, derived by
// HKDF-SHA256.
//
// The key file is text, one key a line: "id time-RFC3339 base64 [retired]", with # comments. The id is a fingerprint of the key, so a
// damaged line is noticed.
//
// # Invariants
//
//   - The same purpose seals, authenticates and signs with three unrelated keys; two purposes share none.
//   - A box or signature names its key: exactly one key is tried, never a guess.
//   - No key is printed, marshalled or logged; errors hold none of the file's contents but line numbers.
//   - A key file that others may read is refused. It is written whole or not at all, and never overwritten by Create.
//   - The keys of a Ring change as a whole, by Adopt alone; each call sees the ones before or the ones after.
//
// # Cost
//
// A kilobyte, on a busy two-core machine: seal 3.3 µs, open 2.7 µs (3 allocations each), MAC 2.5 µs (6), sign 47 µs (1), verify 81 µs (0).
// The derived keys of the first 1024 purposes are kept; purposes must not come from requests.
package keyring
