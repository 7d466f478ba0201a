package standard_test

import (
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
	_ "gatehouse.internal/modules/standard"
)

// newcomer is the Caddyfile that the README shows, with the parts that only a test needs.
const newcomer = `{
	{{house}}
	gatehouse {
		state_dir {{dir}}/state
		{{idp}}
	}
	{{global}}
}
{{site}} {
	{{tls}}
	{{before}}
	gatehouse {
		{{policy}}
	}
	{{after}}
	{{backend}}
}
{{more}}
`

// pairs fills the newcomer's gaps; with changes the later ones win.
func pairs(change ...string) []string {
	set := []string{
		"{{idp}}", "local", "{{global}}", "", "{{site}}", "https://app.test:{{addr}}", "{{before}}", "", "{{after}}", "",
		"{{policy}}", "allow role staff", "{{backend}}", "respond hello", "{{more}}", "",
	}
	for i := 0; i < len(change); i += 2 {
		for j := 0; j < len(set); j += 2 {
			if set[j] == "{{"+change[i]+"}}" {
				set[j+1] = change[i+1]
			}
		}
	}
	return set
}

// fill replaces the gaps here, so that what replaces them may itself hold gatetest's.
func fill(text string, set []string) string { return strings.NewReplacer(set...).Replace(text) }

