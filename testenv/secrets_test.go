package testenv

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
)

// secretsCaddyfile has a secret in each place of a configuration that takes one, from each of the places that a secret may come from.
const secretsCaddyfile = `{
	import {$COMMON}
	gatehouse {
		state_dir {$STATE}
		keys file {$KEYFILE}
		mfa {
			insecure_admins_without_factor
		}
		store valkey unix/{$SOCKET} {
			password {file.{$CREDENTIALS_DIRECTORY}/valkey}
		}
		local {
			first_user_roles {$ROLES}
		}
		oidc {$ISSUER} {env.OIDC_ID} {env.OIDC_SECRET} {
			trust_pem {$CA}
		}
		siem {
			send splunk {$COLLECTOR} {
				token {file.{$CREDENTIALS_DIRECTORY}/collector}
				insecure_plain
			}
		}
		ban {
			blocklist cs crowdsec {$CROWDSEC} {
				key {file.{$SECRETS}/crowdsec}
			}
		}
		alert {
			webhook {$ISSUER}/hook {
				secret {env.ALERT_SECRET}
				ca {$CA}
			}
			mail ops@example.com {
				smtp {$MAIL} {
					from gateway@example.com
					ca {$CA}
					user gateway {file.{$SECRETS}/smtp}
				}
			}
		}
	}
}
https://app.test:{$PORT} {
	tls {$CERT} {$KEY}
	gatehouse {
		allow role staff
		rate_limit 1000r/s /.gatehouse/*
	}
	reverse_proxy {$BACKEND}
}
`

