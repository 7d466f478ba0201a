package identity

import (
	"slices"
	"time"
)

// Kind says what an identity is of.
type Kind string

// The kinds.
const (
	Person  Kind = ""        // somebody with an account at an identity provider
	Service Kind = "service" // a service account: a program that acts for itself
	Guest   Kind = "guest"   // whoever was given a signed link
)

// Whom the gateway itself vouches for, as providers of identities. No identity provider may have these names.
const (
	HouseServices = "service" // service accounts; the subject is the account's name
	HouseLinks    = "link"    // signed links; the subject is the link's id
)

// KeyPrefix begins every API key that the gateway issues.
const KeyPrefix = "ghk_"

// Method says what kind of credential proved an identity.
type Method string

// The methods.
const (
	BySession     Method = "session"            // the cookie of a person who has logged in
	ByBearer      Method = "bearer"             // a token that an authorization server has signed
	ByAPIKey      Method = "api_key"            // a key that the gateway has issued
	ByCertificate Method = "client_certificate" // a TLS client certificate
	ByLink        Method = "link"               // the short session that a signed link was exchanged for
)

// Credential is what an identity was proven with. Only authn makes proofs of it.
//
// Name is what logs call it: never the credential itself. Since is when it began to count, Until when it stops; zero: the
// credential does not say. Scopes are what it may be used for, as its issuer put it; sessions have none. Workspaces are
// those of the tenant's parts that it is for.
type Credential struct {
	Method     Method
	Name       string
	Since      time.Time
	Until      time.Time
	Scopes     []string
	Workspaces []string

	user string // whose it is, provider:subject; ProveBy's
}

// noCredential is what nobody came with.
var noCredential Credential

func (p Proof) credential() *Credential {
	if p.by == nil {
		return &noCredential
	}
	return p.by
}

// Credential returns a copy of what the proof came from, sharing its slices, which must not be written; zero for nobody.
func (p Proof) Credential() Credential { return *p.credential() }

// Method says what kind of credential the proof came from; "" for nobody.
func (p Proof) Method() Method { return p.credential().Method }

// Until is when the credential stops to count; zero when it does not say, or for nobody.
func (p Proof) Until() time.Time { return p.credential().Until }

// HasScope reports whether the credential was issued with the scope. A session has none, nor has nobody.
func (p Proof) HasScope(scope string) bool {
	_, found := slices.BinarySearch(p.credential().Scopes, scope)
	return found && scope != ""
}

// InWorkspace reports whether the credential is for the workspace.
func (p Proof) InWorkspace(name string) bool {
	_, found := slices.BinarySearch(p.credential().Workspaces, name)
	return found && name != ""
}

// Kind says what was proven: a person, a service account or a guest. Nobody is no [Person]: ask [Proof.Known] first.
func (p Proof) Kind() Kind {
	if p.who == nil {
		return Person
	}
	return p.who.Kind
}

// Tenant is whose customer was proven; "" when there is only one, or for nobody.
func (p Proof) Tenant() string {
	if p.who == nil {
		return ""
	}
	return p.who.Tenant
}

// Ambient reports whether browsers send such credentials by themselves, whoever made them send the request.
func (m Method) Ambient() bool { return m == BySession || m == ByCertificate || m == ByLink }
