package testenv

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// crsBlocked is how much of what CRS's authors attack its first level with must be refused at that level, in percent:
// no less than stock Coraza refuses. The rest are notices, which alone do not reach the threshold.
const crsBlocked = 97.4

// TestCRSBlocks sends the attacks of CRS's corpus, each that a rule of paranoia 1 is to match, through the gateway as it
// is deployed: blocking, at paranoia 1, with everything on. TestCRS says which rules match; this, what comes of it. (BRF-22, CAL-08)
func TestCRSBlocks(t *testing.T) {
	t.Parallel()
	var attacks []stage
	level := crsLevels(t)
	for _, s := range corpus(t) {
		if level[s.Rule] == "1" && len(s.Output.Log.ExpectIDs) > 0 {
			attacks = append(attacks, s)
		}
	}
	c := attackGateway(startReflector(t))
	c.Caddyfile = strings.Replace(c.Caddyfile, "paranoia 1", "response_inspection", 1)
	g := startGateway(t, c)
	began := time.Now()
	results := crsRun(t, g, attacks)
	took := time.Since(began)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	passed := map[int]int{}
	blocked := 0
	for i, r := range results {
		if r.answer == nil || r.answer.Status >= http.StatusBadRequest {
			blocked++
		} else {
			passed[attacks[i].Rule]++
		}
	}
	t.Logf("in %v; those that pass, by rule: %v", took.Round(time.Second), passed)
	t.Logf("%d of %d attacks at paranoia 1 refused", blocked, len(attacks))
	if share := 100 * float64(blocked) / float64(len(attacks)); share < crsBlocked {
		t.Errorf("%.1f %% of the attacks are refused, want %.1f %%", share, crsBlocked)
	}
}

var (
	crsID    = regexp.MustCompile(`"id:(\d+),`)
	crsLevel = regexp.MustCompile(`tag:'paranoia-level/(\d)'`)
)

// crsLevels returns the paranoia level of each of CRS's rules that has one.
func crsLevels(t *testing.T) map[int]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(corpusDir(t), "rules", "@owasp_crs", "*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	levels := map[int]string{}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, rule := range bytes.Split(content, []byte("\nSecRule ")) {
			id, level := crsID.FindSubmatch(rule), crsLevel.FindSubmatch(rule)
			if id == nil || level == nil {
				continue
			}
			n, err := strconv.Atoi(string(id[1]))
			if err != nil {
				t.Fatal(err)
			}
			levels[n] = string(level[1])
		}
	}
	return levels
}
