package forward

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse.internal/modules/internal/identity"
)

func TestApply(t *testing.T) {
	who := identity.Identity{
		Provider: "corp", Subject: "ada", Name: " Ada\r\nX-Evil: 1 Löwe\x00", Email: "ada@example.com",
		Roles: []string{"staff", "a,b", "admin"},
	}
	tests := []struct {
		name   string
		fields []Field
		proof  identity.Proof
		want   map[string]string
	}{
		{"nobody", defaultFields, identity.Proof{}, map[string]string{}},
		{"by default as little as possible", defaultFields, identity.Prove(who, "s", time.Now()),
			map[string]string{"X-Gatehouse-User": "ada", "X-Gatehouse-Roles": "admin,staff"}},
		{"everything", []Field{User, Provider, Name, Email, Roles}, identity.Prove(who, "s", time.Now()), map[string]string{
			"X-Gatehouse-User": "ada", "X-Gatehouse-Provider": "corp", "X-Gatehouse-Name": "AdaX-Evil: 1 Löwe",
			"X-Gatehouse-Email": "ada@example.com", "X-Gatehouse-Roles": "admin,staff",
		}},
		{"nothing", []Field{}, identity.Prove(who, "s", time.Now()), map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"X-Gatehouse-User": {"root"}, "X-Gatehouse-Email": {"root@example.com"}, "Accept": {"*/*"}}
			apply(h, tt.fields, tt.proof)
			got := map[string]string{}
			for name, values := range h {
				if strings.HasPrefix(name, "X-Gatehouse-") {
					got[name] = strings.Join(values, "|")
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("identity headers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	if err := validate([]Field{User, "shoe_size"}); err == nil || !strings.Contains(err.Error(), "shoe_size") {
		t.Errorf("an unknown field: %v", err)
	}
	if err := validate([]Field{User, User}); err == nil {
		t.Error("a field may stand twice")
	}
}
