package standard_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What CrowdSec has decided holds at the handshake, with the key from a file that stands in no configuration.
func TestCrowdSecDecisions(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/decisions/stream" || r.Header.Get("X-Api-Key") != "hush-hush" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"new":[{"id":1,"origin":"cscli","type":"ban","scope":"Range","value":"127.0.0.0/8","duration":"3h59m","scenario":"manual"}],"deleted":null}`)
	}))
	t.Cleanup(api.Close)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("hush-hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := operate(t, "policy", "public /*", "backend", "reverse_proxy "+backend(t), "idp", "voucher\n ban {\n include_private\n blocklist cs crowdsec "+api.URL+" {\n key {file."+key+"}\n }\n }")
	awaitDropped(t, g.Gateway)
	if out := g.ok("ban", "check", "127.0.0.1"); !strings.Contains(out, "is shut out") || !strings.Contains(out, "blocklist cs") {
		t.Errorf("check: %s", out)
	}
	res, body := get(t, http.DefaultClient, "http://"+g.admin+"/config/")
	if res.StatusCode != 200 || strings.Contains(body, "hush") || !strings.Contains(body, "crowdsec") {
		t.Errorf("the configuration: %d %s", res.StatusCode, body)
	}
}

// The host's firewall takes what is exported, and what is kept for it.
func TestBansForTheHostsFirewall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "banned.nft")
	g := operate(t, "idp", "voucher\n ban {\n nftables "+file+"\n }", "policy", "public /*", "backend", "respond hello")
	g.ok("ban", "add", "198.51.100.0/24", "--for", "10m")
	g.ok("ban", "add", "2001:db8:1::/64", "--for", "10m")
	out := g.ok("ban", "export", "--format", "nftables") + "\n"
	if !strings.Contains(out, "198.51.100.0/24 timeout 6") && !strings.Contains(out, "198.51.100.0/24 timeout 59") {
		t.Fatalf("exported: %s", out)
	}
	g.no("there is nftables", "ban", "export", "--format", "pf")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(file)
		if strings.Contains(string(text), "198.51.100.0/24") && strings.Contains(string(text), "2001:db8:1::/64") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the file: %s", text)
		}
	}
	nft, err := exec.LookPath("nft")
	if err != nil {
		nft = "/usr/sbin/nft"
	}
	if _, err := os.Stat(nft); err != nil {
		t.Skip("nft is not installed")
	}
	answer, err := exec.Command(nft, "-c", "-f", file).CombinedOutput()
	if strings.Contains(string(answer), "not permitted") {
		t.Skip("nft may not ask the kernel here")
	}
	if err != nil {
		t.Errorf("nft -c -f: %v: %s", err, answer)
	}
}

// fail2ban reads the bans out of the access log with the filter that the manual shows.
func TestFail2banReadsTheLog(t *testing.T) {
	f2b, err := exec.LookPath("fail2ban-regex")
	if err != nil {
		t.Skip("fail2ban is not installed")
	}
	g := operate(t, "idp", "voucher", "policy", "public /*", "backend", "respond hello")
	g.ok("ban", "add", "198.51.100.9", "--for", "10m")
	g.ok("ban", "add", "198.51.100.10", "--for", "10m", "--action", "step_up")
	g.ok("ban", "remove", "198.51.100.9")
	awaitLog(t, g.Gateway, "[manual] Unban 198.51.100.9")
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte(g.Log()), 0o600); err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../../caddyfiles/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(manual), "```ini\n# /etc/fail2ban/filter.d/gatehouse.conf\n")
	text, _, found := strings.Cut(rest, "```")
	filter := filepath.Join(t.TempDir(), "gatehouse.conf")
	if err := os.WriteFile(filter, []byte(text), 0o600); err != nil || !found {
		t.Fatalf("the manual's filter: %v %v", found, err)
	}
	out, err := exec.Command(f2b, "--out", "ip", log, filter).CombinedOutput()
	if got := strings.Fields(string(out)); err != nil || len(got) != 1 || got[0] != "198.51.100.9" {
		t.Errorf("fail2ban finds %q, %v", out, err)
	}
}
