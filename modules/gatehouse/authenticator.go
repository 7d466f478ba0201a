package gatehouse

import (
	"net/http"
	"sync"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
)

// Authenticator recognises one kind of credential that requests bring along by themselves, without a session: a bearer
// token, an API key, a client certificate, a link. Implementations are Caddy modules in the namespace
// gatehouse.authenticators; authn calls them, and alone makes a proof of what they say. All methods are safe for
// concurrent use.
type Authenticator interface {
	// Method is the kind of credential.
	Method() identity.Method
	// Testify returns who the request's credential stands for, having taken the credential out of the request unless its
	// site wants the backend to see it; nil and nil when it brings none of this kind. A [CredentialError] refuses the
	// request; after any other error nothing is known, and it is refused as unavailable.
	Testify(r *http.Request, req *Request) (*Testimony, error)
}

// Testimony is what an authenticator says about a credential that it has verified. It does not change; an authenticator
// may give the same one again for as long as it holds.
type Testimony struct {
	Identity   identity.Identity
	Credential identity.Credential
	// Check returns why the credential no longer counts, or nil. It is called again and again while a request runs, and
	// must be quick; nil: it counts until Credential.Until, if that says anything.
	Check func() error

	once  sync.Once
	proof identity.Proof
}

// Proof returns the proof that mint makes of the testimony, the same at each call. Only authn has a mint.
func (t *Testimony) Proof(mint func(identity.Identity, identity.Credential) identity.Proof) identity.Proof {
	t.once.Do(func() { t.proof = mint(t.Identity, t.Credential) })
	return t.proof
}

// CredentialError says that a request brought a credential that does not count, or not for this request.
type CredentialError struct {
	Reason    verdict.Reason
	Challenge string // the answer's WWW-Authenticate (RFC 9110 11.6.1); "": none of its own
	Err       error  // for operators; never holds the credential

	// Pass has the request go on as nobody's, since browsers send the credential everywhere: it is refused only where nobody
	// may pass. Forget is a cookie that the browser shall forget then; "": none.
	Pass   bool
	Forget string
}

// Error is for operators.
func (e *CredentialError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *CredentialError) Unwrap() error { return e.Err }
