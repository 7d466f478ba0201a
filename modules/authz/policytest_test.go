package authz

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/reqpath"
)

func askedSite(t testing.TB, text string) *oracle {
	t.Helper()
	return &oracle{program: ready(t, text), site: "app", hosts: []string{"app.test", "*.app.test"}, portal: "/.gatehouse/"}
}

func TestPolicyTests(t *testing.T) {
	a := askedSite(t, `
		allow role staff network 10.0.0.0/8
		allow service_account backup
		allow scope read method GET
		allow claim department it
		allow group "EU Sales" device known
		deny method DELETE
		public /healthz
		route /night/* {
			allow user local:ada time 22:00-06:00 UTC
		}
		route /beta/* {
			allow role staff host beta.app.test
		}
	`)
	const good = `
# comments and blank lines
given ip 10.1.2.3
allow GET /x role staff            # trailing, too
allow GET /x?a=b role other,staff by "allow role staff"
deny  GET /x role staff ip 192.0.2.1
login GET /x
deny  DELETE /healthz
allow GET /healthz
allow GET https://a.app.test/x role staff
allow GET https://beta.app.test/beta/x role staff
deny  GET /beta/x role staff
allow POST /x service_account backup
deny GET /x guest abc
allow GET /x scope read,write
deny  POST /x scope read
allow GET /x claim department=it claim level=3
allow GET /x group "EU Sales" device known
deny  GET /x group "EU Sales" device unknown
allow GET /night/x user local:ada time 2026-03-02T23:00:00Z
deny  GET /night/x user local:ada time 2026-03-02T12:00:00Z
deny  GET /a/../x role staff by bad_path
deny  GET /.gatehouse/login role staff by portal
given ip 192.0.2.1
deny  GET /x role staff
`
	tests, err := readTests(strings.NewReader(good))
	if err != nil || len(tests) != 21 {
		t.Fatalf("%d tests, %v", len(tests), err)
	}
	for _, pt := range tests {
		if err := a.try(pt); err != nil {
			t.Errorf("line %d: %v", pt.line, err)
		}
	}
	for text, want := range map[string]string{
		"deny GET /x role staff ip 10.0.0.1":           "it is allow, by site: allow role staff",
		"allow GET /x role staff ip 10.0.0.1 by other": "it is decided by site: allow role staff",
		"allow GET https://other.test/x role staff":    "other.test is no name of this site",
		"allow GET /healthz user local:ada":            "",
		"login GET /night/x time 2026-03-02T12:00:00Z": "it is deny", // nobody may, just now
		"login GET /night/x time 2026-03-02T23:00:00Z": "",
		"mfa GET /x role staff ip 10.0.0.1":            "it is allow",
	} {
		tests, err := readTests(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		err = a.try(tests[0])
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", text, err, want)
		}
	}
}

// The manual's example is one that a site can pass.
func TestManualsPolicyTests(t *testing.T) {
	manual, err := os.ReadFile("../../caddyfiles/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(manual), "```policytest\n")
	text, _, _ = strings.Cut(text, "```")
	tests, err := readTests(strings.NewReader(text))
	if err != nil || len(tests) != 4 {
		t.Fatalf("%d tests, %v", len(tests), err)
	}
	a := askedSite(t, "allow role staff\nroute /admin/* {\nallow role admin\n}\nallow claim department it")
	a.hosts = []string{"app.example.com", "beta.example.com"}
	for _, pt := range tests {
		if err := a.try(pt); err != nil {
			t.Error(err)
		}
	}
}

func TestMalformedPolicyTests(t *testing.T) {
	for text, want := range map[string]string{
		"\nallow GET":                        "2: too short",
		"permit GET /x":                      `1: "permit" is no outcome`,
		"allow get /x":                       "capitals",
		"allow GET x":                        "https://",
		"allow GET http://app.test/":         "https://",
		"allow GET /x role":                  `"role" has no value`,
		"allow GET /x shoe 42":               "nothing that a question can say",
		"allow GET /x user ada":              "provider:subject",
		"allow GET /x ip example.com":        "no address",
		"allow GET /x time tomorrow":         "2026-",
		"allow GET /x claim department":      "<name>=<value>",
		"allow GET /x device lost":           "device known",
		`allow GET /x role "staff`:           "not closed",
		"given shoe 42":                      "nothing that",
		strings.Repeat("x", maxTestLine+100): "too long",
	} {
		if _, err := readTests(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %v, want it to say %q", text, err, want)
		}
	}
}

func TestPolicyTestFiles(t *testing.T) {
	a, dir := askedSite(t, "allow role staff"), t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.policytest", "allow GET / role staff\n")
	write("b.policytest", "login GET /\ndeny GET / role other\n")
	if n, err := a.runFiles([]string{filepath.Join(dir, "*.policytest")}); n != 3 || err != nil {
		t.Fatalf("%d tests, %v", n, err)
	}
	write("b.policytest", "login GET /\n\nallow GET / role other\n")
	if _, err := a.runFiles([]string{filepath.Join(dir, "*.policytest")}); err == nil || !strings.Contains(err.Error(), "b.policytest:3:") {
		t.Fatalf("the failure is not placed: %v", err)
	}
	if _, err := a.runFiles([]string{filepath.Join(dir, "*.txt")}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Fatalf("no files: %v", err)
	}
}

// A question may be whatever an operator, or a file, says: it is answered or refused, never worse.
func FuzzPolicyTests(f *testing.F) {
	a := askedSite(f, site)
	a.paths = reqpath.Options{AllowEncodedSlash: true}
	f.Add("allow GET /x role staff ip 10.0.0.1 by \"a b\" # c")
	f.Add("given time 2026-03-02T12:00:00Z\ndeny PUT https://app.test?x claim a=b,c device known scope x workspace y acr 1")
	f.Fuzz(func(t *testing.T, text string) {
		tests, err := readTests(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, pt := range tests {
			if answer, err := a.answer(pt.Question); err == nil && (answer.Rule == "" || len(answer.Reasons) == 0) {
				t.Errorf("%q: %+v", pt.text, answer)
			}
		}
	})
}
