package standard_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"gatehouse.internal/modules/internal/gatetest"
)

var example = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")

// examples returns every Caddyfile that a document shows or that lies beside one, by where it stands.
func examples(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"../../*.md", "../../caddyfiles/*.md", "../../rules/*.md", "../*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range example.FindAllStringSubmatch(string(text), -1) {
				found[fmt.Sprintf("%s example %d", filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), i+1)] = m[1]
			}
		}
	}
	files, err := filepath.Glob("../../caddyfiles/*.Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(file)] = string(text)
	}
	if len(found) < 6 {
		t.Fatalf("only %d examples found: the test looks in the wrong place", len(found))
	}
	return found
}

// Every example must be a configuration that loads. Names of files are led into a directory of the test's.
func TestExamplesLoad(t *testing.T) {
	for name, text := range examples(t) {
		t.Run(name, func(t *testing.T) {
			g := gatetest.New(t)
			t.Setenv("OIDC_ID", "client")
			t.Setenv("OIDC_SECRET", "s3cret")
			t.Setenv("SMTP_PASSWORD", "s3cret")
			t.Setenv("ALERT_SECRET", strings.Repeat("s3cret", 6))
			t.Setenv("GATEHOUSE_LOG", filepath.Join(g.Dir, "log.json"))
			secret := filepath.Join(g.Dir, "oidc")
			if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
				t.Fatal(err)
			}
			leaked := filepath.Join(g.Dir, "leaked")
			if err := os.WriteFile(leaked, []byte("correct horse battery staple\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			authority := newAuthority(t, "clients")
			crl := filepath.Join(g.Dir, "clients.crl")
			authority.revoke(crl, time.Now().Add(time.Hour))
			text := strings.NewReplacer(
				"/etc/gatehouse/clients-ca.pem", authority.file, "/etc/gatehouse/clients.crl", crl,
				"/etc/gatehouse/leaked-passwords", leaked,
				"/etc/gatehouse/app.crt", filepath.Join(g.Dir, "cert.pem"),
				"/etc/gatehouse/app.key", filepath.Join(g.Dir, "key.pem"),
				"/run/secrets/oidc", secret, "/run/secrets/valkey", secret,
				"/etc/gatehouse/valkey-ca.pem", authority.file,
				"/var/log/gatehouse", g.Dir, "/var/lib/gatehouse", g.Dir, "/etc/gatehouse/rules", g.Dir,
			).Replace(text)
			raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": name})
			if err != nil {
				t.Fatal(err)
			}
			var cfg caddy.Config
			if err := caddy.StrictUnmarshalJSON(raw, &cfg); err != nil {
				t.Fatal(err)
			}
			cfg.Admin = &caddy.AdminConfig{Disabled: true}
			if err := caddy.Validate(&cfg); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestReadmeShowsTheMinimalFile(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	minimal, err := os.ReadFile("../../caddyfiles/minimal.Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	shown := example.FindStringSubmatch(string(readme))
	if shown == nil || shown[1] != string(minimal) {
		t.Error("README.md and caddyfiles/minimal.Caddyfile differ")
	}
	if lines := strings.Count(string(minimal), "\n"); lines != 13 {
		t.Errorf("the newcomer's Caddyfile has %d lines, not 13", lines)
	}
}

// Every reason code is explained to operators, every word of the directive is in the manual.
func TestManualIsComplete(t *testing.T) {
	manual, err := os.ReadFile("../../caddyfiles/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{
		"allow", "public", "route", "forward", "waf", "insecure_waf_off", "insecure_waf_fail_open", "name", "encoded_slashes", "empty_segments", "methods",
		"keep_header", "state_dir", "keys file", "store embedded", "store valkey", "waf_budget", "prover off", "rate_limit", "max_concurrent", "ban`", "jail", "honeypot", "blocklist", "include_private", "oidc", "local", "session", "policy_tests", "policy_shadow", "mfa", "required_for", "insecure_admins_without_factor", "step_up", "api_key_header", "device_pairing", "client_certificates", "access_review", "viewer`", "integrator`", "auditor`",
		"break_glass", "payloads", "approvers", "max_sessions", "breached_list", "password_hash", "register",
	} {
		if !strings.Contains(string(manual), "`"+word) {
			t.Errorf("the manual does not explain %s", word)
		}
	}
}