// Each way to get it wrong is refused with a sentence that names the fix (issue: the gatehouse directive).
func TestRefusedConfigurations(t *testing.T) {
	tests := []struct {
		name   string
		change []string
		want   []string
	}{
		{"nobody allowed", []string{"policy", "forward user"}, []string{"nobody is allowed in", "allow role", "Caddyfile:"}},
		{"nobody to log in with", []string{"idp", ""}, []string{"nobody can log in", "oidc <issuer>", "Caddyfile:"}},
		{"an empty OIDC secret", []string{"idp", "oidc https://idp.test client {env.GATEHOUSE_TEST_UNSET}"}, []string{"secret"}},
		{"a missing OIDC secret", []string{"idp", "oidc https://idp.test client"}, []string{"secret", "Caddyfile:"}},
		{"an OIDC provider over plain HTTP", []string{"idp", "oidc http://idp.test client s3cret"}, []string{"https"}},
		{"a lowered TLS floor", []string{"before", "tls {\n protocols tls1.2\n}"}, []string{"TLS below 1.3", "take `protocols` out"}},
		{"a TLS ceiling", []string{"before", "tls {\n protocols tls1.2 tls1.2\n}"}, []string{"TLS below 1.3"}},
		{"a TLS profile that there is not", []string{"idp", "local\n tls_profile modern"}, []string{"unknown tls_profile \"modern\"", "brainframe, calbrix, cerebro, natalia", "Caddyfile:"}},
		{"a site below the house's TLS profile", []string{"idp", "local\n tls_profile cerebro", "before", "tls {\n protocols tls1.2\n}"}, []string{"TLS below 1.3", "take `protocols` out"}},
		{"a suite that the profile has not", []string{"idp", "local\n tls_profile calbrix", "before", "tls {\n ciphers TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA\n}"}, []string{"no suite TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "take it out"}},
		{"RSA suites without an RSA key", []string{"idp", "local\n tls_profile brainframe"}, []string{"key_type rsa2048"}},
		{"a plain HTTP site", []string{"site", "http://app.test:{{addr}}", "before", "", "tlsline", ""}, []string{"plain HTTP", "https://"}},
		{"nested in route", []string{"more", "https://b.test:{{addr}} {\n {{tls}}\n route {\n gatehouse {\n allow authenticated\n }\n }\n}"}, []string{"top level", "Caddyfile:"}},
		{"nested in handle", []string{"more", "https://b.test:{{addr}} {\n {{tls}}\n handle /x {\n gatehouse {\n allow authenticated\n }\n }\n}"}, []string{"top level"}},
		{"nested in a snippet's route", []string{"more", "(gate) {\n gatehouse {\n allow authenticated\n }\n}\nhttps://b.test:{{addr}} {\n {{tls}}\n route {\n import gate\n }\n}"}, []string{"top level"}},
		{"with a matcher", []string{"more", "https://b.test:{{addr}} {\n {{tls}}\n gatehouse /x {\n allow authenticated\n }\n}"}, []string{"takes no argument"}},
		{"an ungated site beside a gated one", []string{"more", "https://b.test:{{addr}} {\n {{tls}}\n respond hi\n}"}, []string{"b.test", "has no gate", "public /*"}},
		{"HSTS taken away", []string{"before", "header -Strict-Transport-Security"}, []string{"Strict-Transport-Security", "take it out"}},
		{"HSTS weakened", []string{"before", "header >Strict-Transport-Security max-age=0"}, []string{"Strict-Transport-Security"}},
		{"fronting allowed", []string{"global", "servers {\n strict_sni_host insecure_off\n}"}, []string{"strict_sni_host insecure_off"}},
		{"HTTP/3 alone", []string{"global", "servers {\n protocols h3\n}"}, []string{"HTTP/3 is off", "protocols h1 h2", "insecure_http3"}},
		{"h2c", []string{"global", "servers {\n protocols h1 h2c\n}"}, []string{"h2c"}},
		{"a role that is none", []string{"idp", "local\n operators {\n root unix//tmp/x\n }"}, []string{"operators", "no role", "viewer"}},
		{"a role's socket that is none", []string{"idp", "local\n operators {\n admin localhost:1\n }"}, []string{"operators", "no unix socket"}},
		{"an unknown word", []string{"policy", "alow role staff"}, []string{"unknown gatehouse option \"alow\"", "allow", "Caddyfile:"}},
		{"an unknown global word", []string{"idp", "locale"}, []string{"unknown gatehouse option \"locale\"", "Caddyfile:"}},
		{"a glob in the middle", []string{"policy", "public /a/*/b"}, []string{"at the end", "Caddyfile:"}},
		{"a rule that names nobody", []string{"policy", "allow method GET"}, []string{"does not say who", "authenticated", "Caddyfile:"}},
		{"a condition that is none", []string{"policy", "allow rôle staff"}, []string{"no condition", "role, scope", "Caddyfile:"}},
		{"an expression that is none", []string{"policy", "allow cel `roles.size() >`"}, []string{"cel", "character", "Caddyfile:"}},
		{"an unknown family", []string{"policy", "allow family administration"}, []string{"family administration", "roles {", "Caddyfile:"}},
		{"a family without roles", []string{"idp", "local\n roles {\n family administration\n }"}, []string{"family <name> <role...>", "Caddyfile:"}},
		{"a sensitive route for everybody", []string{"policy", "allow role staff\n route /x {\n sensitive\n allow authenticated\n }"}, []string{"sensitive", "name roles", "Caddyfile:"}},
		{"a tenant with a provider that is none", []string{"idp", "local\n tenant acme {\n providers corp\n }"}, []string{"tenant acme", "none of the house"}},
		{"a condition on devices that nobody tells apart", []string{"policy", "allow role staff device known"}, []string{"device", "`verify`", "Caddyfile:"}},
		{"TRACE", []string{"policy", "allow authenticated\n methods TRACE"}, []string{"TRACE", "never"}},
		{"a client's own identity header", []string{"policy", "allow authenticated\n keep_header X-Gatehouse-User"}, []string{"cannot come from a client"}},
		{"an unknown forward field", []string{"policy", "allow authenticated\n forward shoe_size"}, []string{"shoe_size", "Caddyfile:"}},
		{"a WAF route without a word of what differs", []string{"policy", "allow authenticated\n waf {\n route /a {\n }\n }"}, []string{"says nothing", "Caddyfile:"}},
		{"a WAF route that is off", []string{"policy", "allow authenticated\n waf {\n route /a {\n off\n }\n }"}, []string{"insecure_waf_off", "Caddyfile:"}},
		{"an exclusion of what refuses", []string{"policy", "allow authenticated\n waf {\n exclude 949110 ARGS:a\n }"}, []string{"949110", "can not be excluded", "Caddyfile:"}},
		{"a WAF that is off and fails open", []string{"policy", "allow authenticated\n insecure_waf_off\n insecure_waf_fail_open"}, []string{"beside insecure_waf_off", "Caddyfile:"}},
		{"a prover in no position", []string{"policy", "allow authenticated\n waf {\n prover maybe\n }"}, []string{"want on or off", "Caddyfile:"}},
		{"a budget of no size", []string{"idp", "local\n waf_budget lots"}, []string{"not a size", "Caddyfile:"}},
		{"a budget that holds no body", []string{"idp", "local\n waf_budget 79MiB", "policy", "allow authenticated\n waf {\n body_limit 20MiB\n }"}, []string{"waf_budget", "body_limit", "4 times"}},
		{"an idle limit longer than the session", []string{"idp", "local\n session {\n idle 24h\n }"}, []string{"admin_idle <= idle <= max"}},
		{"a rate of no unit", []string{"policy", "allow authenticated\n rate_limit 5"}, []string{"no rate", "50r/s", "Caddyfile:"}},
		{"a rate limit with an unknown word", []string{"policy", "allow authenticated\n rate_limit 5r/s each client"}, []string{"unknown word \"each\"", "per client", "Caddyfile:"}},
		{"a rate limit per header of no name", []string{"policy", "allow authenticated\n rate_limit 5r/s per header"}, []string{"no header's name", "Caddyfile:"}},
		{"no requests at a time", []string{"policy", "allow authenticated\n max_concurrent 0"}, []string{"not a positive number", "Caddyfile:"}},
		{"a jail for nothing", []string{"idp", "local\n ban {\n jail mine 5 in 10m for 1h\n }"}, []string{"jail mine", "say what it is for", "Caddyfile:"}},
		{"an unknown word about bans", []string{"idp", "local\n ban {\n jial login off\n }"}, []string{"unknown ban option", "Caddyfile:"}},
		{"an allow-list of everybody", []string{"idp", "local\n ban {\n allow 0.0.0.0/0\n }"}, []string{"allow", "Caddyfile:"}},
		{"a honeypot for everybody", []string{"idp", "local\n ban {\n honeypot /*\n }"}, []string{"honeypot", "Caddyfile:"}},
		{"two houses", []string{"global", "gatehouse {\n local\n}"}, []string{"two gatehouse options"}},
		{"the same provider twice", []string{"idp", "local\n local"}, []string{"two identity providers are called \"local\""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := gatetest.New(t)
			text := newcomer
			if strings.Contains(strings.Join(tt.change, " "), "tlsline") {
				text = strings.Replace(text, "{{tls}}", "", 1)
			}
			err := g.Load(fill(text, pairs(tt.change...)))
			if err == nil {
				t.Fatal("the configuration is accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is not one sentence:\n%v", err)
			}
		})
	}
}

func TestRedirectsMustBeOff(t *testing.T) {
	g := gatetest.New(t)
	text := strings.Replace(fill(newcomer, pairs()), "{{house}}", "admin off\n\tpersist_config off", 1)
	err := g.Load(text)
	if err == nil || !strings.Contains(err.Error(), "auto_https disable_redirects") || !strings.Contains(err.Error(), "Caddyfile:") {
		t.Fatalf("redirects left on: %v", err)
	}
}

// What the Caddyfile cannot say, JSON can.
func TestRefusedJSON(t *testing.T) {
	tests := []struct{ name, from, to, want string }{
		{"0-RTT", `"listen":`, `"allow_0rtt":true,"listen":`, "0-RTT"},
		{"a port in the clear", `"listen":[`, `"listen":["127.0.0.1:80",`, "without TLS"},
		{"a handler before the gate", `{"handler":"gatehouse_admit"`, `{"handler":"reverse_proxy","upstreams":[{"dial":"127.0.0.1:1"}]},{"handler":"gatehouse_admit"`, "reverse_proxy stands before the gate"},
		{"a matcher on the gate", `{"handle":[{"handler":"gatehouse_admit"`, `{"match":[{"path":["/x"]}],"handle":[{"handler":"gatehouse_admit"`, "take the matcher away"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := gatetest.New(t)
			raw, err := g.Adapt(fill(newcomer, pairs("policy", "public /*")))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(raw), tt.from) {
				t.Fatalf("%s is not in %s", tt.from, raw)
			}
			err = g.LoadJSON(strings.Replace(string(raw), tt.from, tt.to, 1))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want it to say %q", err, tt.want)
			}
		})
	}
}

