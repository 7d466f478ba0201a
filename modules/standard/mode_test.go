package standard_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/gatetest"
)

const quiet = "ocsp_stapling off"

// Each feature that speaks to others is refused with a sentence that names the place and the fix (NAT-01, NAT-02), unless the
// mode allows whom it speaks to.
func TestModesRefuse(t *testing.T) {
	t.Setenv("GATEHOUSE_ALERT_SECRET", hookSecret)
	siem := func(address string) string { return "\nsiem {\n send syslog " + address + "\n }" }
	alert := "\nalert {\n webhook https://hooks.example.com/a {\n secret {env.GATEHOUSE_ALERT_SECRET}\n }\n }"
	mail := "\nalert {\n mail ops@example.com {\n smtp mail.example.com:587 {\n from gw@example.com\n }\n }\n }"
	list := func(url string) string { return "\nban {\n blocklist drop " + url + "\n }" }
	for name, tt := range map[string]struct {
		mode   string
		house  string
		proxy  string
		change []string
		want   []string // nothing: it loads
	}{
		"strict":                              {mode: "strict"},
		"strict, an application on a network": {mode: "strict", change: []string{"backend", "reverse_proxy 10.255.1.2:8080"}},
		"strict, a socket":                    {mode: "strict", change: []string{"backend", "reverse_proxy unix//tmp/none.sock"}},
		"strict, an application by name":      {mode: "strict", change: []string{"backend", "reverse_proxy app.internal:8080"}, want: []string{"app.test: mode strict: reverse_proxy to app.internal:8080", "Caddyfile:", "such as 10.1.2.3:8080"}},
		"strict, a deep one":                  {mode: "strict", change: []string{"backend", "handle /a/* {\n route {\n reverse_proxy app.internal:8080\n }\n }"}, want: []string{"app.internal:8080"}},
		"strict, one that answers errors":     {mode: "strict", change: []string{"after", "handle_errors {\n reverse_proxy app.internal:8080\n }"}, want: []string{"app.internal:8080"}},
		"strict, one that answers answers":    {mode: "strict", change: []string{"backend", "reverse_proxy 127.0.0.1:1 {\n handle_response {\n reverse_proxy app.internal:8080\n }\n }"}, want: []string{"app.internal:8080"}},
		"strict, a placeholder":               {mode: "strict", change: []string{"backend", "reverse_proxy {http.request.header.x}:80"}, want: []string{"cannot be known beforehand"}},
		"strict, dynamic":                     {mode: "strict", change: []string{"backend", "reverse_proxy {\n dynamic a app.internal 80\n }"}, want: []string{"dynamic upstreams"}},
		"strict, tracing":                     {mode: "strict", change: []string{"before", "tracing {\n span x\n }"}, want: []string{"tracing speaks to others", "take it out"}},
		"strict, without the word on OCSP":    {mode: "strict", change: []string{"global", ""}, want: []string{"ocsp_stapling off"}},
		"strict, logs over a network":         {mode: "strict", change: []string{"global", quiet + "\nlog far {\n output net 192.0.2.1:5000 {\n soft_start\n }\n }"}, want: []string{"the log far", "192.0.2.1:5000", "private"}},
		"strict, another site's certificate":  {mode: "strict", change: []string{"more", "https://b.example.com:{{addr}} {\n gatehouse {\n public /*\n }\n respond hi\n }"}, want: []string{"the authority of the certificate of b.example.com", "`tls internal`", "Caddyfile:"}},
		"strict, its own authority":           {mode: "strict", change: []string{"more", "https://b.example.com:{{addr}} {\n tls internal\n gatehouse {\n public /*\n }\n respond hi\n }"}},
		"strict, a public collector":          {mode: "strict", house: siem("tls://192.0.2.9:6514"), want: []string{"Caddyfile:", "the collector syslog is at tls://192.0.2.9:6514", "private address"}},
		"strict, a named collector":           {mode: "strict", house: siem("tls://siem.example.com:6514"), want: []string{"siem.example.com", "private address"}},
		"strict, a private collector":         {mode: "strict", house: siem("tls://10.9.9.9:6514"), want: []string{"`allow 10.9.9.9`", "`mode strict`"}},
		"strict, an allowed collector":        {mode: "strict {\n allow 10.9.9.0/24\n }", house: siem("tls://10.9.9.9:6514")},
		"strict, a webhook and a list":        {mode: "strict", house: alert + list("https://lists.example.com/drop.txt"), want: []string{"hooks.example.com", "the blocklist drop is at https://lists.example.com/drop.txt"}},
		"strict, mail":                        {mode: "strict", house: mail, want: []string{"mail.example.com:587"}},
		"strict, a provider":                  {mode: "strict", house: "\noidc https://idp.example.com client {env.GATEHOUSE_ALERT_SECRET}", want: []string{"the identity provider oidc", "https://idp.example.com"}},
		"strict, a provider of this machine":  {mode: "strict", house: "\noidc https://127.0.0.1:9443 client {env.GATEHOUSE_ALERT_SECRET}"},
		"strict, an issuer":                   {mode: "strict", change: []string{"policy", "allow role staff\n api /api/* {\n issuer partner https://issuer.example.com\n audience a\n }"}, want: []string{"the issuer partner", "issuer.example.com"}},
		"strict, a store elsewhere":           {mode: "strict", house: "\nstore valkey 192.0.2.1:6379 {\n password x\n insecure_plaintext\n }", want: []string{"the store is at 192.0.2.1:6379"}},
		"strict, names":                       {mode: "strict {\n allow db.internal\n }", want: []string{"Caddyfile:", "not looked up"}},
		"strict, the Internet":                {mode: "strict {\n allow 0.0.0.0/0\n }", want: []string{"private network"}},
		"strict, asked on demand":             {mode: "strict", change: []string{"global", quiet + "\non_demand_tls {\n ask http://ask.example.com/\n }"}, want: []string{"who is asked about certificates on demand is at http://ask.example.com/"}},
		"strict, behind a proxy":              {mode: "strict", proxy: "http://proxy.example.com:3128", want: []string{"take HTTPS_PROXY out"}},
		"hybrid":                              {mode: "hybrid", change: []string{"backend", "reverse_proxy app.internal:8080"}},
		"hybrid, a list":                      {mode: "hybrid", house: list("https://lists.example.com/drop.txt"), want: []string{"`allow lists.example.com`"}},
		"hybrid, an allowed list":             {mode: "hybrid {\n allow lists.example.com\n }", house: list("https://lists.example.com/drop.txt")},
		"hybrid, a certificate":               {mode: "hybrid", change: []string{"more", "https://b.example.com:{{addr}} {\n gatehouse {\n public /*\n }\n respond hi\n }"}, want: []string{"acme-v02.api.letsencrypt.org", "tls internal"}},
		"hybrid, a collector":                 {mode: "hybrid {\n allow siem.example.com\n }", house: siem("tls://siem.example.com:6514"), want: []string{"records and state stay in private networks"}},
		"hybrid, a private collector":         {mode: "hybrid {\n allow 10.9.9.9\n }", house: siem("tls://10.9.9.9:6514")},
		"hybrid, dynamic":                     {mode: "hybrid", change: []string{"backend", "reverse_proxy {\n dynamic a app.internal 80\n }"}, want: []string{"dynamic upstreams"}},
		"connected, whatever":                 {mode: "connected", house: alert, change: []string{"backend", "reverse_proxy {\n dynamic a app.internal 80\n }"}},
		"connected, with a list":              {mode: "connected {\n allow a.example.com\n }", want: []string{"everything is allowed"}},
		"no mode":                             {mode: "offline", want: []string{"strict, hybrid, connected"}},
		"two":                                 {mode: "strict\n mode hybrid", want: []string{"two mode options"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HTTPS_PROXY", tt.proxy)
			change := append([]string{"idp", "local\n mode " + tt.mode + tt.house, "global", quiet}, tt.change...)
			raw, err := gatetest.New(t).Adapt(fill(newcomer, pairs(change...)))
			var cfg caddy.Config
			if err == nil {
				err = caddy.StrictUnmarshalJSON(raw, &cfg)
			}
			if err == nil {
				err = caddy.Validate(&cfg) // as `gatehouse check` does
			}
			if len(tt.want) == 0 && err != nil {
				t.Fatal(err)
			}
			if len(tt.want) > 0 && err == nil {
				t.Fatal("it loads")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
			if egress.InForce().Mode() != egress.Connected {
				t.Error("the mode of a configuration that does not run is in force")
			}
		})
	}
}

// The applications that are declared are dialled; whoever a provider names besides is not, is counted, and is on record. A reload
// changes the mode, and one that is refused does not.
func TestModeInForce(t *testing.T) {
	var jwks http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": "http://" + r.Host, "jwks_uri": "https://192.0.2.7/keys"})
	}
	issuer := httptest.NewServer(jwks)
	defer issuer.Close()
	up := backend(t)
	words := func(mode string) []string {
		return []string{"global", quiet, "idp", "local\n mode " + mode, "backend", "reverse_proxy " + up,
			"policy", "public /open/*\n allow role staff\n api /api/* {\n issuer partner " + issuer.URL + " {\n insecure_http\n }\n audience a\n }"}
	}
	o := operate(t, "idp", "local")
	if p := o.posture(); p.Mode != "connected" || p.Chosen || !p.Running {
		t.Errorf("without a word: %+v", p)
	}
	load := func(mode string) error {
		change := words(mode)
		change[1] += "\nadmin " + o.admin
		return o.Load(fill(newcomer, pairs(change...)))
	}
	if err := load("strict"); err != nil {
		t.Fatal(err)
	}
	if res, body := get(t, o.Client(), "https://app.test/open/x"); res.StatusCode != 200 || !strings.Contains(body, "/open/x") {
		t.Errorf("the application: %d %s", res.StatusCode, body)
	}
	eventually(t, "the refusal on record", func() bool {
		return strings.Contains(o.Log(), `"egress.denied"`) && strings.Contains(o.Log(), "192.0.2.7:443")
	})
	o.WantEvent("egress.denied", `"to":"192.0.2.7:443"`, `"mode":"strict"`)
	if m := o.metrics(); strings.Contains(m, `gatehouse_egress_denied_total{kind="dial"} 0`) || !strings.Contains(m, `gatehouse_egress_denied_total{kind="dial"}`) {
		t.Error("the refusal is not counted")
	}
	p := o.posture()
	if p.Mode != "strict" || !p.Chosen || len(p.Applications) != 1 || p.Applications[0] != up || p.Denied.Dials == 0 {
		t.Errorf("%+v", p)
	}
	if _, err := net.DefaultResolver.LookupHost(t.Context(), "feeds.example.com"); err == nil || !strings.Contains(err.Error(), "mode strict") {
		t.Errorf("a name is looked up: %v", err)
	}
	if err := load("offline"); err == nil || egress.InForce().Mode() != egress.Strict {
		t.Errorf("a refused reload: %v, mode %s", err, egress.InForce().Mode())
	}
	if err := load("connected\nblocklist"); err == nil || egress.InForce().Mode() != egress.Strict {
		t.Errorf("another: %v, mode %s", err, egress.InForce().Mode())
	}
	if err := load("connected"); err != nil || egress.InForce().Mode() != egress.Connected {
		t.Errorf("a reload: %v, mode %s", err, egress.InForce().Mode())
	}
	if err := load("connected"); err != nil || egress.InForce().Mode() != egress.Connected {
		t.Errorf("another: %v, mode %s", err, egress.InForce().Mode())
	}
}

