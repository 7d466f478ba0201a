package oidc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gatehouse.internal/modules/internal/identity"
)

// Bounds of what is taken over from claims.
const (
	maxRoles    = 4096 // values of the roles claim without a mapping; more end the login, since half a list is a wrong one
	maxRole     = 128  // bytes in a role
	maxText     = 256  // bytes in a name, an e-mail address, an ACR, a value of a further claim
	maxValues   = 256  // values of a further claim; of one with more, none is taken
	maxAMR      = 16
	maxAMRBytes = 64
)

// identityOf turns verified claims into an identity.
//
// The e-mail address is taken only when the provider says that it has verified it: some let people write any address into
// their profile. Roles come from the roles claim; with a mapping, a value that it does not name gives no role.
func (c *Client) identityOf(cl claims) (*identity.Identity, error) {
	subject, err1 := cl.text("sub")
	acr, err2 := cl.text("acr")
	amr, err3 := cl.texts("amr")
	authTime, known, err4 := cl.time("auth_time")
	issued, _, err5 := cl.time("iat")
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	roles, groups, err := c.rolesOf(cl)
	if err != nil {
		return nil, err
	}
	who := &identity.Identity{
		Provider: c.cfg.Name, Issuer: c.cfg.Issuer, Subject: subject,
		Name: cl.shown("name"), Roles: roles, ACR: clean(acr), AuthTime: issued, Groups: groups, Claims: c.further(cl),
	}
	if who.Dated = known; known {
		who.AuthTime = authTime
	}
	if cl.verified() {
		who.Email = cl.shown("email")
	}
	for _, name := range []string{cl.shown("preferred_username"), who.Email} {
		if who.Name == "" {
			who.Name = name
		}
	}
	for _, m := range amr {
		if len(m) > 0 && len(m) <= maxAMRBytes && clean(m) == m && len(who.AMR) < maxAMR {
			who.AMR = append(who.AMR, m)
		}
	}
	who.AuthTime = who.AuthTime.UTC().Truncate(time.Second)
	who.Normalize()
	return who, nil
}

// errGroups says that the provider did not send what a person's roles are made of, and that they cannot be had otherwise.
var errGroups = errors.New("groups not delivered")

// rolesOf returns the house's roles for the claims, and the groups that it wants to know of. A claim of the wrong shape ends the login: it is a mistake in the
// configuration of either side, and better named than met as a person without roles.
func (c *Client) rolesOf(cl claims) (roles, groups []string, err error) {
	v, _ := cl.at(c.cfg.RolesClaim)
	values, err := asTexts(c.cfg.RolesClaim, v)
	if err != nil {
		return nil, nil, fmt.Errorf("roles: %w", err)
	}
	if v == nil && cl.overage(c.cfg.RolesClaim) {
		return nil, nil, fmt.Errorf("%w: the provider left %q out of the token because there are too many values: have it send only those assigned to this client, or say `groups_overage graph`", errGroups, c.cfg.RolesClaim)
	}
	if c.cfg.Groups != nil {
		groups = c.cfg.Groups(values)
	}
	if c.cfg.Roles != nil {
		for _, value := range values {
			roles = append(roles, c.cfg.Roles[value]...)
		}
		if len(groups) > maxRoles {
			return nil, nil, fmt.Errorf("groups: %d values in %q, of which %d can be kept, and a policy reads them all", len(groups), c.cfg.RolesClaim, maxRoles)
		}
		return roles, groups, nil
	}
	if len(values) > maxRoles {
		return nil, nil, fmt.Errorf("roles: %d values in %q, of which %d can be kept: map those that matter with `role`", len(values), c.cfg.RolesClaim, maxRoles)
	}
	for _, value := range values {
		if value != "" && len(value) <= maxRole && clean(value) == value {
			roles = append(roles, value)
		}
	}
	return roles, groups, nil
}

// further returns the claims that somebody wants to know of besides. One of another shape than texts, numbers and truths, or
// too large, is left out, so that nothing rests on it.
func (c *Client) further(cl claims) map[string][]string {
	if c.cfg.Claims == nil {
		return nil
	}
	found := map[string][]string{}
	for _, name := range c.cfg.Claims() {
		v, _ := cl.at(name)
		if values := simple(v); len(values) > 0 {
			found[name] = values
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

// simple returns a claim's value, or values, as texts; nil when it has none, or they are of another shape.
func simple(v any) (values []string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) > maxValues {
		return nil
	}
	for _, v := range list {
		var text string
		switch v := v.(type) {
		case string:
			text = v
		case json.Number:
			text = v.String()
		case bool:
			text = strconv.FormatBool(v)
		}
		if text == "" || len(text) > maxText || clean(text) != text {
			return nil
		}
		values = append(values, text)
	}
	return values
}

// at returns the claim of this name, or else what the path of this name leads to, as in realm_access.roles. The name
// comes first: namespaced claims such as https://example.com/roles have dots in them.
func (c claims) at(path string) (v any, there bool) {
	if v, there = c[path]; there {
		return v, true
	}
	var here any = map[string]any(c)
	for step := range strings.SplitSeq(path, ".") {
		object, ok := here.(map[string]any)
		if !ok {
			return nil, false
		}
		if here, ok = object[step]; !ok {
			return nil, false
		}
	}
	return here, true
}

// verified reports whether the provider has verified the e-mail address. Some write the boolean as a string.
func (c claims) verified() bool {
	v := c["email_verified"]
	return v == true || v == "true"
}

// shown returns a claim for people to read; "" when it is missing or no string.
func (c claims) shown(name string) string {
	text, _ := c[name].(string)
	return clean(text)
}

// clean returns text without what cannot be seen, cut to maxText bytes.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return strings.TrimSpace(text)
}
