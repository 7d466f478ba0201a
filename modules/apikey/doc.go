// Package apikey issues keys to programs, and lets them in by these: for service accounts, and for people's devices.
//
// # What
//
// An API key is a text that begins with ghk_, so that secret scanners find it where it should not be, and speaks for a
// service account or a person, for some hosts, paths, methods and networks, until it expires. [Book] issues, checks and
// revokes; [Authenticator] is the guest of authn that finds keys in requests: as a bearer token, as the password of HTTP
// Basic, or in a header that the site names. `gatehouse service-account` and `gatehouse api-key` manage both.
// Where an API takes tokens of the gateway's own, a key is exchanged for a short one ([Book.Mint], [AccessToken]: RFC 9068, ES256), which
// the authenticator accepts as what it is: less than the key, for a while.
// [Pairings] are programs that ask their users for a key (RFC 8628); the endpoints for these, the page on which people decide, and
// the one on which they see their keys, are here as well.
//
// # Place
//
// A guest of authn (gatehouse.authenticators.api_key), on every site. It answers /.gatehouse/account/keys and,
// where a site has device_pairing, below /.gatehouse/device; where an API takes tokens, /.gatehouse/token.
//
// # Reads / Writes
//
// Reads Request.Path, ClientIP, Site and the headers in which a key may stand, and takes it out of them. Writes none of
// Request's fields. Store buckets apikey (sealed, by the key's public id; index owner:<provider>:<hash>) and apikey.used (when
// a key was last used), apikey.device (sealed, by the SHA-256 of the device code; indexes code:<hash> and net:<hash>). Reads the buckets service and roster, whose foundations keep them; manages the former.
//
// # Invariants
//
// A key is known to whoever it was shown to, once: the store holds its SHA-256. It never reaches the backend unless the
// site says so, nor any log. It counts only while its account is enabled, or while its person may use the house and has
// logged in within 30 days, with the roles that these have now. A request with two different keys has none.
//
// A token counts at the APIs of its host that name its audience, as long as it says, and as long as its key does. Its head is one of
// those that this gateway writes, to the letter: no token chooses how it is verified. It is stored nowhere. It is made for a key that would
// count as a credential itself, where no ban by name and no switch is against it, for an API that the key has paths of, and is on record
// before anybody has it. At such an API, in any reading of the path, keys themselves open nothing.
//
// A pairing is approved by a person who is logged in, has proven what the house and the site demand, and was shown who asks for
// what; that is on record before it counts. It is good for one key. Device codes are stored as hashes; how many wait is bounded.
//
// # Fails
//
// 401 invalid_token: unknown, malformed, expired, revoked, of another tenant. 403 insufficient_scope: not for this host,
// path, method, network; 403 workspace_mismatch. 503 unavailable when the store cannot be asked.
//
// # Cost
//
// A token in use: one SHA-256 and look-ups, one small allocation; its signature (80 µs) every five minutes; 50 µs to make one.
// A key in use: one SHA-256, look-ups of key and owner, no store operation. Otherwise a read each. One small write per key
// and half a minute for when it was last used.
package apikey
