// Package oidc lets people log in with an OpenID Connect provider: the gateway is its relying party.
//
// # What
//
// Authorization code flow with PKCE (S256), nonce, and a state bound to the browser (OpenID Connect Core 3.1, RFC 7636,
// RFC 9700), the RFC 9207 check against mix-up, pushed requests where offered (RFC 9126), and a secret or a private key of
// the client's (RFC 7523). [Client] is the engine: it sends a person to the provider, redeems the code they come back with,
// verifies the ID token (go-oidc for signature, issuer and audience; token.go for all that go-oidc leaves to its caller) and
// turns its claims into an identity. While the session lasts it renews it (renew.go), and at its end it ends the provider's
// too, or is told of that (logout.go). [Provider] is the Caddy module around it. Of programs that bring access tokens it
// verifies these (access.go), for the guest in bearer.
//
// # Place
//
// A guest of the house (gatehouse.identity_providers.oidc), called by the portal below /.gatehouse/login/<name>: Base
// itself sends the person away, /callback takes them back, /backchannel-logout is the provider's. The portal has checked
// the state before /callback is called, and lets each state and each logout token be used once.
//
// # Reads / Writes
//
// Reads Login.Flow and the query of the callback. Writes one redirect; everything else it returns: the refresh token, the
// ID token (at most 16 KiB of each) and what renewals are held against go into Vouching.Keep (keep.go has the encoding).
// Owns the store's bucket oidc, sealed with the house's keys for the purpose oidc.shelf: the provider's metadata and keys as
// they last were (a week), and refresh tokens that came in a renewal which could not be finished (an hour).
//
// # Invariants
//
// An identity comes only from an ID token that this provider signed for this client, for this browser's nonce, after this
// login began; a renewed one must be about the same person, client and login, and never makes the login look younger.
// Secrets, codes and refresh tokens go to the provider's token endpoint and nowhere else: requests follow no redirect, and
// are https but for a loopback provider under the word insecure_http. What one provider says is nothing at another. What
// the provider or the browser sends is bounded and never reflected to a person. Bad tokens, however many, cause one fetch
// of keys in 30 s at most. A refresh token that replaces another is not lost when the provider fails after it. The house
// starts whether the provider is up or not.
//
// # Fails
//
// Provider unreachable, broken or too slow: provider_down, after 4 s when it is asked before anybody is sent there, 10 s
// later on. Anything wrong with what it says: login_failed, the cause in the error for operators. No valid state:
// login_expired. Another path: not_found; another method: method_not_allowed. A renewal ends the session when the provider
// answers invalid_grant or speaks of somebody else; any other failure means: not now. Sessions, logouts and logout tokens go
// on with the last good metadata and keys. Errors about times name the difference of the clocks: clock_differs when that
// explains them. Groups that did not come along: groups_missing.
//
// # Cost
//
// No request but logins, renewals and logouts comes here. A login: one token request, sometimes one userinfo request, one
// pushed request where offered, one look at the provider when nobody had one for 30 s; about 0.1 ms of CPU for the ID
// token. Metadata and keys are fetched behind the scenes, at random within the last quarter of an hour's age.
package oidc