// TestSecretsStayAway (CER-19, NAT-25): secrets come from the environment, from files and from systemd's credentials, and are used: the
// servers behind them take nobody without. None of them, nor any of the gateway's own, is in what the gateway tells: its
// configuration on the administration endpoint and beside it, what it prints of one, logs, metrics, profiles, the audit log, evidence,
// and the state.
// Controls: CAL-14, BRF-13.
func TestSecretsStayAway(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{}
	made := func(name string) string {
		secrets[name] = "Zq9" + strings.ToUpper(name) + "7canary4Wv"
		return secrets[name]
	}
	dir, credentials := t.TempDir(), t.TempDir()
	write := func(dir, name string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(made(name)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(credentials, "collector")
	write(credentials, "valkey")
	write(dir, "crowdsec")
	write(dir, "smtp")

	came := make(chan string, 64)
	asked := new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization") + r.Header.Get("X-Api-Key")
		if asked.Add(1) < 3 { // it refuses at first, and says aloud what it was given
			http.Error(w, "forbidden: "+key, http.StatusForbidden)
			return
		}
		select {
		case came <- key:
		default:
		}
		_, _ = fmt.Fprint(w, `{"text":"Success","code":0,"new":[],"deleted":[]}`)
	}))
	defer server.Close()
	provider := secretive(t)
	mail := startMailServer(t)
	be, r := startBackend(t), startRedis(t, "--requirepass", secrets["valkey"])
	keyFile := filepath.Join(dir, "keys")
	g, err := newGateway(gatehouseBin(t), config{Backend: be.Listen, Caddyfile: secretsCaddyfile, Env: []string{
		"SOCKET=" + r.socket(), "SECRETS=" + dir, "CREDENTIALS_DIRECTORY=" + credentials, "COLLECTOR=" + server.URL, "CROWDSEC=" + server.URL,
		"ISSUER=" + provider.URL, "MAIL=" + mail.addr, "OIDC_ID=client", "OIDC_SECRET=" + made("oidc"), "ALERT_SECRET=" + made("alertalertalert"), "KEYFILE=" + keyFile,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	if _, stderr, code, err := g.command("keys", "create", keyFile); err != nil || code != 0 {
		t.Fatalf("keys create: %v\n%s", err, stderr)
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	secrets["master"] = strings.Fields(regexp.MustCompile(`(?m)^[0-9a-f]{8} .*`).FindString(fileText(keyFile)))[2]
	secrets["password"] = "two cranes over a tin roof"
	alice := g.newUser(t, "alice", secrets["password"])
	secrets["session"] = alice.cookie(sessionCookie)
	alice.get(t, "/whoami")
	if _, err := g.reload(); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	eventually(t, logSoonIn*3, "both servers are spoken to with their secrets", func() bool {
		select {
		case key := <-came:
			used[key] = true
		default:
		}
		return used["Splunk "+secrets["collector"]] && used[secrets["crowdsec"]]
	})

	// The provider, the receiver of alerts and the mail server are spoken to with theirs, too; the first tells aloud what it was given.
	visitor := g.stranger(t)
	to, err := url.Parse(visitor.visit(t, "/.gatehouse/login/oidc?next=/").Header.Get("Location"))
	if err != nil || to.Query().Get("state") == "" {
		t.Fatalf("the login leads to %v, %v", to, err)
	}
	if a := visitor.visit(t, "/.gatehouse/login/oidc/callback?code=a-code&state="+url.QueryEscape(to.Query().Get("state"))); a.Status < 400 {
		t.Errorf("a login that the provider refuses: %d", a.Status)
	}
	if id, secret := provider.asked(t); id != "client" || secret != secrets["oidc"] {
		t.Errorf("the provider was asked by %q with %q", id, secret)
	}
	g.cliOut(t, "alert", "test", "--address", "unix/"+g.env["ADMIN"]) // it ends with 0 if each took it
	if !provider.hooked(secrets["alertalertalert"]) {
		t.Error("no alert came that is signed with its secret")
	}
	if user, password := mail.login(); user != "gateway" || password != secrets["smtp"] {
		t.Errorf("the mail server was asked by %q with %q", user, password)
	}

	outputs := map[string]string{}
	for _, path := range []string{"/config/", "/metrics", "/debug/vars", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/gatehouse/status", "/gatehouse/keys", "/reverse_proxy/upstreams"} {
		text, err := g.adminGet(path)
		if err != nil {
			t.Fatal(err)
		}
		outputs["admin "+path] = string(text)
	}
	bundle := filepath.Join(t.TempDir(), "bundle")
	admin := []string{"--address", "unix/" + g.env["ADMIN"]}
	for _, words := range [][]string{
		{"check", "--config", g.conf, "--adapter", "caddyfile"}, {"adapt", "--config", g.conf, "--adapter", "caddyfile", "--pretty"},
		{"validate", "--config", g.conf, "--adapter", "caddyfile"}, append([]string{"status", "--json"}, admin...), append([]string{"siem", "status"}, admin...),
		append([]string{"alert", "list"}, admin...), append([]string{"doctor"}, admin...), {"audit", "show", g.auditDir()},
		append([]string{"evidence", "--ca", g.env["CA"], "--http-port", "1", "--out", bundle}, admin...), {"version"},
	} {
		stdout, stderr, code, err := g.command(words...)
		judges := words[0] == "doctor" || words[0] == "evidence" // 1 says that something is wrong with the gateway
		if err != nil || stdout+stderr == "" || code != 0 && !(judges && code == 1) {
			t.Fatalf("gatehouse %v: exit code %d, %v\n%s", words, code, err, stderr)
		}
		outputs["gatehouse "+strings.Join(words[:min(2, len(words))], " ")] = stdout + stderr
	}
	files := 0
	for _, top := range []string{g.dir, bundle, r.dir} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files++
				outputs["file "+path] = fileText(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if outputs["file "+filepath.Join(g.env["XDG_CONFIG_HOME"], "caddy", "autosave.json")] == "" {
		t.Error("there is no autosave.json to look at")
	}
	if files < 10 {
		t.Errorf("only %d files: the story looks in the wrong place", files)
	}
	if !strings.Contains(outputs["admin /config/"], "{env.OIDC_SECRET}") {
		t.Error("the configuration that is told does not have the placeholder: the story looks in the wrong place")
	}
	for where, text := range outputs {
		for name, s := range secrets {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%s tells the secret %s: …%s", where, name, text[max(0, i-200):i])
			}
		}
	}
}
