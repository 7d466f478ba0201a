package testenv

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAlerts has Prometheus' own tool read the shipped alerts, and try each class on series of numbers as they would be.
func TestAlerts(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs prometheus: testenv/install.sh")
	}
	dir, err := filepath.Abs("../caddyfiles/monitoring")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(tool, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "SUCCESS") {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
