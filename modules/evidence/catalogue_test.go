package evidence

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"strings"
	"testing"
)

// kinds are the kinds of events, as the package event has them.
func kinds(t *testing.T) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../internal/event/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if ok && len(v.Values) == 1 {
			if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Kind" {
				all[strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`)] = true
			}
		}
		return true
	})
	if len(all) < 50 {
		t.Fatalf("only %d kinds found: the test looks in the wrong place", len(all))
	}
	return all
}

// Every control is there once, whole, and in terms that exist; every setting and every probe is of use.
func TestCatalogue(t *testing.T) {
	controls, err := Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	known := kinds(t)
	of := map[string]int{}
	settings, used := map[string]bool{}, map[string]bool{}
	for i, c := range controls {
		of[c.Statement]++
		settings[c.Setting] = true
		for _, p := range c.Probes {
			used[p] = true
		}
		for _, kind := range c.Audit {
			if !known[kind] {
				t.Errorf("%s: no event is of the kind %s", c.ID, kind)
			}
		}
		if c.Refs.list() == "" {
			t.Errorf("%s: no framework knows it", c.ID)
		}
		if i > 0 && c.Statement == controls[i-1].Statement && c.ID <= controls[i-1].ID {
			t.Errorf("%s comes after %s", c.ID, controls[i-1].ID)
		}
	}
	if want := map[string]int{"cerebro": 19, "brainframe": 24, "calbrix": 27, "cetbix": 10, "natalia": 25}; !maps.Equal(of, want) {
		t.Errorf("controls: %v, want %v", of, want)
	}
	for name := range predicates {
		if !settings[name] {
			t.Errorf("no control names the setting %s", name)
		}
	}
	for name, p := range probes {
		if !used[name] {
			t.Errorf("no control names the probe %s", name)
		}
		if (p.site == nil) == (p.house == nil) {
			t.Errorf("the probe %s is not either of sites or of the house", name)
		}
	}
}

// The reader takes nothing that it does not know.
func TestCatalogueIsStrict(t *testing.T) {
	const good = "controls:\n- {id: CER-01, promise: p, verb: enforces, does: d, setting: tls_13, probes: [tls_13], refs: {nist: [SC-8], anssi: [21]}}\n"
	if _, err := readCatalogue([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"an unknown field":          {"verb:", "colour: blue, verb:"},
		"an unknown setting":        {"setting: tls_13", "setting: tls_14"},
		"an unknown probe":          {"[tls_13]", "[tls_14]"},
		"an unknown verb":           {"enforces", "hopes"},
		"no promise":                {"promise: p", "promise: ''"},
		"an id of no statement":     {"CER-01", "ABC-01"},
		"no reference of NIST's":    {"SC-8", "SC8"},
		"a measure that is not":     {"[21]", "[43]"},
		"an id that is there twice": {"controls:\n", "controls:\n- {id: CER-01, promise: p, verb: enforces, does: d, setting: tls_13}\n"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if _, err := readCatalogue([]byte(text)); err == nil || text == good {
			t.Errorf("%s is taken", name)
		}
	}
}

const sample = `{"admin":{"listen":"unix//run/admin.sock|0600"},"apps":{"gatehouse":{"state_dir":"/var/lib/gatehouse","identity_providers":[{"provider":"local"}],
"rooms":{"access_review":{"every":7776000000000000},"audit":{"logs":[{"file":"/l","keep":2592000000000000}]}},"session":{"idle":1200000000000}},
"http":{"servers":{"srv0":{"listen":["127.0.0.1:8443"],"automatic_https":{"disable_redirects":true},"tls_connection_policies":[{}],
"routes":[{"match":[{"host":["app.test"]}],"handle":[{"handler":"subroute","routes":[{"handle":[{"handler":"gatehouse_admit"},{"handler":"gatehouse_waf"},{"handler":"gatehouse_contain"},
{"handler":"gatehouse_authenticate","authenticators":[{"authenticator":"bearer"}],"session":{"idle":600000000000}},
{"handler":"gatehouse_authorize","routes":[{"path":"/x","require":[{"kind":"mfa","each":true}]}]},
{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:8080"}]}]}]}]}]}}}}}`

// Each setting can be met, and can be missed: a table of changes to a configuration that meets it.
func TestSettings(t *testing.T) {
	answer := func(name, text string) Setting {
		t.Helper()
		c, err := ReadConfig([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return predicates[name](c)
	}
	house := `"gatehouse":{`
	with := func(words string) []string { return []string{house, house + words + ","} }
	roomWith := func(words string) []string { return []string{`"rooms":{`, `"rooms":{` + words + `,`} }
	always := map[string]bool{"built_in": true, "policy": true, "certificates": true}
	table := map[string]struct{ meets, misses []string }{
		"tls_13":              {nil, with(`"tls_profile":"natalia"`)},
		"tls_12":              {nil, []string{`connection_policies":[{}`, `connection_policies":[{"protocol_min":"tls1.0"}`}},
		"tls_named_suites":    {with(`"tls_profile":"brainframe"`), with(`"tls_profile":"calbrix"`)},
		"no_plain_http":       {nil, []string{`"disable_redirects":true`, `"disable_redirects":false`}},
		"session_limits":      {nil, []string{`"session":{"idle":600000000000}`, `"session":{"idle":1900000000000}`}},
		"admin_factor":        {nil, with(`"mfa":{"insecure_admins_without_factor":true}`)},
		"no_sms":              {nil, with(`"mfa":{"amr":["SMS"]}`)},
		"factor_nudge":        {nil, with(`"mfa":{"nudge":-1}`)},
		"own_accounts":        {nil, []string{`"provider":"local"`, `"provider":"local","password_min":8`}},
		"approval":            {nil, []string{`"provider":"local"`, `"provider":"oidc"`}},
		"device_verification": {roomWith(`"verify":{}`), nil},
		"step_up":             {nil, []string{`"each":true`, `"each":false`}},
		"access_review":       {nil, []string{"7776000000000000", "8640000000000000"}},
		"break_glass":         {[]string{`"provider":"local"`, `"provider":"break_glass"`}, nil},
		"waf_blocks":          {nil, []string{`"handler":"gatehouse_waf"`, `"handler":"gatehouse_waf","routes":[{"path":"/x","mode":"detect"}]`}},
		"blocklists":          {roomWith(`"ban":{"blocklists":[{"name":"x"}]}`), nil},
		"jails":               {nil, roomWith(`"ban":{"jails":[{"name":"login","off":true}]}`)},
		"containment":         {nil, []string{`{"handler":"gatehouse_contain"},`, ``}},
		"tenants":             {with(`"tenants":{"acme":{}}`), nil},
		"bearer_tokens":       {nil, []string{`"authenticator":"bearer"`, `"authenticator":"link"`}},
		"log_retention":       {nil, []string{"2592000000000000", "3000000000000000"}},
		"audit_retention":     {nil, []string{`"audit":{`, `"audit":{"retention":86400000000000,`}},
		"collectors":          {roomWith(`"siem":{}`), nil},
		"pseudonyms":          {nil, roomWith(`"siem":{"clear_tenants":["*"]}`)},
		"alerts":              {roomWith(`"alert":{}`), nil},
		"payloads":            {roomWith(`"privacy":{}`), nil},
		"operators":           {roomWith(`"operators":{}`), nil},
		"admin_socket":        {nil, []string{"unix//run/admin.sock|0600", "localhost:2019"}},
		"internal_upstreams":  {nil, []string{"127.0.0.1:8080", "203.0.113.7:8080"}},
		"backups":             {roomWith(`"backup":{}`), nil},
		"hourly_backups":      {roomWith(`"backup":{"every":3600000000000}`), roomWith(`"backup":{"every":86400000000000}`)},
		"strict_mode":         {with(`"mode":"strict"`), with(`"mode":"hybrid"`)},
		"modes":               {with(`"mode":"hybrid"`), nil},
		"security_txt":        {roomWith(`"security_txt":{}`), nil},
		"no_literal_secrets":  {[]string{`"provider":"local"`, `"provider":"oidc","client_secret":"{env.X}"`}, []string{`"provider":"local"`, `"provider":"oidc","client_secret":"s3cret"`}},
		"built_in":            {}, "policy": {}, "certificates": {},
	}
	for name := range predicates {
		m, ok := table[name]
		if !ok {
			t.Errorf("%s is not in the table", name)
		}
		change := func(what []string) string {
			if what == nil {
				return sample
			}
			text := strings.Replace(sample, what[0], what[1], 1)
			if text == sample {
				t.Errorf("%s: %q changes nothing", name, what)
			}
			return text
		}
		if got := answer(name, change(m.meets)); got.Answer != Yes {
			t.Errorf("%s: %+v where it is met", name, got)
		}
		if always[name] {
			continue
		}
		if got := answer(name, change(m.misses)); got.Answer == Yes || got.Fix == "" {
			t.Errorf("%s: %+v where it is not", name, got)
		}
	}
	if _, err := ReadConfig([]byte(strings.Replace(sample, "gatehouse_admit", "respond", 1))); err == nil {
		t.Error("a configuration without a gate is read")
	}
}
