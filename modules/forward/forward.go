package forward

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/identity"
)

// Field is one thing about the user that a backend may be told.
type Field string

// The fields, with the header each is sent in.
const (
	User     Field = "user"     // X-Gatehouse-User: the subject
	Provider Field = "provider" // X-Gatehouse-Provider: the identity provider's name
	Name     Field = "name"     // X-Gatehouse-Name: for display, UTF-8
	Email    Field = "email"    // X-Gatehouse-Email
	Roles    Field = "roles"    // X-Gatehouse-Roles: comma-separated, sorted
)

var headers = map[Field]string{
	User: "X-Gatehouse-User", Provider: "X-Gatehouse-Provider", Name: "X-Gatehouse-Name",
	Email: "X-Gatehouse-Email", Roles: "X-Gatehouse-Roles",
}

// defaultFields are what a backend needs to tell users apart and what they may do; names and addresses are personal
// data that a site asks for (control BRF-19).
var defaultFields = []Field{User, Roles}

func validate(fields []Field) error {
	for i, f := range fields {
		if _, ok := headers[f]; !ok {
			return fmt.Errorf("forward: unknown field %q: the fields are user, provider, name, email, roles", f)
		}
		if slices.Contains(fields[:i], f) {
			return fmt.Errorf("forward: %q stands twice", f)
		}
	}
	return nil
}

// apply replaces every identity header in h by what the proof says and the site chose.
func apply(h http.Header, fields []Field, p identity.Proof) {
	for _, name := range headers {
		delete(h, name)
	}
	if !p.Known() {
		return
	}
	who := p.Identity()
	for _, f := range fields {
		if v := value(f, who); v != "" {
			h[headers[f]] = []string{v}
		}
	}
}

func value(f Field, who identity.Identity) string {
	switch f {
	case User:
		return clean(who.Subject)
	case Provider:
		return clean(who.Provider)
	case Name:
		return clean(who.Name)
	case Email:
		return clean(who.Email)
	case Roles:
		roles := slices.DeleteFunc(slices.Clone(who.Roles), func(r string) bool { return strings.Contains(r, ",") })
		return clean(strings.Join(roles, ","))
	}
	return ""
}

// clean drops what may not stand in a header value (RFC 9110 5.5): controls, and blanks at the ends.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}
