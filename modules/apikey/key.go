package apikey

import (
	"crypto/sha256"
	"encoding/base64"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/scope"
)

// Key is an issued key, without its text.
type Key struct {
	ID   string `json:"id"`
	Hash []byte `json:"hash,omitempty"` // SHA-256 of the text

	Account string `json:"account,omitempty"` // the service account it speaks for,
	Serial  string `json:"serial,omitempty"`  // and which of this name
	Person  Person `json:"person,omitzero"`   // or whose it is

	Scope      scope.Scope `json:"scope"`
	Scopes     []string    `json:"scopes,omitempty"` // as of an access token: what policies may ask for
	Workspaces []string    `json:"workspaces,omitempty"`
	Tenant     string      `json:"tenant,omitempty"` // of a person's key: whose sites it is for

	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by,omitempty"` // an operator, or the person themselves
	Note    string    `json:"note,omitempty"`

	used atomic.Int64 // when it was last used, as far as this copy knows; Unix seconds
	made atomic.Pointer[made]
}

// Person is somebody as an identity provider knows them.
type Person struct {
	Provider string `json:"provider"`
	Subject  string `json:"subject"`
}

// made is what a key proves, made of the owner as it was then.
type made struct {
	owner     any // the very record: *service.Account or *roster.Entry
	testimony *testimony
}

// owner names whose key it is, as logs do.
func (k *Key) owner() (provider, subject string) {
	if k.Account != "" {
		return identity.HouseServices, k.Account
	}
	return k.Person.Provider, k.Person.Subject
}

// Owner is provider:subject.
func (k *Key) Owner() string {
	provider, subject := k.owner()
	return provider + ":" + subject
}

// index is what the keys of an owner are found by: bounded in length, and telling nobody's name.
func index(provider, subject string) string {
	sum := sha256.Sum256([]byte(subject))
	return "owner:" + provider + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// credential is what the key is, for whoever decides by it.
func (k *Key) credential() identity.Credential {
	return identity.Credential{
		Method: identity.ByAPIKey, Name: k.ID, Since: k.Created, Until: k.Expires, Scopes: k.Scopes, Workspaces: k.Workspaces,
	}
}
