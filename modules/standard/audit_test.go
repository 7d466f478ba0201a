package standard_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/gatetest"
)

// What an administrator does is on record before and after, with who did it and without secrets, and the record can be
// verified, shown, held and proven by commands.
func TestAuditOfAdministration(t *testing.T) {
	o := operate(t, "idp", "local\n break_glass\n audit {\n retention 400d\n epoch 30m\n }")
	dir := filepath.Join(o.Dir, "state", "audit")
	o.ok("user", "add", "ada", "--role", "staff")
	o.ok("ban", "add", "198.51.100.7", "--detail", "noisy")
	o.no("no ban of exactly this network or name", "ban", "remove", "198.51.100.8")
	o.no("no such session", "session", "revoke", "nobody-s")
	sealed := o.ok("break-glass", "seal", "--number", "1")
	o.ok("service-account", "add", "backup", "--role", "staff")
	key := o.ok("audit", "key", dir)

	out := o.ok("audit", "show", dir, "--key", key)
	for _, want := range []string{
		`house.started version="devel" commit="unknown" go="go1[^"]+" config="[0-9a-f]{12}" operator="process of [^"]+" house="[0-9a-f]{12}" site app.test="[0-9a-f]{12}" seals="[0-9a-f]{8}"`,
		`admin.requested request="admin-[0-9a-f]+" method="POST" path="/gatehouse/users/add" user="local:ada" .*operator="olga"`,
		`user.created user="local:ada"`,
		`admin.done request="admin-[0-9a-f]+" method="POST" path="/gatehouse/users/add" status="200" .*operator="olga"`,
		`admin.requested .*path="/gatehouse/bans" operator="olga" network="198.51.100.7"`,
		`ban.added`,
		`admin.refused .*path="/gatehouse/bans" status="404" detail="there is no ban`,
		`admin.done .*path="/gatehouse/sessions" status="200" operator="olga"`,
		`admin.done .*path="/gatehouse/break-glass/seal"`,
		`service_account.added`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the record does not say %s:\n%s", want, out)
		}
	}
	for _, code := range regexp.MustCompile(`[A-Z0-9]{5}(-[A-Z0-9]{5})+`).FindAllString(sealed, -1) {
		if strings.Contains(out, code) {
			t.Errorf("a code is on record: %s", code)
		}
	}
	if n := strings.Count(o.ok("audit", "show", dir, "--kind", "ban", "--since", "1h"), "\n"); n != 0 {
		t.Errorf("asked for bans, got %d lines more", n)
	}
	if got := o.ok("audit", "verify", dir, "--key", key); !strings.Contains(got, "1 segments, 1 epochs") || strings.Contains(got, "not compared: the key") {
		t.Errorf("verify: %s", got)
	}
	if got := o.ok("audit", "export", dir, "--user", "local:ada"); !strings.Contains(got, `"kind":"user.created"`) || strings.Contains(got, "ban.added") {
		t.Errorf("export: %s", got)
	}
	if got := o.ok("audit", "hold", "case-7", "--why", "the court asks"); !strings.Contains(got, `held by "case-7"`) || !strings.Contains(got, "by olga: the court asks") {
		t.Errorf("hold: %s", got)
	}
	o.no("of this name already", "audit", "hold", "case-7", "--why", "again")
	o.ok("audit", "hold", "--release", "case-7")
	if got := o.ok("audit", "status"); strings.Contains(got, "held") || strings.Contains(got, "CANNOT") {
		t.Errorf("status: %s", got)
	}
	proofs := t.TempDir()
	o.ok("audit", "prove", "2", dir, "--out", proofs)
	if got := o.ok("audit", "check", filepath.Join(proofs, "2.record"), filepath.Join(proofs, "2.tlog-proof"), "--key", key); !strings.HasPrefix(got, "it is record 2 of ") {
		t.Errorf("check: %s", got)
	}
	if got := o.ok("audit", "status"); !regexp.MustCompile(`for witnesses: \S+/audit/\w+\+[0-9a-f]{8}\+A`).MatchString(got) {
		t.Errorf("status: %s", got)
	}
	o.no("no checkpoint is published yet", "audit", "witness", dir)
	o.no("there is no such record: there are 0 to ", "audit", "prove", "9999999", dir)

	// A reload goes on with the same record, and is on it.
	if err := o.Load(o.text("idp", "local", "policy", "allow role admin")); err != nil {
		t.Fatal(err)
	}
	versions := map[string]bool{}
	for _, m := range regexp.MustCompile(`site app.test="([0-9a-f]{12})"`).FindAllStringSubmatch(o.ok("audit", "show", dir, "--kind", "house"), -1) {
		versions[m[1]] = true
	}
	if len(versions) != 2 {
		t.Errorf("two policies, %d versions", len(versions))
	}
}

