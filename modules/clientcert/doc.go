// Package clientcert takes TLS client certificates: it judges them, and knows whom they are bound to.
//
// # What
//
// A site says by client_certificates which authorities' certificates count. [Trust] verifies what a client shows: chain, times,
// purpose, revocation lists. [Book] holds the bindings that make a certificate speak for a service account or a person, and
// what operators have revoked. [Handler] refuses clients whose certificate does not count; [Authenticator] is the guest of
// authn that lets in whom one is bound to. `gatehouse client-certificate` manages both.
//
// # Place
//
// The handler stands before the WAF, after limits, on sites that have the word; the guest in authn, after sessions: browsers
// show certificates by themselves.
//
// # Reads / Writes
//
// Reads the connection's certificate, Request.Path, ClientIP and Site; never a header. Writes Request.Certificate. Store
// buckets clientcert (sealed, by what the certificate is named by; index owner:<provider>:<hash>) and clientcert.revoked
// (sealed). Reads the buckets service and roster, whose foundations keep them.
//
// # Invariants
//
// TLS asks by server name, which equals the host, and connections that were asked are not resumed; each request is judged by
// its own site's authorities all the same, so that nothing that TLS remembers counts. A certificate that is bound to nobody
// is nobody. A binding counts only while its account is enabled, or while its person may use the house and has logged in
// within 30 days, with the roles that these have now; it proves no second factor. A list of revocations that is missing, or
// has ended, refuses.
//
// # Fails
//
// In TLS, where a certificate is required: certificate_required, unknown_ca, certificate_expired, bad_certificate. As a
// request: 403 certificate_refused, for what is revoked, and for everything where certificates are optional; 503 unavailable
// when the store cannot be asked.
//
// # Cost
//
// A certificate seen within a minute: one SHA-256, look-ups of revocations, binding and owner, no store operation. Otherwise
// one verification of its chain, and a read each.
package clientcert
