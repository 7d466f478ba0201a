package waf

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	crstests "github.com/corazawaf/coraza-coreruleset/v4/tests"
	"go.yaml.in/yaml/v3"
)

// What an exclusion costs, said in CRS's own regression tests: how many of the attacks that a rule's authors test it with
// it would no longer see, if they came in the place that is excluded.

// Cost is what one rule's exclusion from the places it matched in costs.
type Cost struct {
	Rule        int
	Collections []string // the kinds of places: ARGS, REQUEST_HEADERS, …
	Tests       int      // of CRS that want the rule to match
	Lost        int      // in which it matches in these collections, and nowhere else
	Refused     int      // of those, the ones that the rules which are left refuse all the same
}

// String is the sentence for a reviewer.
func (c Cost) String() string {
	switch {
	case c.Tests == 0:
		return fmt.Sprintf("CRS has no tests for %d: what excluding it costs is not known", c.Rule)
	case c.Lost == 0:
		return fmt.Sprintf("costs none of CRS's %d tests for %d, as far as %s goes", c.Tests, c.Rule, strings.Join(c.Collections, ", "))
	}
	return fmt.Sprintf("costs %d of CRS's %d tests for %d, if they came in this part of %s; %d of the %d would still be refused by the rules left",
		c.Lost, c.Tests, c.Rule, strings.Join(c.Collections, ", "), c.Refused, c.Lost)
}

// Costs says what taking the rules of the matches away from where they matched, all of them together, costs a site of
// this paranoia level, or of the rules' own where that is higher; one Cost a rule, in their order.
func Costs(all []Match, paranoia int) ([]Cost, error) {
	var costs []Cost
	var exclusions strings.Builder
	for _, m := range all {
		if counts(m.Rule) || denies(m.Rule) {
			continue
		}
		at := slices.IndexFunc(costs, func(c Cost) bool { return c.Rule == m.Rule })
		if at < 0 {
			at = len(costs)
			costs = append(costs, Cost{Rule: m.Rule})
		}
		collection, _, _ := strings.Cut(m.Target, ":")
		if slices.Contains(costs[at].Collections, collection) {
			continue
		}
		costs[at].Collections = append(costs[at].Collections, collection)
		paranoia = max(paranoia, Catalogue()[m.Rule].Paranoia)
		fmt.Fprintf(&exclusions, "SecAction \"id:%d,phase:1,pass,nolog,t:none,ctl:ruleRemoveTargetById=%d;%s\"\n", exclusions.Len()+1, m.Rule, collection)
	}
	if len(costs) == 0 {
		return nil, nil
	}
	cfg := Config{Paranoia: paranoia, Mode: Detect, BodyLimit: defaultBodyLimit}
	with, err := New(cfg, bodies)
	if err != nil {
		return nil, err
	}
	cfg.Rules = RuleFiles{"before/costs.conf": exclusions.String()}
	without, err := New(cfg, bodies)
	if err != nil {
		return nil, err
	}
	for n := range costs {
		if err := costs[n].count(with, without); err != nil {
			return nil, err
		}
	}
	return costs, nil
}

// count runs CRS's tests of the rule through both engines.
func (c *Cost) count(with, without *Engine) error {
	tests, err := crsTestsOf(c.Rule)
	for _, text := range tests {
		before, ok := findIn(with, text)
		if !ok {
			continue // not a request that Go reads, and so none that would get here
		}
		c.Tests++
		after, _ := findIn(without, text)
		if slices.Contains(before.Rules, c.Rule) && !slices.Contains(after.Rules, c.Rule) {
			c.Lost++
			if after.Blocking {
				c.Refused++
			}
		}
	}
	return err
}

// findIn judges a request that is written out.
func findIn(e *Engine, text string) (Findings, bool) {
	r, err := readRequest([]byte(text))
	if err != nil {
		return Findings{}, false
	}
	i := e.Inspect("cost")
	defer i.Close()
	if v := i.Head(r, netip.MustParseAddr("192.0.2.1")); !v.Given() {
		i.Body(r)
	}
	return i.found, true
}

// crsTestsOf returns the requests with which CRS's authors test that the rule matches.
func crsTestsOf(rule int) ([]string, error) {
	names, err := fs.Glob(crstests.FS, fmt.Sprintf("*/%d.yaml", rule))
	if err != nil || len(names) == 0 {
		return nil, err
	}
	text, err := fs.ReadFile(crstests.FS, names[0])
	if err != nil {
		return nil, err
	}
	var file struct {
		Tests []struct {
			Stages []struct {
				Input  crsInput `yaml:"input"`
				Output struct {
					Log struct {
						Expected []int `yaml:"expect_ids"`
					} `yaml:"log"`
				} `yaml:"output"`
			} `yaml:"stages"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("CRS's tests of %d: %w", rule, err)
	}
	var all []string
	for _, t := range file.Tests {
		for _, s := range t.Stages {
			if slices.Contains(s.Output.Log.Expected, rule) {
				all = append(all, s.Input.text())
			}
		}
	}
	return all, nil
}

// crsInput is a request of CRS's tests. The few that are given as bytes of a whole connection are not read: they test
// the framing, which is net/http's here.
type crsInput struct {
	Method  string            `yaml:"method"`
	URI     string            `yaml:"uri"`
	Version string            `yaml:"version"`
	Headers map[string]string `yaml:"headers"`
	Data    string            `yaml:"data"`
}

func (in crsInput) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", cmp.Or(in.Method, http.MethodGet), cmp.Or(in.URI, "/"), cmp.Or(in.Version, "HTTP/1.1"))
	typed := false
	for _, name := range slices.Sorted(maps.Keys(in.Headers)) {
		typed = typed || strings.EqualFold(name, "Content-Type")
		if !strings.EqualFold(name, "Content-Length") && !strings.EqualFold(name, "Transfer-Encoding") {
			fmt.Fprintf(&b, "%s: %s\n", name, in.Headers[name])
		}
	}
	if in.Data != "" && !typed {
		b.WriteString("Content-Type: application/x-www-form-urlencoded\n")
	}
	return b.String() + "\n" + in.Data + "\n"
}
