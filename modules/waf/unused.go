package waf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// written is an exclusion in a rule file.
type written struct {
	file string
	line int
	text string // the directive on one line

	operator, path string // of the path it is for; "" for every path
	removes        []removal
}

// removal is what an exclusion takes away: rules from a target, or from everything when target is "".
type removal struct {
	low, high int    // rule ids; 0: tag says which
	tag       string // attack-…
	target    string
}

var (
	// excludedPath finds the path of an exclusion: what propose writes, and its neighbour for subtrees.
	excludedPath = regexp.MustCompile(`(?i)^SecRule\s+REQUEST_FILENAME\s+"@(streq|beginsWith)\s+([^"]+)"`)
	// removalAction reads what exclusionAction finds.
	removalAction = regexp.MustCompile(`(?i)^ctl:\s*ruleRemove(?:Target)?By(Id|Tag)\s*=\s*([^;]+?)\s*(?:;\s*(.+?)\s*)?$`)
	// removalDirective reads what exclusionDirective finds.
	removalDirective = regexp.MustCompile(`(?i)^SecRule(?:Remove|UpdateTarget)By(Id|Tag)\s+"?([^"\s]+)"?(?:\s+"?!([^"]+)"?)?$`)
)

// exclusions returns the exclusions in the files, in order.
func (files RuleFiles) exclusions() (all []written) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".conf" {
			continue
		}
		lines := strings.Split(files[name], "\n")
		starts := directives(files[name])
		for n, at := range starts {
			end := len(lines)
			if n+1 < len(starts) {
				end = starts[n+1]
			}
			if w, ok := readExclusion(lines[at:end]); ok {
				w.file, w.line = name, at+1
				all = append(all, w)
			}
		}
	}
	return all
}

// readExclusion reads the lines of one directive; ok is false when it is no exclusion.
func readExclusion(lines []string) (w written, ok bool) {
	var b strings.Builder
	for _, line := range lines {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			b.WriteString(strings.TrimSuffix(line, `\`))
		}
	}
	w.text = strings.TrimSpace(b.String())
	if exclusionDirective.MatchString(w.text) {
		if m := removalDirective.FindStringSubmatch(w.text); m != nil {
			w.remove(m[1], m[2], m[3])
		}
		return w, true
	}
	found := exclusionAction.FindAllString(w.text, -1)
	if m := excludedPath.FindStringSubmatch(w.text); m != nil {
		w.operator, w.path = m[1], m[2]
	}
	for _, action := range found {
		if m := removalAction.FindStringSubmatch(action); m != nil {
			w.remove(m[1], m[2], m[3])
		}
	}
	return w, len(found) > 0
}

// remove adds what an action or a directive takes away.
func (w *written) remove(by, what, target string) {
	r := removal{target: target}
	if strings.EqualFold(by, "tag") {
		r.tag = what
	} else {
		low, high, _ := strings.Cut(what, "-")
		r.low, _ = strconv.Atoi(low)
		if r.high, _ = strconv.Atoi(high); r.high == 0 {
			r.high = r.low
		}
	}
	w.removes = append(w.removes, r)
}

// at reports whether the exclusion is for requests of this path.
func (w *written) at(p string) bool {
	switch {
	case w.path == "":
		return true
	case strings.EqualFold(w.operator, "streq"):
		return p == w.path
	}
	return strings.HasPrefix(p, w.path)
}

// covers reports whether the match is of what the removal takes away.
func (r removal) covers(m Match) bool {
	switch {
	case r.low != 0 && (m.Rule < r.low || m.Rule > r.high):
		return false
	case r.low == 0 && !slices.Contains(strings.Fields(Catalogue()[m.Rule].Attacks), r.tag):
		return false
	}
	collection, key, keyed := strings.Cut(r.target, ":")
	found, name, _ := strings.Cut(m.Target, ":")
	return r.target == "" || strings.EqualFold(collection, found) && (!keyed || strings.EqualFold(key, name) || name == "*" || strings.HasPrefix(key, "/"))
}

func (r removal) String() string {
	what := cmp.Or(r.tag, strconv.Itoa(r.low))
	if r.high != r.low {
		what += fmt.Sprintf("-%d", r.high)
	}
	if r.target != "" {
		what += " in " + r.target
	}
	return what
}

// seen is what a log says about the use of exclusions.
type seen struct {
	paths       map[string]bool // of requests
	requests    int
	first, last float64 // when

	shadowed    bool // a shadow judged without exclusions
	since       float64
	differences []shadowLine // what it found
}

func readSeen(log io.Reader) (s seen, err error) {
	s.paths = map[string]bool{}
	err = eachLine(log, func(line []byte) {
		if !bytes.Contains(line, []byte("gatehouse.access")) && !bytes.Contains(line, []byte("gatehouse_waf.shadow")) {
			return
		}
		var l shadowLine
		if json.Unmarshal(line, &l) != nil {
			return
		}
		switch {
		case l.Logger == "gatehouse.access":
			s.paths[l.Path] = true
			if s.requests++; s.requests == 1 {
				s.first = l.Time
			}
			s.last = l.Time
		case strings.HasSuffix(l.Logger, "gatehouse_waf.shadow") && strings.Contains(l.Shadow, noExclusions):
			if !s.shadowed {
				s.shadowed, s.since = true, l.Time
			}
			s.differences = append(s.differences, l)
		}
	})
	if err == nil && s.requests == 0 {
		err = fmt.Errorf("the log has no request: is it the access log (JSON lines of gatehouse.access)?")
	}
	return s, err
}

// Unused warns of exclusions that no request in the log needed: none had the path, or a shadow without exclusions judged
// requests and the rule matched in none of them. Without such a shadow the second cannot be told: an exclusion keeps the
// rule from matching.
func Unused(files RuleFiles, log io.Reader) ([]Warning, error) {
	s, err := readSeen(log)
	if err != nil {
		return nil, err
	}
	var found []Warning
	for _, w := range files.exclusions() {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(s.paths)), w.at) {
			found = append(found, Warning{w.file, w.line, fmt.Sprintf("none of the %d requests in the log, from %s to %s, had the path %s: is the exclusion still needed?",
				s.requests, day(s.first), day(s.last), w.path)})
			continue
		}
		if !s.shadowed {
			continue
		}
		for _, r := range w.removes {
			if !s.needed(w, r) {
				found = append(found, Warning{w.file, w.line, fmt.Sprintf("%s matched in no request that the shadow judged without exclusions since %s: is the exclusion still needed?",
					r, day(s.since))})
			}
		}
	}
	return found, nil
}

// needed reports whether the shadow found what the exclusion takes away.
func (s *seen) needed(w written, r removal) bool {
	return slices.ContainsFunc(s.differences, func(l shadowLine) bool {
		if !w.at(l.Path) {
			return false
		}
		all, err := ParseMatches(l.Matched)
		return err == nil && slices.ContainsFunc(all, r.covers)
	})
}

func day(unix float64) string { return time.Unix(int64(unix), 0).UTC().Format(time.DateOnly) }
