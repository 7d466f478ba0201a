package mfa_test

import (
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

func TestWords(t *testing.T) {
	g := gatetest.New(t)
	text := func(house, site string) string {
		return "{\n{{house}}\ngatehouse {\nstate_dir {{dir}}/state\nwitness\n" + house + "\n}\n}\nhttps://app.test:{{addr}} {\n{{tls}}\ngatehouse {\nallow authenticated\n" + site + "\n}\nreverse_proxy 127.0.0.1:1\n}\n"
	}
	for _, tt := range []struct{ name, house, site, want string }{
		{"everything", "mfa {\nadmin_roles admin root\nrequired_for role treasurer\nissuer_label \"The house\"\naaguid cb69481e-8ff7-4039-93ec-0a2729a154a8\nnudge 3\namr otp hwk\ndeny_amr email\nacr urn:x:aal2\n}",
			"mfa 8h\nroute /a/* {\nallow authenticated\nmfa each\n}\nroute /b/* {\nallow authenticated\nmfa each any_method\nmfa 10m\n}", ""},
		{"nothing", "", "mfa", ""},
		{"an argument", "mfa on", "", "wrong argument count"},
		{"two blocks", "mfa {\nnudge 1\n}\nmfa {\nnudge 2\n}", "", "two mfa blocks"},
		{"an unknown word", "mfa {\nsms on\n}", "", "unknown mfa option \"sms\""},
		{"a code by SMS", "mfa {\namr otp sms\n}", "", "is no second factor"},
		{"a code by telephone", "mfa {\namr TEL\n}", "", "is no second factor"},
		{"no model", "mfa {\naaguid yubikey\n}", "", "aaguid \"yubikey\""},
		{"no number", "mfa {\nnudge often\n}", "", "not a number"},
		{"no role", "mfa {\nrequired_for admin\n}", "", "required_for role"},
		{"a contradiction", "mfa {\nadmin_roles root\ninsecure_admins_without_factor\n}", "", "contradict each other"},
		{"no age", "", "mfa sometimes", "mfa <max-age>"},
		{"a negative age", "", "mfa -1m", "mfa <max-age>"},
		{"no method", "", "mfa each POST", "mfa each any_method"},
		{"each and an age", "", "mfa each 10m", "mfa each any_method"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := g.Load(text(tt.house, tt.site))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// What weakens the house is said at every start.
func TestInsecureWordIsLogged(t *testing.T) {
	h := openGate(t, "{{mfa}}", "insecure_admins_without_factor")
	h.logged("insecure_admins_without_factor", `"level":"warn"`)
	h.browser().login("who=root&role=admin&amr=pwd").get("/").says(t, "an administrator", 200, "the application")
}
