package forward

import (
	"fmt"
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
	many := who
	for i := range 2000 {
		many.Roles = append(many.Roles, fmt.Sprintf("department-%04d", i))
	}
	everything := []Field{User, Provider, Name, Email, Roles}
	tests := []struct {
		name   string
		fields []Field
		known  []string
		who    identity.Identity
		err    error
		want   map[string]string
	}{
		{name: "nobody", fields: defaultFields, known: []string{"staff"}, want: map[string]string{}},
		{name: "by default as little as possible", fields: defaultFields, known: []string{"admin", "staff"}, who: who,
			want: map[string]string{"X-Gatehouse-User": "ada", "X-Gatehouse-Roles": "admin,staff"}},
		{name: "roles that nobody asks for", fields: defaultFields, known: []string{"editor", "staff"}, who: who,
			want: map[string]string{"X-Gatehouse-User": "ada", "X-Gatehouse-Roles": "staff"}},
		{name: "no role is asked for", fields: defaultFields, who: who, want: map[string]string{"X-Gatehouse-User": "ada"}},
		{name: "everything", fields: everything, known: []string{"*"}, who: who, want: map[string]string{
			"X-Gatehouse-User": "ada", "X-Gatehouse-Provider": "corp", "X-Gatehouse-Name": "AdaX-Evil: 1 Löwe",
			"X-Gatehouse-Email": "ada@example.com", "X-Gatehouse-Roles": "admin,staff",
		}},
		{name: "one of 2,000", fields: defaultFields, known: []string{"department-0007", "staff"}, who: many,
			want: map[string]string{"X-Gatehouse-User": "ada", "X-Gatehouse-Roles": "department-0007,staff"}},
		{name: "all of 2,000", fields: defaultFields, known: []string{"*"}, who: many, err: errTooManyRoles,
			want: map[string]string{"X-Gatehouse-User": "ada"}},
		{name: "nothing", fields: []Field{}, known: []string{"*"}, who: who, want: map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"X-Gatehouse-User": {"root"}, "X-Gatehouse-Email": {"root@example.com"}, "Accept": {"*/*"}}
			if err := apply(h, tt.fields, tt.known, identity.Prove(tt.who, "s", time.Now())); err != tt.err {
				t.Errorf("apply: %v, want %v", err, tt.err)
			}
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