type shownPosture struct {
	Mode         string
	Chosen       bool
	Running      bool
	Allow        []string
	Applications []string
	Denied       struct{ Dials, Lookups int }
	Features     []struct{ Name, State string }
}

func (o *operated) posture() (p shownPosture) {
	o.t.Helper()
	if err := json.Unmarshal([]byte(o.ok("posture", "--json")), &p); err != nil {
		o.t.Fatal(err)
	}
	return p
}

// What each mode turns on and off is written down here, and shown as it is (NAT-03).
func TestPostureOfModes(t *testing.T) {
	o := operate(t)
	for _, tt := range []struct{ name, mode string }{
		{"default", ""}, {"strict", "mode strict {\n allow 10.1.2.0/24\n }"}, {"hybrid", "mode hybrid {\n allow feeds.example.com 10.1.2.3\n }"}, {"connected", "mode connected"},
	} {
		file := filepath.Join(t.TempDir(), "Caddyfile")
		if err := os.WriteFile(file, []byte("{\n gatehouse {\n local\n "+tt.mode+"\n }\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := o.ok("posture", "--config", file, "--adapter", "caddyfile") + "\n" + o.ok("posture", "--json", "--config", file, "--adapter", "caddyfile") + "\n"
		golden := filepath.Join("testdata", "posture", tt.name)
		want, err := os.ReadFile(golden)
		if os.Getenv("GATEHOUSE_UPDATE") != "" {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if err != nil || got != string(want) {
			t.Errorf("%s is not as in %s (%v; GATEHOUSE_UPDATE=1 writes it):\n%s", tt.name, golden, err, got)
		}
	}
	empty := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(empty, []byte("example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.no("has no gatehouse", "posture", "--config", empty, "--adapter", "caddyfile")
}
