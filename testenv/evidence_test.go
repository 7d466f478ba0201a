package testenv

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// evidenceReport is what stories read of a report.
type evidenceReport struct {
	Controls []struct {
		ID, Status, Saw, Fix string
		Probes               []string
	}
	Probes []struct{ Name, Status, Saw string }
}

// evidence runs `gatehouse evidence` and returns the report and the exit code.
func (g *gateway) evidence(t testing.TB, args ...string) (r evidenceReport, stderr string, code int) {
	t.Helper()
	args = append([]string{"evidence", "--address", "unix/" + g.env["ADMIN"], "--ca", g.env["CA"], "--format", "json", "--http-port", "1"}, args...)
	stdout, stderr, code, err := g.command(args...)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	return r, stderr, code
}

func (r evidenceReport) control(t testing.TB, id, status string) (saw, fix string) {
	t.Helper()
	for _, c := range r.Controls {
		if c.ID == id {
			if c.Status != status {
				t.Errorf("%s: %s, want %s: %s", id, c.Status, status, c.Saw)
			}
			return c.Saw, c.Fix
		}
	}
	t.Errorf("there is no control %s", id)
	return "", ""
}

// TestEvidence: CER-01, CER-02, CER-11, CER-12, BRF-02, BRF-19, CAL-01, CAL-07, CAL-08, NAT-12, NAT-22: the running gateway is probed, nothing fails, and
// what no probe can see is only declared. The bundle is signed and on record, verifies with the public key alone, and does not once
// anything in it is changed.
func TestEvidence(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Site: "allow role staff\n\t\tpublic /whoami", MFA: "nudge 1"})
	dir := filepath.Join(g.dir, "bundle")
	r, stderr, code := g.evidence(t, "--echo", "/whoami", "--out", dir)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for _, id := range []string{"CER-01", "CER-02", "CER-11", "CER-12", "CER-17", "CER-18", "CER-19", "BRF-01", "BRF-02", "BRF-03", "BRF-19", "BRF-22", "CAL-01", "CAL-05", "CAL-07",
		"CAL-08", "CAL-11", "CAL-14", "CTB-04", "NAT-04", "NAT-11", "NAT-12", "NAT-14", "NAT-16"} {
		r.control(t, id, "pass")
	}
	for _, id := range []string{"CER-05", "CER-08", "NAT-08"} {
		r.control(t, id, "declared")
	}
	r.control(t, "CER-04", "not applicable")
	for _, c := range r.Controls {
		if c.Status == "pass" && len(c.Probes) == 0 {
			t.Errorf("%s passes, and nothing probed it", c.ID)
		}
	}

	key := strings.TrimSpace(g.cliOut(t, "evidence", "key", "--address", "unix/"+g.env["ADMIN"]))
	if said := g.cliOut(t, "evidence", "--check", dir, "--key", key); !strings.Contains(said, "0 fail") {
		t.Errorf("%s", said)
	}
	note, err := os.ReadFile(filepath.Join(dir, "evidence.note"))
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(note), "\n\n")
	sum := sha256.Sum256([]byte(text + "\n"))
	if shown := g.cliOut(t, "audit", "export", g.auditDir()); !strings.Contains(shown, "evidence.made") || !strings.Contains(shown, hex.EncodeToString(sum[:])) {
		t.Error("the bundle is not on record")
	}
	table, err := os.Open(filepath.Join(dir, "evidence.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if rows, err := csv.NewReader(table).ReadAll(); err != nil || len(rows) != len(r.Controls)+1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	page := filepath.Join(dir, "evidence.html")
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, append(html, ' '), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code, _ := g.command("evidence", "--check", dir, "--key", key); code == 0 || !strings.Contains(stderr, "evidence.html was changed") {
		t.Errorf("a changed page: exit code %d, %s", code, stderr)
	}
}

// TestEvidenceFails: what a configuration breaks fails the run, by its id, and with what to do; so does a statement that is claimed and
// not configured, and a statement that somebody else's server cannot keep.
func TestEvidenceFails(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Site: "allow role staff\n\t\tinsecure_waf_off", House: defaultHouse + "\n\t\tsession {\n\t\t\tidle 2h\n\t\t\tadmin_idle 1h\n\t\t}"})
	r, stderr, code := g.evidence(t, "--statement", "cerebro")
	if code == 0 {
		t.Error("exit code 0")
	}
	for id, fix := range map[string]string{
		"CAL-08": "insecure_waf_off", "CER-03": "admin_idle 15m", "CER-05": "insecure_admins_without_factor", "CTB-01": "insecure_admins_without_factor", "CER-04": "verify {",
	} {
		if _, says := r.control(t, id, "fail"); !strings.Contains(says, fix) || !strings.Contains(stderr, id) {
			t.Errorf("%s: the fix is %q, and stderr %s", id, says, stderr)
		}
	}
	r.control(t, "CER-01", "pass")
	r.control(t, "CAL-09", "not applicable")

	plain := startPlain(t, config{Backend: be.Listen})
	r, _, code = g.evidence(t, "--connect", plain.addr())
	if code == 0 {
		t.Error("plain Caddy, probed in the gateway's place: exit code 0")
	}
	for _, id := range []string{"CER-01", "CER-11", "CER-17", "CAL-01"} {
		r.control(t, id, "fail")
	}
}

// TestTLSCheck: BRF-03: the gateway's listener has the best grade; plain Caddy's, and one that only knows TLS 1.2, have less.
func TestTLSCheck(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	check := func(g *gateway) (grade, stderr string, code int) {
		t.Helper()
		stdout, stderr, code, err := g.command("tls", "check", appHost, "--connect", g.addr(), "--ca", g.env["CA"], "--json")
		if err != nil {
			t.Fatal(err)
		}
		var said struct{ Grade string }
		if err := json.Unmarshal([]byte(stdout), &said); err != nil {
			t.Fatalf("%v: %s%s", err, stdout, stderr)
		}
		return said.Grade, stderr, code
	}
	g := startGateway(t, config{Backend: be.Listen, Site: "public /*"})
	if grade, stderr, code := check(g); grade != "A+" || code != 0 {
		t.Errorf("the gateway: %s, exit code %d, %s", grade, code, stderr)
	}
	if grade, _, code := check(startPlain(t, config{Backend: be.Listen})); grade != "A" || code != 0 {
		t.Errorf("plain Caddy: %s, exit code %d", grade, code)
	}
	old := startPlain(t, config{Backend: be.Listen, Caddyfile: "{\n\timport {$COMMON}\n}\nhttps://app.test:{$PORT} {\n\ttls {$CERT} {$KEY} {\n\t\tprotocols tls1.2 tls1.2\n\t}\n\trespond hello\n}\n"})
	if grade, stderr, code := check(old); grade != "A-" || code == 0 || !strings.Contains(stderr, "TLS 1.3") {
		t.Errorf("TLS 1.2 alone: %s, exit code %d, %s", grade, code, stderr)
	}
	if _, stderr, code, _ := g.command("tls", "check", appHost, "--connect", g.addr()); code == 0 || !strings.Contains(stderr, "not trusted") {
		t.Errorf("an authority that nobody trusts: exit code %d, %s", code, stderr)
	}
}
