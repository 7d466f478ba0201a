package testenv

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestClusterCaddyfile runs caddyfiles/cluster.Caddyfile, as it is shipped but for names, addresses, files and its certificate, in three
// processes behind a balancer, with a server that speaks TLS and has an access list, and a provider: somebody logs in and goes on,
// whichever of them is killed.
func TestClusterCaddyfile(t *testing.T) {
	t.Parallel()
	shipped, err := os.ReadFile(filepath.Join(root, "caddyfiles/cluster.Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	be, op := startBackend(t), newProvider(t)
	dir := t.TempDir()
	if err := ca().write(dir, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"valkey": "the-password-of-the-access-list", "oidc": op.Client.Secret}
	for name, secret := range secrets {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var ports [2]int
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			t.Fatal(err)
		}
	}
	startRedis(t, "--tls-port", strconv.Itoa(ports[0]), "--tls-cert-file", filepath.Join(dir, "cert.pem"), "--tls-key-file", filepath.Join(dir, "key.pem"),
		"--tls-ca-cert-file", filepath.Join(dir, "ca.pem"), "--tls-auth-clients", "no", "--bind", "127.0.0.1",
		"--user", "gatehouse", "on", ">"+secrets["valkey"], "~{gatehouse:gatehouse}:*", "&{gatehouse:gatehouse}:*", "+@all", "-@dangerous")
	site := fmt.Sprintf("https://%s:%d", appHost, ports[1])
	text := string(shipped)
	for _, r := range [][2]string{
		{"/run/secrets/valkey", filepath.Join(dir, "valkey")},
		{"/run/secrets/oidc", filepath.Join(dir, "oidc")},
		{"/etc/gatehouse/valkey-ca.pem", filepath.Join(dir, "ca.pem")},
		{"https://idp.example.com", op.Issuer},
		{"app:8080", be.Listen},
		{"app.example.com {", site + " {\n\ttls {$CERT} {$KEY}"},
		{"\tauto_https disable_redirects\n", "\tauto_https disable_redirects\n\tskip_install_trust\n\tdefault_bind {$BIND}\n\tadmin \"unix/{$ADMIN}|0600\"\n\tlog {\n\t\toutput file {$LOG}\n\t\tformat json\n\t}\n"},
	} {
		if !strings.Contains(text, r[0]) {
			t.Fatalf("the Caddyfile has no %q any more", r[0])
		}
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	op.People["ada"] = map[string]any{"name": "Ada Lovelace", "groups": []string{"staff"}}
	op.Client.Redirects = []string{site + callbackPath}
	op.start(t)

	keys := filepath.Join(dir, "keys")
	var g []*gateway
	for i := range 3 {
		one, err := newGateway(gatehouseBin(t), config{Caddyfile: text, Port: ports[1], IP: fmt.Sprintf("127.0.0.%d", 11+i), Backend: be.Listen, Env: []string{
			"KEYS=" + keys, "VALKEY=127.0.0.1:" + strconv.Itoa(ports[0]), "OIDC_ID=" + op.Client.ID, "SSL_CERT_FILE=" + filepath.Join(dir, "ca.pem"),
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := one.close(); err != nil {
				t.Error(err)
			}
		})
		for _, secret := range secrets {
			one.secret(secret)
		}
		if i == 0 {
			if _, stderr, code, err := one.command("keys", "create", keys); err != nil || code != 0 {
				t.Fatalf("keys create: %v, %d\n%s", err, code, stderr)
			}
		}
		if err := one.start(); err != nil {
			t.Fatal(err)
		}
		g = append(g, one)
	}
	b, front := startBalancer(t, time.Second, g) // questions count as requests for the gateway's own pages do
	ada := startBrowser(t).person(t)
	ada.open(t, front.origin()+"/search?q=welcome")
	signInAtProvider(t, ada, "ada")
	ada.mustBeAt(t, front.origin()+"/search?q=welcome")
	for i, one := range g[:2] {
		if err := one.kill9(); err != nil {
			t.Fatal(err)
		}
		eventually(t, readyIn, "the balancer notices", func() bool { return b.ready() == 2-i })
		if r := ada.open(t, front.origin()+"/"); r.Status != http.StatusOK {
			t.Errorf("after %d of three gateways were killed: status %d", i+1, r.Status)
		}
		ada.mustSay(t, "Notice board")
	}
	for _, one := range g[:2] {
		if err := one.start(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, readyIn, "the balancer has all again", func() bool { return b.ready() == 3 })
}
