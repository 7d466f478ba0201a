// Package bearer lets programs in by the access tokens that an authorization server has issued to them.
//
// # What
//
// A guest of authn (gatehouse.authenticators.bearer), which the site's word api configures: below these paths, tokens of
// these issuers, for this audience, with these scopes, and for the workspace that the request is about. Tokens are verified
// by the engine in idp/oidc (those of the gateway itself by whoever issues them, in apikey); here stands which of a site's APIs a request is for, and a memory of what was verified.
//
// # Invariants
//
// A token comes in one Authorization header of the scheme Bearer (RFC 6750 2.1), never in a query or a form. It never reaches
// the backend, unless the site says forward_token. A token that is bound to a client certificate (RFC 8705) counts on
// connections with that certificate only. What was verified is verified again after five minutes at the latest, so that a
// key which its issuer takes back stops counting.
//
// # Fails
//
// 401 invalid_token, 403 insufficient_scope and workspace_mismatch, each with the challenge of RFC 6750 3; 503 provider_down
// when the issuer's keys cannot be had.
//
// # Cost
//
// A token seen before: one SHA-256, one look-up, no allocation. One that was not: a signature check, some 50 µs. Bad ones,
// however many, cause one fetch of keys in 30 s.
package bearer
