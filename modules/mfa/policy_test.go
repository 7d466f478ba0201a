package mfa

import (
	"testing"
	"time"

	"gatehouse.internal/modules/internal/identity"
)

// TestVouched: what a token says counts as far as it proves it (controls CER-05, CER-08).
func TestVouched(t *testing.T) {
	p := policy{amr: defaultAMR, denyAMR: defaultDenyAMR, acr: []string{"urn:example:aal2"}}
	provesBy := func(acr string) bool { return acr == "phr" }
	for _, tt := range []struct {
		name string
		amr  []string
		acr  string
		want bool
	}{
		{"nothing", nil, "", false},
		{"a password", []string{"pwd"}, "", false},
		{"a one-time code", []string{"pwd", "otp"}, "", true},
		{"a security key", []string{"hwk"}, "", true},
		{"several factors", []string{"pwd", "mfa"}, "", true},
		{"a code by SMS", []string{"pwd", "sms"}, "", false},
		{"a code by SMS, called several factors", []string{"pwd", "sms", "mfa"}, "", false},
		{"a code by SMS, in capitals", []string{"pwd", "SMS", "mfa"}, "", false},
		{"a telephone call", []string{"pwd", "tel", "otp"}, "", false},
		{"a code by SMS and a class", []string{"sms"}, "urn:example:aal2", false},
		{"something new", []string{"pwd", "brainwave"}, "", false},
		{"a word with another in it", []string{"otpx"}, "", false},
		{"a class of the configuration's", nil, "urn:example:aal2", true},
		{"the provider's own class", nil, "phr", true},
		{"another class", []string{"pwd"}, "1", false},
		{"a prefix of a class", nil, "urn:example:aal", false},
	} {
		who := identity.Identity{AMR: tt.amr, ACR: tt.acr}
		if got := p.vouched(who, provesBy); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if (&policy{}).vouched(identity.Identity{AMR: []string{"mfa"}, ACR: "1"}, nil) {
		t.Error("the zero policy believes somebody")
	}
}

func TestDemands(t *testing.T) {
	p := policy{adminRoles: []string{"admin"}, roles: []string{"treasurer"}}
	proof := func(f identity.Factor, roles ...string) identity.Proof {
		who := ada
		who.Roles = roles
		return identity.ProveFactor(identity.Prove(who, "s", time.Now()), &f, 0)
	}
	for _, tt := range []struct {
		name string
		who  identity.Proof
		want bool
	}{
		{"nobody", identity.Proof{}, false},
		{"staff", proof(identity.Factor{}, "staff"), false},
		{"an administrator", proof(identity.Factor{}, "admin", "staff"), true},
		{"a role that the configuration names", proof(identity.Factor{}, "treasurer"), true},
		{"whoever has a factor", proof(identity.Factor{Expected: true}, "staff"), true},
	} {
		if got := p.demands(tt.who) != ""; got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
