package testenv

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// judge says by what kind of failure a stage fails, and the particulars; "" when it passes.
func (r *crsResult) judge(s stage) (kind, detail string) {
	if s.Output.ExpectError {
		if r.err != nil {
			return "", ""
		}
		return r.kind(), fmt.Sprintf("status %d, want none", r.answer.Status)
	}
	missing, unwanted := r.wrongs(s)
	switch {
	case len(missing)+len(unwanted) == 0:
		return "", ""
	case len(missing) == 0:
		kind = "stricter"
	default:
		kind = r.kind()
	}
	return kind, fmt.Sprintf("%s (rules %v)", strings.Join(append(missing, unwanted...), ", "), r.rules)
}

// kind says who decided about a request that lacks a match: the row's reason, the server before the row, or the rules.
func (r *crsResult) kind() string {
	switch {
	case r.answer == nil:
		return "no answer"
	case r.line == nil:
		return fmt.Sprintf("net/http %d", r.answer.Status)
	case !r.seen:
		return fmt.Sprint(r.line["reason"])
	}
	return "missed"
}

// wrongs are what should have been and was not, and the rules that should not have matched.
func (r *crsResult) wrongs(s stage) (missing, unwanted []string) {
	add := func(to *[]string, format string, args ...any) { *to = append(*to, fmt.Sprintf(format, args...)) }
	if r.answer == nil {
		return []string{fmt.Sprint(r.err)}, nil
	}
	if want := s.Output.Status; want != 0 && want != r.answer.Status {
		add(&missing, "status %d, want %d", r.answer.Status, want)
	}
	if want := s.Output.ResponseContains; want != "" && !bytes.Contains(r.answer.Body, []byte(want)) {
		add(&missing, "the answer lacks %q", want)
	}
	log := s.Output.Log
	for _, id := range log.ExpectIDs {
		if !slices.Contains(r.rules, id) {
			add(&missing, "rule %d did not match", id)
		}
	}
	for _, id := range log.NoExpectIDs {
		if slices.Contains(r.rules, id) {
			add(&unwanted, "rule %d matched", id)
		}
	}
	// Expressions are about the text of ModSecurity's log, matched data included, which is in no log of ours. Each of
	// them means that the rule under test has matched, or has not.
	if log.MatchRegex != "" && !r.found(s.Rule) {
		add(&missing, "rule %d did not match", s.Rule)
	}
	if log.NoMatchRegex != "" && r.found(s.Rule) {
		add(&unwanted, "rule %d matched", s.Rule)
	}
	if s.Output.Isolated && len(r.rules) != 1 {
		add(&unwanted, "%d rules matched, want one", len(r.rules))
	}
	return missing, unwanted
}

// found reports whether the rule matched, or, for a multipart header that is none, the engine refused to read the
// body: 922130's own tests accept either.
func (r *crsResult) found(rule int) bool {
	return slices.Contains(r.rules, rule) || rule == 922130 && (slices.Contains(r.rules, 200002) || slices.Contains(r.rules, 200003))
}

// crsExplanations reads the table of rules/README.md: for each stage that fails, by what kind.
func crsExplanations(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "rules", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(content), "\n## CRS's own tests\n")
	if !ok {
		t.Fatal("rules/README.md has no section CRS's own tests")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	explained := map[string]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.Trim(cells[1], " -") == "" || strings.TrimSpace(cells[1]) == "stages" {
			continue
		}
		for id := range strings.FieldsSeq(cells[1]) {
			if explained[id] != "" {
				t.Errorf("rules/README.md explains %s twice", id)
			}
			explained[id] = strings.Trim(cells[2], " `")
		}
	}
	return explained
}
