package apikey

import (
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/token"
)

// Prefix begins the text of every key.
const Prefix = identity.KeyPrefix

// keyText makes and reads the texts of keys.
const keyText = token.Kind(Prefix)

// Key is an issued key, without its text.
type Key struct {
	ID   string `json:"id"`
	Hash []byte `json:"hash,omitempty"` // SHA-256 of the text

	Account string       `json:"account,omitempty"` // the service account it speaks for,
	Serial  string       `json:"serial,omitempty"`  // and which of this name
	Person  owner.Person `json:"person,omitzero"`   // or whose it is

	Scope      scope.Scope `json:"scope"`
	Scopes     []string    `json:"scopes,omitempty"` // as of an access token: what policies may ask for
	Workspaces []string    `json:"workspaces,omitempty"`
	Tenant     string      `json:"tenant,omitempty"` // of a person's key: whose sites it is for
	// Certificate is the SHA-256, in hexadecimal, of the client certificate that the key's connections must show; "": any.
	Certificate string `json:"certificate,omitempty"`

	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by,omitempty"` // an operator, or the person themselves
	Note    string    `json:"note,omitempty"`

	used atomic.Int64 // when it was last used, as far as this copy knows; Unix seconds
	made atomic.Pointer[made]
}

// made is what a key proves, made of the owner as it was then.
type made struct {
	owner     any // the very record: *service.Account or *roster.Entry
	testimony *testimony
}

// whose is its owner.
func (k *Key) whose() owner.Owner {
	return owner.Owner{Account: k.Account, Serial: k.Serial, Person: k.Person, Tenant: k.Tenant}
}

// Owner is provider:subject.
func (k *Key) Owner() string { return k.whose().String() }

// credential is what the key is, for whoever decides by it.
func (k *Key) credential() identity.Credential {
	return identity.Credential{
		Method: identity.ByAPIKey, Name: k.ID, Since: k.Created, Until: k.Expires, Scopes: k.Scopes, Workspaces: k.Workspaces,
	}
}
