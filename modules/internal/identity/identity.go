package identity

import (
	"slices"
	"time"
)

// Identity is what an identity provider vouched for.
//
// Subject is unique and never re-assigned within Issuer (OpenID Connect Core 2); only the pair names a person.
// Name and Email are for people to read: no decision may rest on them alone, since providers let users change them.
// Roles holds the house's role names, sorted and without duplicates (see [Identity.Normalize]).
// Kind tells people from programs and guests; Tenant is whose customer it is, where there are several; "" where not.
// AuthTime is when the user last proved who they are, which the provider itself says if Dated, and otherwise is when it
// vouched; AMR holds RFC 8176 method names as the provider gave them.
type Identity struct {
	Provider string    `json:"provider"`
	Issuer   string    `json:"issuer"`
	Subject  string    `json:"subject"`
	Kind     Kind      `json:"kind,omitempty"`
	Tenant   string    `json:"tenant,omitempty"`
	Name     string    `json:"name,omitempty"`
	Email    string    `json:"email,omitempty"`
	Roles    []string  `json:"roles,omitempty"`
	AMR      []string  `json:"amr,omitempty"`
	ACR      string    `json:"acr,omitempty"`
	AuthTime time.Time `json:"auth_time"`
	Dated    bool      `json:"dated,omitempty"`

	// Groups are the provider's own names, and Claims what else it says: of both, only what the house's policies ask for.
	// Groups are sorted and without duplicates.
	Groups []string            `json:"groups,omitempty"`
	Claims map[string][]string `json:"claims,omitempty"`
	// Facts are what the gateway itself has found out since, by name, such as [FactDevice]. No provider sets them.
	Facts map[string]string `json:"facts,omitempty"`
}

// FactDevice says whether the person has used this device before: DeviceKnown or DeviceUnknown.
const (
	FactDevice    = "device"
	DeviceKnown   = "known"
	DeviceUnknown = "unknown"
)

// Normalize sorts roles and groups and drops duplicates and empty names, so that they can be searched. A list that is in order
// already stays the very same slice, so that many identities can share one.
func (i *Identity) Normalize() { i.Roles, i.Groups = normal(i.Roles), normal(i.Groups) }

// normal returns the names sorted, each once, and none empty: the very same slice when it is so already.
func normal(names []string) []string {
	if ordered(names) {
		return names
	}
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 && names[0] == "" {
		names = names[1:]
	}
	return names
}

// ordered reports whether the names are sorted, each once, and none empty.
func ordered(names []string) bool {
	for i, name := range names {
		if name == "" || i > 0 && names[i-1] >= name {
			return false
		}
	}
	return true
}

// Proof is the fact that this request's credential was verified. The zero Proof is nobody.
// It is safe for concurrent use.
type Proof struct {
	who    *Identity
	by     *Credential
	factor *Factor // nil: nothing is known
	age    time.Duration
}

// Prove makes a Proof from a session. Only authn may call it (kept by the architecture test), and only after it has
// verified the credential. session names the session in logs and events; it must not be the credential itself.
// An identity without a provider or a subject proves nobody.
func Prove(who Identity, session string, since time.Time) Proof {
	return ProveBy(who, Credential{Method: BySession, Name: session, Since: since})
}

// Suppose makes a proof of nothing: for asking a policy what it would say, if it were so. Only authz may call it, and must
// never put what it gets into a request.
func Suppose(who Identity, by Credential) Proof { return ProveBy(who, by) }

// ProveBy is [Prove] for any credential. Its scopes and workspaces are sorted for the searches that follow.
func ProveBy(who Identity, by Credential) Proof {
	if who.Subject == "" || who.Provider == "" {
		return Proof{}
	}
	who.Normalize()
	by.Scopes, by.Workspaces = normal(by.Scopes), normal(by.Workspaces)
	by.user = who.Provider + ":" + who.Subject // which several rooms ask for with each request
	who.Provider, who.Subject = by.user[:len(who.Provider)], by.user[len(who.Provider)+1:]
	return Proof{who: &who, by: &by}
}

// Known reports whether somebody was proven.
func (p Proof) Known() bool { return p.who != nil }

// Identity returns a copy of who was proven, sharing its slices, which must not be written; zero when nobody was.
func (p Proof) Identity() Identity {
	if p.who == nil {
		return Identity{}
	}
	return *p.who
}

// HasRole reports whether the proven identity holds the role. Nobody holds none.
func (p Proof) HasRole(role string) bool {
	if p.who == nil || role == "" {
		return false
	}
	_, found := slices.BinarySearch(p.who.Roles, role)
	return found
}

// Claim returns the values of a claim, which must not be written; nil when the provider did not say it, or for nobody.
func (p Proof) Claim(name string) []string {
	if p.who == nil {
		return nil
	}
	return p.who.Claims[name]
}

// Fact returns what the gateway has found out about the person under this name; "" when nothing.
func (p Proof) Fact(name string) string {
	if p.who == nil {
		return ""
	}
	return p.who.Facts[name]
}

// Is reports whether the proof is for this subject of this provider.
func (p Proof) Is(provider, subject string) bool {
	return p.who != nil && subject != "" && p.who.Provider == provider && p.who.Subject == subject
}

// Name returns what logs call the user: "provider:subject", or "" for nobody.
func (p Proof) Name() string {
	if p.who == nil {
		return ""
	}
	return p.by.user
}

// Provider is who vouched; "" for nobody.
func (p Proof) Provider() string {
	if p.who == nil {
		return ""
	}
	return p.who.Provider
}

// Subject is the proven identity's; "" for nobody.
func (p Proof) Subject() string {
	if p.who == nil {
		return ""
	}
	return p.who.Subject
}

// Session names the session, or other credential, that the proof came from; "" for nobody.
func (p Proof) Session() string { return p.credential().Name }

// Since is when the credential began to count; zero for nobody.
func (p Proof) Since() time.Time { return p.credential().Since }
