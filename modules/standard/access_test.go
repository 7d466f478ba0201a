package standard_test

import (
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

// reviewed is what the test reads of a review.
type reviewed struct {
	Digest string
	Due    time.Time
	Last   *struct{ By, Digest string }
	Access []struct {
		Kind, Name, Source string
		Roles              []string
		LastUsed           time.Time `json:"last_used"`
		Stale, Disabled    bool
		Reaches            []struct {
			Site, Part, Rule, When string
			Methods                []string
		}
	}
}

// reaches returns "site part METHOD,METHOD when" of somebody.
func (r reviewed) reaches(t testing.TB, kind, name string) (list []string) {
	t.Helper()
	for _, a := range r.Access {
		if a.Kind == kind && (a.Name == name || kind == "api_key" && strings.HasPrefix(a.Name, name+" ")) {
			for _, x := range a.Reaches {
				list = append(list, strings.TrimSpace(strings.Join([]string{x.Site, x.Part, strings.Join(x.Methods, ","), x.When}, " ")))
			}
			return list
		}
	}
	t.Fatalf("the review does not tell of %s %s: %+v", kind, name, r.Access)
	return nil
}

// Who reaches what is told as the policy in force has it, and is signed off only as it was seen.
// Controls: CER-13.
func TestAccessReview(t *testing.T) {
	policy := `allow role staff
		public /open/*
		route /admin/* {
			allow role admin
			allow role staff method GET
		}
		route /inside/* {
			allow role staff network 10.0.0.0/8
		}
		route /files/* {
			allow service_account backup
		}`
	ca := newAuthority(t, "clients")
	g := operate(t, "idp", "voucher\naccess_review 90d", "policy", policy+"\nclient_certificates {\nca "+ca.file+"\noptional\n}", "backend", "reverse_proxy "+backend(t),
		"more", "https://b.test:{{addr}} {\n{{tls}}\ngatehouse {\nallow group readers\n}\nreverse_proxy "+backend(t)+"\n}")
	as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	as(t, g.Gateway, "app.test", "as=ada&roles=staff,admin&groups=readers")
	as(t, g.Gateway, "app.test", "as=%3Dcmd|x&roles=staff")
	g.ok("service-account", "add", "backup")
	g.ok("api-key", "create", "--account", "backup", "--host", "app.test", "--path", "/files/in/*", "--method", "PUT", "--network", "10.1.0.0/16")
	g.ok("client-certificate", "bind", "uri:spiffe://x/backup", "--account", "backup", "--host", "app.test", "--path", "/files/*")
	g.ok("user", "disable", "voucher:sam")

	ask := func(args ...string) (r reviewed) {
		t.Helper()
		if err := json.Unmarshal([]byte(g.ok(append([]string{"access", "review", "--format", "json"}, args...)...)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := ask()
	const all = "DELETE,GET,PATCH,POST,PUT"
	open := "app.test /open/* " + all
	for _, tt := range []struct {
		kind, name string
		want       []string
	}{
		{"everybody", "whoever is not logged in", []string{open}},
		{"person", "voucher:ada", []string{"app.test site " + all, "app.test /admin/* " + all, "app.test /inside/* " + all + " network 10.0.0.0/8", open, "b.test site " + all}},
		{"person", "voucher:=cmd|x", []string{"app.test site " + all, "app.test /admin/* GET", "app.test /inside/* " + all + " network 10.0.0.0/8", open}},
		{"person", "voucher:sam", []string{open}},
		{"service_account", "service:backup", []string{"app.test /files/* " + all, open}},
		{"api_key", "service:backup", []string{"app.test /files/in/* PUT network 10.1.0.0/16"}},
		{"client_certificate", "service:backup uri:spiffe://x/backup", []string{"app.test /files/* " + all}},
		{"role", "admin", []string{"app.test /admin/* " + all, open}},
		{"group", "readers", []string{open, "b.test site " + all}},
	} {
		if got := r.reaches(t, tt.kind, tt.name); !slices.Equal(got, tt.want) {
			t.Errorf("%s %s reaches\n%s\nwant\n%s", tt.kind, tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
	for _, a := range r.Access {
		if a.Name == "voucher:sam" != a.Disabled {
			t.Errorf("%s: disabled %v", a.Name, a.Disabled)
		}
		if a.Name == "voucher:ada" && (a.LastUsed.IsZero() || a.Source != "provider voucher, as it last said") {
			t.Errorf("%+v", a)
		}
		if a.Stale {
			t.Errorf("%s is stale", a.Name)
		}
	}
	if left := time.Until(r.Due); left < 89*24*time.Hour || left > 91*24*time.Hour {
		t.Errorf("due in %v", left)
	}
	time.Sleep(2 * time.Millisecond) // so that everything is older than that
	for _, a := range ask("--stale", "1ms").Access {
		if (a.Kind == "person" || a.Kind == "api_key") && !a.Stale && !a.Disabled {
			t.Errorf("%s is not stale", a.Name)
		}
	}
	if one := ask("--user", "voucher:ada"); len(one.Access) != 1 {
		t.Errorf("one: %+v", one.Access)
	}

	rows, err := csv.NewReader(strings.NewReader(g.ok("access", "review", "--format", "csv"))).ReadAll()
	if err != nil || len(rows) < 10 {
		t.Fatalf("%v, %d rows", err, len(rows))
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "-" && cell != "" && strings.ContainsAny(cell[:1], "=+-@") {
				t.Errorf("a spreadsheet takes %q for a formula", cell)
			}
		}
	}
	if md := g.ok("access", "review", "--format", "markdown"); !strings.Contains(md, `voucher:=cmd\|x`) || !strings.Contains(md, r.Digest) {
		t.Errorf("%s", md)
	}

	g.no("--by", "access", "review", "--sign-off")
	g.no("go with --sign-off", "access", "review", "--by", "olga")
	g.no("format", "access", "review", "--format", "xml")
	before := r.Digest
	as(t, g.Gateway, "app.test", "as=eve&roles=admin")
	g.no("has changed", "access", "review", "--sign-off", "--by", "Olga", "--digest", before)
	g.ok("access", "review", "--sign-off", "--by", "Olga", "--note", "nothing to do")
	if r = ask(); r.Last == nil || r.Last.By != "Olga" || r.Last.Digest != r.Digest || r.Digest == before {
		t.Errorf("signed off: %+v, now %s, before %s", r.Last, r.Digest, before)
	}
	g.WantEvent("access_review.signed_off", `"by":"Olga"`, `"digest":"`+r.Digest+`"`)
	g.WantEvent("admin.done", "access-review/sign-off", "Olga")
}

// A review that nobody signs off is told of, once.
// Controls: CER-13.
func TestAccessReviewOverdue(t *testing.T) {
	g := operate(t, "idp", "local\naccess_review 300ms")
	g.WantEvent("access_review.overdue")
	time.Sleep(400 * time.Millisecond) // in which it looks some times more
	if n := g.Events("access_review.overdue"); n != 1 {
		t.Errorf("told %d times", n)
	}
	g.ok("access", "review", "--sign-off", "--by", "Olga")
	gatetest.Eventually(t, "it is overdue again after a sign-off", func() bool { return g.Events("access_review.overdue") == 2 })
}
