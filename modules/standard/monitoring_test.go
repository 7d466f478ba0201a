package standard_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var (
	metricUsed = regexp.MustCompile(`\bgatehouse_[a-z0-9_]+`)
	metricMade = regexp.MustCompile(`(?s)(?:Namespace: "gatehouse", )?(?:Subsystem: "([a-z0-9_]+)", )?Name:\s+"([a-z0-9_]+)"`)
	kindMade   = regexp.MustCompile(`Kind\s+= "([a-z_]+\.[a-z_]+)"`)
	kindUsed   = regexp.MustCompile(`kind(?:=~|=)"([^"]*)"`)
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// sources calls f with every Go file of the modules that is no test.
func sources(t *testing.T, f func(text string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		f(string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What the shipped alerts and the dashboard ask for is there, and each alert has its paragraph in the manual.
func TestAlertsAskForWhatThereIs(t *testing.T) {
	metrics, kinds := map[string]bool{}, map[string]bool{}
	sources(t, func(text string) {
		for _, m := range metricMade.FindAllStringSubmatch(text, -1) {
			name := strings.TrimPrefix(m[2], "gatehouse_")
			if m[1] != "" {
				name = m[1] + "_" + name
			}
			metrics["gatehouse_"+name] = true
		}
		for _, m := range kindMade.FindAllStringSubmatch(text, -1) {
			kinds[m[1]] = true
		}
	})
	alerts, err := os.ReadFile("../../caddyfiles/monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	board, err := os.ReadFile("../../caddyfiles/monitoring/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../../caddyfiles/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(board, &dashboard); err != nil || len(dashboard.Panels) < 10 {
		t.Fatalf("%d panels: %v", len(dashboard.Panels), err)
	}
	used := string(alerts)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			used += "\n" + target.Expr
		}
	}
	for _, name := range metricUsed.FindAllString(used, -1) {
		if !metrics[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("no metric is called %s", name)
		}
	}
	for _, m := range kindUsed.FindAllStringSubmatch(used, -1) {
		for _, kind := range strings.Split(m[1], "|") {
			if !strings.Contains(kind, "*") && !kinds[kind] {
				t.Errorf("no event is called %s", kind)
			}
		}
	}
	anchors := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(string(manual), -1) {
		anchors[strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")] = true
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(alerts, &file); err != nil {
		t.Fatal(err)
	}
	classes := map[string]int{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			classes[r.Labels["class"]]++
			at, ok := strings.CutPrefix(r.Annotations["runbook"], "caddyfiles/README.md#")
			if !ok || !anchors[at] || r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s: severity %q, summary %q, runbook %q", r.Alert, r.Labels["severity"], r.Annotations["summary"], r.Annotations["runbook"])
			}
		}
	}
	if len(classes) != 5 || classes["availability"]*classes["errors"]*classes["authentication"]*classes["privileged"]*classes["capacity"] == 0 {
		t.Errorf("classes of alerts: %v", classes)
	}
}

// What alerts ask for is counted from the start, or the first time would be no increase.
func TestEventsAreCounted(t *testing.T) {
	body := operate(t).metrics()
	for _, want := range []string{`gatehouse_events_total{kind="break_glass.used"} 0`, `gatehouse_events_total{kind="house.started"} `} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}
