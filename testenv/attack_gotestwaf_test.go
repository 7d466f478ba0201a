package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// goTestWAF is the version whose figures are in rules/README.md.
const goTestWAF = "github.com/wallarm/gotestwaf@v0.5.8"

// TestGoTestWAF runs GoTestWAF: its attacks, as they are and in base64, and its harmless texts. A refusal of the gateway
// counts as one whatever its status says: 400 and 405 are not reasons of the application, which answers all with 200. (BRF-22)
func TestGoTestWAF(t *testing.T) {
	onlyForAttack(t)
	bin, dir := buildGoTestWAF(t)
	g := startGateway(t, attackGateway(startReflector(t)))
	out := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), toolPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "--url", fmt.Sprintf("https://localhost:%d/", g.port), "--blockConnReset",
		"--blockStatusCodes", "400,403,405,413,415,421,431", "--skipWAFIdentification", "--sendDelay", "0", "--randomDelay", "1",
		"--workers", "4", "--noEmailReport", "--reportFormat", "json", "--reportPath", out, "--reportName", "report", "--quiet")
	cmd.Dir = dir // where its test cases are
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text[max(0, len(text)-2000):])
	}
	content, err := os.ReadFile(filepath.Join(out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Score   float64
		Summary struct {
			Positive struct{ Score float64 } `json:"true_positive_tests"`
			Negative struct{ Score float64 } `json:"true_negative_tests"`
		}
	}
	if err := json.Unmarshal(content, &report); err != nil {
		t.Fatal(err)
	}
	attacks, harmless := report.Summary.Positive.Score, report.Summary.Negative.Score
	t.Logf("GoTestWAF: score %.2f; %.2f %% of the attacks refused, %.2f %% of the harmless texts let pass", report.Score, attacks, harmless)
	if report.Score < 90 || harmless < 95 {
		t.Errorf("want a score of 90 and 95 %% of the harmless texts")
	}
}

// buildGoTestWAF builds the tool from the module cache, with its own go.sum.
func buildGoTestWAF(t *testing.T) (bin, dir string) {
	t.Helper()
	text, err := exec.Command("go", "mod", "download", "-json", goTestWAF).Output()
	if err != nil {
		cannot(t, "%s cannot be downloaded: %v", goTestWAF, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(text, &module); err != nil {
		t.Fatal(err)
	}
	bin = filepath.Join(t.TempDir(), "gotestwaf")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/gotestwaf")
	cmd.Dir = module.Dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return bin, module.Dir
}
