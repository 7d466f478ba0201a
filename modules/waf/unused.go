package waf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// excludedPath finds the path of an exclusion: what propose writes, and its neighbour for subtrees.
var excludedPath = regexp.MustCompile(`(?i)^SecRule\s+REQUEST_FILENAME\s+"@(streq|beginsWith)\s+([^"]+)"`)

// Unused warns of exclusions whose path no request in the access log had. It says nothing of exclusions without such a
// path, and cannot say whether the rule would still match: an exclusion keeps that from being seen.
func Unused(files RuleFiles, log io.Reader) ([]Warning, error) {
	paths, first, last, total := map[string]bool{}, 0.0, 0.0, 0
	err := eachLine(log, func(line []byte) {
		var l struct {
			Logger string  `json:"logger"`
			Time   float64 `json:"ts"`
			Path   string  `json:"path"`
		}
		if !bytes.Contains(line, []byte("gatehouse.access")) || json.Unmarshal(line, &l) != nil || l.Logger != "gatehouse.access" {
			return
		}
		paths[l.Path] = true
		if total++; total == 1 {
			first = l.Time
		}
		last = l.Time
	})
	if err != nil {
		return nil, err
	}
	if total == 0 {
		return nil, fmt.Errorf("the log has no request: is it the access log (JSON lines of gatehouse.access)?")
	}
	var found []Warning
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
			whole := strings.TrimSpace(strings.Join(lines[at:end], "\n"))
			m := excludedPath.FindStringSubmatch(whole)
			if m == nil || !strings.Contains(whole, "ctl:ruleRemove") || seenPath(paths, m[1], m[2]) {
				continue
			}
			found = append(found, Warning{name, at + 1, fmt.Sprintf("none of the %d requests in the log, from %s to %s, had the path %s: is the exclusion still needed?",
				total, day(first), day(last), m[2])})
		}
	}
	return found, nil
}

// seenPath reports whether the operator matches one of the paths.
func seenPath(paths map[string]bool, operator, argument string) bool {
	if strings.EqualFold(operator, "streq") {
		return paths[argument]
	}
	for p := range paths {
		if strings.HasPrefix(p, argument) {
			return true
		}
	}
	return false
}

func day(unix float64) string { return time.Unix(int64(unix), 0).UTC().Format(time.DateOnly) }
