// Package oidc lets people log in with an OpenID Connect provider: the gateway is its relying party.
//
// # What
//
// Authorization code flow with PKCE (S256), nonce, and a state bound to the browser (OpenID Connect Core 3.1, RFC 7636,
// RFC 9700), and the RFC 9207 check against mix-up. [Client] is the engine: it sends a person to the provider, redeems
// the code they come back with, verifies the ID token (go-oidc for signature, issuer and audience; token.go for all that
// go-oidc leaves to its caller) and turns its claims into an identity. [Provider] is the Caddy module around it.
//
// # Place
//
// A guest of the house (gatehouse.identity_providers.oidc), called by the portal below /.gatehouse/login/<name>: Base
// itself sends the person away, /callback takes them back. The portal has checked the state before /callback is called,
// and lets each be used once.
//
// # Reads / Writes
//
// Reads Login.Flow and the query of the callback. Writes one redirect; everything else it returns. No store keyspace: the
// provider's metadata and keys are kept in memory, and the tokens are not kept at all.
//
// # Invariants
//
// An identity comes only from an ID token that this provider signed for this client, for this browser's nonce, after this
// login began. The client secret and the code go to the provider's token endpoint and nowhere else: requests follow no
// redirect, and are https but for a loopback provider under the word insecure_http. What the provider or the browser
// sends is bounded and never reflected to a person. Bad tokens, however many, cause one fetch of keys in 30 s at most.
// The house starts whether the provider is up or not.
//
// # Fails
//
// Provider unreachable, broken or too slow (10 s): provider_down. Anything wrong with what it says: login_failed, the cause
// in the error for operators. No valid state: login_expired. Another path: not_found; another method: method_not_allowed.
//
// # Cost
//
// No request but logins comes here. A login: one token request, sometimes one userinfo request, about 0.1 ms of CPU for
// the ID token. Metadata and keys are fetched behind the scenes when they are an hour old.
package oidc
