package waf

import (
	"slices"
	"strings"

	"github.com/corazawaf/coraza/v3/types"
)

// What rules matched is people's data. It is kept only where a house seals it for its analysts, and bounded here.
const (
	maxTaken      = 16   // values of one request, and of its answer
	maxTakenValue = 2048 // bytes of one
	maxTakenName  = 256
)

// Taken is a value that a rule matched.
type Taken struct {
	Rule     int
	In, Name string // the collection, and which of it
	Value    string // its first maxTakenValue bytes
	Bytes    int    // of all of it
}

// take copies what the detection rules among these have matched, each value of a rule once. What chains matched of what they
// had captured is left out, as in matches.
func take(rules []types.MatchedRule) (taken []Taken) {
	for _, rule := range rules {
		id := rule.Rule().ID()
		if rule.Message() == "" || counts(id) {
			continue
		}
		for _, data := range rule.MatchedDatas() {
			in, value := data.Variable().Name(), data.Value()
			if strings.HasPrefix(in, "TX") || strings.HasPrefix(in, "MATCHED_") {
				continue
			}
			t := Taken{Rule: id, In: in, Name: cut(data.Key(), maxTakenName), Value: cut(value, maxTakenValue), Bytes: len(value)}
			if slices.Contains(taken, t) {
				continue
			}
			if taken = append(taken, t); len(taken) == maxTaken {
				return taken
			}
		}
	}
	return taken
}

// cut copies the first n bytes of s: nothing larger is held on to by it.
func cut(s string, n int) string { return strings.Clone(s[:min(n, len(s))]) }