// Whoever composes handlers in JSON and leaves one out gets a 500, never a pass (I1, I6).
func TestRowWithAMissingRoomAnswers500(t *testing.T) {
	rows := map[string]string{
		"no admit":     `{"handler":"gatehouse_authenticate"},{"handler":"gatehouse_authorize","public":["/*"]},{"handler":"gatehouse_forward"},`,
		"no authorize": `{"handler":"gatehouse_admit"},{"handler":"gatehouse_forward"},`,
		"forward only": `{"handler":"gatehouse_forward"},`,
		"admit twice":  `{"handler":"gatehouse_admit"},{"handler":"gatehouse_admit"},{"handler":"gatehouse_forward"},`,
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			g := gatetest.New(t)
			raw, err := g.Adapt(fill(newcomer, pairs("policy", "public /*")))
			if err != nil {
				t.Fatal(err)
			}
			from, to := strings.Index(string(raw), `{"handler":"gatehouse_admit"`), strings.Index(string(raw), `{"body":"hello"`)
			if from < 0 || to < 0 {
				t.Fatalf("the row is not where the test looks for it: %s", raw)
			}
			if err := g.LoadJSON(string(raw[:from]) + row + string(raw[to:])); err != nil {
				t.Fatal(err)
			}
			res, body := get(t, g.Client(), "https://app.test/")
			if res.StatusCode != 500 || strings.Contains(body, "hello") {
				t.Fatalf("status %d, body %q", res.StatusCode, body)
			}
		})
	}
}
