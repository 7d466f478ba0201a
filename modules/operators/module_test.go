package operators

import (
	"context"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// Two who may do different things have no socket in common, however its path is written: the kernel would deal out who answers.
func TestOneSocketEach(t *testing.T) {
	for name, s := range map[string]*Sockets{
		"two roles":            {Addresses: map[Role]string{Viewer: "unix//run/gh/a.sock|0660", Admin: "unix//run/gh/a.sock|0600"}},
		"a role and a tenant":  {Addresses: map[Role]string{Viewer: "unix//run/gh/a.sock"}, Tenants: map[string]string{"acme": "unix//run/gh/../gh//a.sock|0660"}},
		"tenants, two kinds":   {Tenants: map[string]string{"acme": "unix//run/gh/a.sock|0660", "basel": "unix+h2c//run/gh/./a.sock|0660"}},
		"relative, three ways": {Addresses: map[Role]string{Viewer: "unix/a.sock", Auditor: "unix/b.sock"}, Tenants: map[string]string{"acme": "unix/x/../b.sock"}},
	} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
		err := s.Provision(ctx)
		cancel()
		want := map[string][]string{
			"two roles": {"admin and viewer", "/run/gh/a.sock"}, "a role and a tenant": {"tenant_auditor acme and viewer"},
			"tenants, two kinds": {"tenant_auditor acme and tenant_auditor basel"}, "relative, three ways": {"auditor and tenant_auditor acme", " b.sock,"},
		}[name]
		for _, says := range append(want, "one socket") {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %q", name, err, says)
			}
		}
	}
}
