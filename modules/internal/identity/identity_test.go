package identity_test

import (
	"slices"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/identity"
)

func TestZeroProofIsNobody(t *testing.T) {
	var p identity.Proof
	if p.Known() || p.HasRole("") || p.HasRole("admin") || p.Is("", "") || p.Name() != "" || p.Session() != "" ||
		p.Method() != "" || p.HasScope("") || p.InWorkspace("") || p.Tenant() != "" || !p.Since().IsZero() || !p.Until().IsZero() {
		t.Fatalf("the zero proof stands for somebody: %+v", p)
	}
	if got := p.Identity(); got.Subject != "" {
		t.Fatalf("zero proof has identity %+v", got)
	}
}

func TestProve(t *testing.T) {
	tests := []struct {
		name  string
		who   identity.Identity
		known bool
	}{
		{"complete", identity.Identity{Provider: "local", Subject: "ada"}, true},
		{"no subject", identity.Identity{Provider: "local"}, false},
		{"no provider", identity.Identity{Subject: "ada"}, false},
		{"name and e-mail are not a subject", identity.Identity{Provider: "local", Name: "ada", Email: "ada@example.com"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := identity.Prove(tt.who, "s1", time.Now()).Known(); got != tt.known {
				t.Fatalf("Known() = %v, want %v", got, tt.known)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	roles := []string{"staff", "", "admin", "staff"}
	p := identity.Prove(identity.Identity{Provider: "local", Subject: "ada", Roles: roles}, "s1", time.Now())
	for role, want := range map[string]bool{"staff": true, "admin": true, "": false, "Admin": false, "sta": false} {
		if got := p.HasRole(role); got != want {
			t.Errorf("HasRole(%q) = %v, want %v", role, got, want)
		}
	}
	roles[0] = "root"
	if p.HasRole("root") {
		t.Error("the proof shares the caller's role slice")
	}
	if want := []string{"admin", "staff"}; !slices.Equal(p.Identity().Roles, want) {
		t.Errorf("roles = %q, want %q", p.Identity().Roles, want)
	}
}

func TestCredential(t *testing.T) {
	scopes := []string{"write", "", "read", "read"}
	who := identity.Identity{Provider: "service", Subject: "backup", Kind: identity.Service, Tenant: "acme"}
	until := time.Now().Add(time.Hour)
	p := identity.ProveBy(who, identity.Credential{Method: identity.ByAPIKey, Name: "k1", Until: until, Scopes: scopes, Workspaces: []string{"b", "a"}})
	if p.Kind() != identity.Service || p.Method() != identity.ByAPIKey || p.Session() != "k1" || p.Tenant() != "acme" || !p.Until().Equal(until) {
		t.Errorf("the proof is %+v of %+v", p.Credential(), p.Identity())
	}
	for scope, want := range map[string]bool{"read": true, "write": true, "": false, "Read": false, "rea": false} {
		if p.HasScope(scope) != want {
			t.Errorf("HasScope(%q) = %v", scope, !want)
		}
	}
	if !p.InWorkspace("a") || !p.InWorkspace("b") || p.InWorkspace("") || p.InWorkspace("A") {
		t.Errorf("workspaces %q", p.Credential().Workspaces)
	}
	scopes[0] = "root"
	if p.HasScope("root") {
		t.Error("the proof shares the caller's scopes")
	}
	if s := identity.Prove(who, "s1", time.Now()); s.Method() != identity.BySession || s.HasScope("read") {
		t.Errorf("a session is %+v", s.Credential())
	}
	if identity.ProveBy(identity.Identity{Provider: "link"}, identity.Credential{Name: "l"}).Known() {
		t.Error("a credential of nobody proves somebody")
	}
}

func TestFactor(t *testing.T) {
	totp := identity.Factor{Method: identity.TOTP, At: time.Now(), Age: time.Minute}
	if p := identity.ProveFactor(identity.Proof{}, &totp, time.Minute); p.Known() || p.Factor().Given() {
		t.Errorf("nobody has proven %+v", p.Factor())
	}
	p := identity.ProveFactor(identity.Prove(identity.Identity{Provider: "local", Subject: "ada"}, "s1", time.Now()), &totp, time.Minute)
	if f := p.Factor(); f != totp || p.Name() != "local:ada" || p.Session() != "s1" {
		t.Errorf("the proof is %+v", p)
	}
	undated := identity.Factor{Method: identity.ByProvider}
	future := identity.Factor{Method: identity.TOTP, At: time.Now(), Age: -time.Hour}
	for _, tt := range []struct {
		name string
		f    identity.Factor
		age  time.Duration
		want bool
	}{
		{"young enough", totp, time.Minute, true},
		{"too old", totp, time.Minute - 1, false},
		{"none", identity.Factor{Expected: true}, time.Hour, false},
		{"of unknown time", undated, time.Hour, false},
		{"of the future", future, time.Hour, false},
	} {
		if got := tt.f.Within(tt.age); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
