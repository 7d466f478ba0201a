package oidc

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestIdentityOf(t *testing.T) {
	tests := []struct {
		name    string
		claims  string
		claim   string // roles claim; default groups
		mapping map[string][]string
		roles   []string
		who     string // Name
		email   string
	}{
		{name: "list", claims: `{"groups":["staff","admin","staff"]}`, roles: []string{"admin", "staff"}},
		{name: "string", claims: `{"groups":"staff"}`, roles: []string{"staff"}},
		{name: "missing", claims: `{}`},
		{name: "null", claims: `{"groups":null}`},
		{name: "odd values are dropped", claims: `{"groups":["","a\nb","` + strings.Repeat("x", maxRole+1) + `"," a","ok"]}`, roles: []string{"ok"}},
		{name: "path", claims: `{"realm_access":{"roles":["a"]}}`, claim: "realm_access.roles", roles: []string{"a"}},
		{name: "path that leads nowhere", claims: `{"realm_access":"roles"}`, claim: "realm_access.roles"},
		{name: "name with dots", claims: `{"https://x.example/roles":["a"],"https://x":{"example/roles":["b"]}}`, claim: "https://x.example/roles", roles: []string{"a"}},
		{name: "mapping", claims: `{"groups":["G1","G2","admin"]}`, mapping: map[string][]string{"G1": {"admin", "staff"}, "G3": {"root"}}, roles: []string{"admin", "staff"}},
		{name: "mapping of nothing", claims: `{"groups":["admin"]}`, mapping: map[string][]string{}},
		{name: "name", claims: `{"name":"Ada Lovelace","preferred_username":"ada"}`, who: "Ada Lovelace"},
		{name: "user name", claims: `{"preferred_username":"ada"}`, who: "ada"},
		{name: "verified address", claims: `{"email":"a@b.c","email_verified":true}`, who: "a@b.c", email: "a@b.c"},
		{name: "verified as text", claims: `{"email":"a@b.c","email_verified":"true"}`, who: "a@b.c", email: "a@b.c"},
		{name: "unverified address", claims: `{"email":"ceo@b.c","email_verified":false}`},
		{name: "address without a word on it", claims: `{"email":"ceo@b.c"}`},
		{name: "verified 1", claims: `{"email":"ceo@b.c","email_verified":1}`},
		{name: "name with what cannot be seen", claims: `{"name":"A\u202eda\r\n\u0000 "}`, who: "Ada"},
		{name: "name too long", claims: `{"name":"` + strings.Repeat("ä", 200) + `"}`, who: strings.Repeat("ä", 128)},
		{name: "name that is an object", claims: `{"name":{}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Config{Name: "oidc", Issuer: "https://idp.example", RolesClaim: "groups", Roles: tt.mapping}
			if tt.claim != "" {
				cfg.RolesClaim = tt.claim
			}
			cl, err := parseClaims([]byte(tt.claims))
			if err != nil {
				t.Fatal(err)
			}
			cl["sub"], cl["iat"] = "u-1", json.Number("1000")
			who, err := (&Client{cfg: cfg}).identityOf(cl)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(who.Roles, tt.roles) || who.Name != tt.who || who.Email != tt.email {
				t.Errorf("got roles %q, name %q, e-mail %q; want %q, %q, %q", who.Roles, who.Name, who.Email, tt.roles, tt.who, tt.email)
			}
			if who.Subject != "u-1" || who.Issuer != cfg.Issuer || who.Provider != "oidc" || !who.AuthTime.Equal(time.Unix(1000, 0)) {
				t.Errorf("got %+v", who)
			}
		})
	}
}

func TestHowTheyLoggedIn(t *testing.T) {
	cl, _ := parseClaims([]byte(`{"sub":"u","iat":2000,"auth_time":1000,"acr":"urn:mace:incommon:iap:silver","amr":["pwd","otp","a b","x\ny",""]}`))
	who, err := (&Client{cfg: Config{RolesClaim: "groups"}}).identityOf(cl)
	if err != nil {
		t.Fatal(err)
	}
	if !who.AuthTime.Equal(time.Unix(1000, 0)) || who.ACR != "urn:mace:incommon:iap:silver" || !slices.Equal(who.AMR, []string{"pwd", "otp", "a b"}) {
		t.Errorf("got %+v", who)
	}
}

// Of further claims only those are taken that somebody reads, and only what is plainly a value.
func TestFurtherClaims(t *testing.T) {
	cl, err := parseClaims([]byte(`{"sub":"u-1","iat":1,"groups":["eng","hr"],"department":"it","level":3,"contractor":false,
		"ws":["acme","b"],"odd":{"a":1},"mixed":["a",{}],"blank":"","deep":{"x":["y"]},"unread":"z","dirty":"a\u0000b"}`))
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{cfg: Config{RolesClaim: "groups", Roles: map[string][]string{"eng": {"staff"}},
		Claims: func() []string {
			return []string{"department", "level", "contractor", "ws", "odd", "mixed", "blank", "deep.x", "missing", "dirty"}
		},
		Groups: func(of []string) []string { return of[1:] }}}
	who, err := c.identityOf(cl)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"department": {"it"}, "level": {"3"}, "contractor": {"false"}, "ws": {"acme", "b"}, "deep.x": {"y"}}
	if !reflect.DeepEqual(who.Claims, want) {
		t.Errorf("claims %v, want %v", who.Claims, want)
	}
	if !slices.Equal(who.Groups, []string{"hr"}) || !slices.Equal(who.Roles, []string{"staff"}) {
		t.Errorf("groups %v, roles %v", who.Groups, who.Roles)
	}
	c.cfg.Claims, c.cfg.Groups = nil, nil
	if who, err = c.identityOf(cl); err != nil || who.Claims != nil || who.Groups != nil {
		t.Errorf("unasked, it took %v and %v (%v)", who.Claims, who.Groups, err)
	}
}
