package identity

import "time"

// The ways to prove a second factor.
const (
	TOTP       = "totp"        // a code of an authenticator application (RFC 6238)
	Passkey    = "passkey"     // WebAuthn, with user verification
	BackupCode = "backup_code" // one of the codes for the day on which all else is lost
	ByProvider = "provider"    // the identity provider's token says so
)

// Factor is what is known of a second factor behind a proof. The zero Factor: none was proven, and none is expected.
type Factor struct {
	// Method is how it was proven; "" when it was not.
	Method string
	// At is when, and Age how long before this request that was, on a clock that never goes back. Zero when nobody says.
	At  time.Time
	Age time.Duration
	// For names the one request that it was proven for, where an identity provider did it.
	For string
	// Expected says that the person has a second factor, so that the login is not complete without it.
	Expected bool
}

// Given reports whether a factor was proven at all in the session.
func (f Factor) Given() bool { return f.Method != "" }

// Within reports whether a factor was proven so short a time ago. Of one whose time is not known nobody can say that.
func (f Factor) Within(age time.Duration) bool {
	return f.Given() && !f.At.IsZero() && f.Age >= 0 && f.Age <= age
}

// ProveFactor returns the proof with what is known of a second factor behind it, seen from a request that comes age after
// f.At. Only authn may call it (kept by the architecture test). f must not change; its own Age does not count. Nobody
// proves nothing.
func ProveFactor(p Proof, f *Factor, age time.Duration) Proof {
	if p.Known() && f != nil {
		p.factor, p.age = f, age
	}
	return p
}

// Factor returns what is known of a second factor; the zero Factor for nobody.
func (p Proof) Factor() Factor {
	if p.factor == nil {
		return Factor{}
	}
	f := *p.factor
	f.Age = p.age
	return f
}