// brokenAudit starts a gateway whose audit log cannot be written: something stands in its place.
func brokenAudit(t *testing.T) *operated {
	o := &operated{t: t, admin: gatetest.FreeAddr(t), Gateway: gatetest.New(t)}
	state := filepath.Join(o.Dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, "audit"), []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.Load(o.text("idp", "local")); err != nil {
		t.Fatal(err)
	}
	return o
}

// While nothing can be put on record, no administration endpoint does anything, the configuration stays, people are served,
// and the log and the metrics say so.
func TestAuditThatCannotBeWritten(t *testing.T) {
	o := brokenAudit(t)
	o.no("nothing was done", "ban", "add", "198.51.100.7")
	o.no("nothing was done", "user", "add", "ada", "--role", "staff")
	if got := o.ok("ban", "list"); strings.Contains(got, "198.51.100.7") {
		t.Errorf("refused, and done: %s", got)
	}
	if res, _ := get(t, o.Client(), "https://app.test/"); res.StatusCode == http.StatusServiceUnavailable {
		t.Error("nobody is served")
	}
	if err := o.Load(o.text("idp", "local", "policy", "allow role admin")); err == nil || !strings.Contains(err.Error(), "the audit log cannot be written") {
		t.Errorf("a reload: %v", err)
	}
	awaitLog(t, o.Gateway, "audit.failed")
	if got := o.metrics(); !strings.Contains(got, "gatehouse_audit_writable 0") {
		t.Error("the metric says that all is well")
	}
}

func (o *operated) metrics() string {
	o.t.Helper()
	res, err := http.Get("http://" + o.admin + "/metrics")
	if err != nil {
		o.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}

// Whatever changes something at an administration endpoint of the gateway, now and in time to come, is on record first.
func TestEveryAdminEndpointIsAudited(t *testing.T) {
	brokenAudit(t)
	questions := map[string]bool{"/gatehouse/explain": true, "/gatehouse/policy/explain": true} // they change nothing
	asked := 0
	for _, info := range caddy.GetModules("admin.api") {
		if !strings.HasPrefix(string(info.ID), "admin.api.gatehouse") {
			continue
		}
		module := info.New()
		if p, ok := module.(caddy.Provisioner); ok {
			if err := p.Provision(caddy.ActiveContext()); err != nil {
				t.Fatal(err)
			}
		}
		for _, route := range module.(caddy.AdminRouter).Routes() {
			if questions[route.Pattern] {
				continue
			}
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
				r := httptest.NewRequestWithContext(context.Background(), method, strings.TrimSuffix(route.Pattern, "/")+"/x?all=true", strings.NewReader("{}"))
				r.URL.Path = route.Pattern
				err := route.Handler.ServeHTTP(httptest.NewRecorder(), r)
				asked++
				if apiErr, ok := err.(caddy.APIError); !ok || apiErr.HTTPStatus != http.StatusServiceUnavailable && apiErr.HTTPStatus != http.StatusMethodNotAllowed {
					t.Errorf("%s: %s %s: %v, want 503 while nothing can be put on record", info.ID, method, route.Pattern, err)
				}
			}
		}
	}
	if asked < 40 {
		t.Errorf("only %d requests: the test looks in the wrong place", asked)
	}
}

// Everything about one request in one screen: what, why, who, by which policy, what the WAF found, and where the time went.
// Controls: BRF-09.
func TestWhy(t *testing.T) {
	g := openSite(t, "idp", "voucher")
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	res, _ := call(t, g.Client(), http.MethodGet, "https://app.test/?q=<script>alert(1)</script>", "", "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	id := res.Header.Get("X-Request-Id")
	awaitLog(t, g, id, `"msg":"request"`, "waf_ms")
	out := runCommand(t, "why", id, "--log", g.LogFile(), "--audit", filepath.Join(g.Dir, "state", "audit"))
	for _, want := range []string{
		`request ` + id, `GET app.test/ → 403`, `why      waf_blocked`, `nobody who is logged in, from 127.0.0.1`,
		`site app.test, version [0-9a-f]{12}`, `waf_score="\d+" waf_rules="[^"]*941100`, `time     [0-9.]+ ms: [0-9.]+ in the WAF`, `trace    ` + trace,
		`event    .* request.refused`, `next     gatehouse waf explain ` + id,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("it does not say %s:\n%s", want, out)
		}
	}
}

// runCommand runs a command that asks no gateway, and returns what it wrote.
func runCommand(t *testing.T, args ...string) string {
	t.Helper()
	cmd := &cobra.Command{Use: args[0], SilenceErrors: true, SilenceUsage: true}
	caddycmd.Commands()[args[0]].CobraFunc(cmd)
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args[1:])
	if err := cmd.Execute(); err != nil {
		t.Fatalf("gatehouse %s: %v", strings.Join(args, " "), err)
	}
	return out.String()
}
