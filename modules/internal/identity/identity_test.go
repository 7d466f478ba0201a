package identity_test

import (
	"slices"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/identity"
)

func TestZeroProofIsNobody(t *testing.T) {
	var p identity.Proof
	if p.Known() || p.HasRole("") || p.HasRole("admin") || p.Is("", "") || p.Name() != "" || p.Session() != "" {
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
