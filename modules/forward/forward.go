package forward

import (
	"errors"
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
	Roles    Field = "roles"    // X-Gatehouse-Roles: those that the backend is to know of, comma-separated, sorted
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

// AllRoles among the roles that a backend is to know of means every role that there is.
const AllRoles = "*"

// maxRolesHeader is how many bytes of roles a backend is told: what many servers accept of a header.
const maxRolesHeader = 8 << 10

// errTooManyRoles says that a user has more roles than can be told. Half a list would be a wrong one.
var errTooManyRoles = errors.New("the roles are longer than a header may be: name those that the application needs, with `forward … { roles … }`")

// apply replaces every identity header in h by what the proof says and the site chose. Of the roles only those in known,
// which is sorted, are told; granted are those that the person holds for a while besides. The error is errTooManyRoles: then no role is.
func apply(h http.Header, fields []Field, known []string, p identity.Proof, granted ...string) (err error) {
	for _, name := range headers {
		delete(h, name)
	}
	delete(h, AssertionHeader)
	if !p.Known() {
		return nil
	}
	who := p.Identity()
	who.Roles = with(who.Roles, granted)
	for _, f := range fields {
		v := value(f, known, who)
		if f == Roles && len(v) > maxRolesHeader {
			v, err = "", errTooManyRoles
		}
		if v != "" {
			h[headers[f]] = []string{v}
		}
	}
	return err
}

// with adds to roles what somebody holds for a while, sorted.
func with(roles, granted []string) []string {
	if len(granted) == 0 { // Fast path
		return roles
	}
	all := slices.Concat(roles, granted)
	slices.Sort(all)
	return slices.Compact(all)
}

func value(f Field, known []string, who identity.Identity) string {
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
		return clean(told(who.Roles, known))
	}
	return ""
}

// told lists the roles that a backend is to know of, comma-separated.
func told(roles, known []string) string {
	return strings.Join(slices.DeleteFunc(selected(roles, known), func(role string) bool { return strings.Contains(role, ",") }), ",")
}

// selected returns those of the roles that a backend is to know of.
func selected(roles, known []string) []string {
	all := slices.Contains(known, AllRoles)
	var list []string
	for _, role := range roles {
		if _, found := slices.BinarySearch(known, role); found || all {
			list = append(list, role)
		}
	}
	return list
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
