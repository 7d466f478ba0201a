package testenv

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTestssl has testssl.sh, which knows more about TLS than we do, look at the listener: nothing it finds may be of
// medium severity or worse, but for what only a public certificate authority could provide.
func TestTestssl(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("testssl")
	if err != nil {
		t.Fatal("testssl is missing: run testenv/install.sh (Debian package testssl.sh)")
	}
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Site: "public /*"})
	_, port, err := net.SplitHostPort(g.addr())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	report, roots := filepath.Join(dir, "report.json"), filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(roots, ca().pem, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1",
		"--add-ca", roots, "--jsonfile", report, "--protocols", "--std", "--server-defaults", "--headers", "--vulnerable",
		net.JoinHostPort(appHost, port))
	out, err := cmd.CombinedOutput() // its exit code counts findings of every kind: the report decides
	data, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("testssl wrote no report (%v): %v\n%s", readErr, err, out)
	}
	var findings []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(data, &findings); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	// The lab's certificate lives for a day and names no revocation service.
	lab := map[string]bool{
		"cert_revocation": true, "cert_crlDistributionPoints": true, "cert_ocspURL": true, "DNS_CAArecord": true,
		"cert_expirationStatus": true, "cert_notAfter": true,
	}
	seen := map[string]string{}
	for _, f := range findings {
		seen[f.ID] = f.Finding
		switch f.Severity {
		case "MEDIUM", "HIGH", "CRITICAL", "FATAL":
			if !lab[f.ID] {
				t.Errorf("%s %s: %s", f.Severity, f.ID, f.Finding)
			}
		}
	}
	for id, want := range map[string]string{"TLS1_2": "not offered", "TLS1": "not offered", "SSLv3": "not offered", "TLS1_3": "offered with final"} {
		if seen[id] != want {
			t.Errorf("%s: %q, want %q", id, seen[id], want)
		}
	}
}
