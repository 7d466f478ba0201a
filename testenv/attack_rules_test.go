package testenv

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// attackGateway is the configuration that attacks run against: any host name, nobody has to log in, the rules as they
// come, at paranoia 1, blocking. Its WAF says in a log which rules matched (crsLogs).
func attackGateway(backend string) config {
	return config{Backend: backend, Caddyfile: `{
	import {$COMMON}
	log waf {
		output file {$STATE}.waf.log
		level DEBUG
		format json
		include http.handlers.gatehouse_waf
	}
	gatehouse {
		state_dir {$STATE}
		local
	}
}
https://:{$PORT}, https://localhost:{$PORT} {
	tls {$CERT} {$KEY}
	gatehouse {
		public /*
		waf {
			paranoia 1
		}
	}
	reverse_proxy {$BACKEND}
}
`}
}

// TestRules runs the tests of our own rules, rules/tests, through the gateway. Each rule that scores and each that
// takes a rule of CRS back has a test that it does and one that it does not.
func TestRules(t *testing.T) {
	t.Parallel()
	var stages []stage
	files, err := filepath.Glob(filepath.Join(root, "rules", "tests", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found, err := parseCorpus(content)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := strings.TrimSuffix(filepath.Base(name), ".yaml"); len(found) == 0 || strconv.Itoa(found[0].Rule) != want {
			t.Errorf("%s holds tests of another rule or none", name)
		}
		stages = append(stages, found...)
	}
	g := startGateway(t, attackGateway(startReflector(t)))
	results := crsRun(t, g, stages)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	crsLogs(t, g, results)

	does, doesNot := map[int]bool{}, map[int]bool{}
	for i, s := range stages {
		refused := s.Output.Status == http.StatusForbidden
		does[s.Rule] = does[s.Rule] || refused
		doesNot[s.Rule] = doesNot[s.Rule] || !refused
		if kind, detail := results[i].judge(s); kind != "" {
			t.Errorf("%s: %s: %s", s.ID, s.Desc, detail)
		}
	}
	for _, rule := range rulesToTest(t) {
		if !does[rule] || !doesNot[rule] {
			t.Errorf("rules/tests has no test that rule %d matches, or none that it does not", rule)
		}
	}
	t.Logf("%d tests of %d rules", len(stages), len(does))
}

// rulesToTest are the rules of ours, before CRS, that score or that take a target of a rule of CRS away because of
// what arguments hold.
func rulesToTest(t *testing.T) (ids []int) {
	t.Helper()
	id := regexp.MustCompile(`\bid:([0-9]+)`)
	for _, pattern := range []string{"94*.conf", "95*.conf", "96*.conf", "97*.conf"} {
		files, err := filepath.Glob(filepath.Join(root, "rules", "before", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("rules/before/%s: %v, %v", pattern, files, err)
		}
		for _, name := range files {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, paragraph := range strings.Split(string(content), "\nSecRule ") {
				// A link of a chain stays with its first: it is indented.
				m := id.FindStringSubmatch(paragraph)
				if m == nil || !strings.Contains(paragraph, "_anomaly_score") && !strings.Contains(paragraph, "ctl:ruleRemove") {
					continue
				}
				n, err := strconv.Atoi(m[1])
				if err != nil {
					t.Fatal(fmt.Errorf("%s: %w", name, err))
				}
				ids = append(ids, n)
			}
		}
	}
	if len(ids) < 10 {
		t.Fatalf("only %v found", ids)
	}
	return ids
}
