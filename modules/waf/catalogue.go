package waf

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"gatehouse.internal/rules"
)

// RuleInfo is what a rule's author says about it.
type RuleInfo struct {
	ID       int
	File     string
	Message  string
	Severity string
	Paranoia int    // 0 when the rule does not say
	Attacks  string // its tags attack-…, separated by spaces
}

var (
	ruleID       = regexp.MustCompile(`\bid:'?(\d+)`)
	ruleSeverity = regexp.MustCompile(`severity:'?([A-Z0-9]+)`)
	ruleParanoia = regexp.MustCompile(`tag:'paranoia-level/(\d)'`)
	ruleAttack   = regexp.MustCompile(`tag:'(attack-[a-z0-9-]+)'`)
)

// Catalogue returns every rule in the binary by its id. The map must not be changed.
var Catalogue = sync.OnceValue(func() map[int]RuleInfo {
	all := map[int]RuleInfo{}
	for _, root := range []fs.FS{coreruleset.FS, rules.FS} {
		_ = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || path.Ext(name) != ".conf" {
				return nil
			}
			if text, err := fs.ReadFile(root, name); err == nil {
				describeRules(all, path.Base(name), string(text))
			}
			return nil
		})
	}
	return all
})

// describeRules adds the rules of a file. It reads just enough of the language: directives continue over lines that end
// in a backslash, and comments are lines.
func describeRules(all map[int]RuleInfo, file, text string) {
	var directive strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		body, more := strings.CutSuffix(line, `\`)
		directive.WriteString(body)
		if more {
			continue
		}
		whole := directive.String()
		directive.Reset()
		if !strings.HasPrefix(whole, "SecRule ") && !strings.HasPrefix(whole, "SecAction ") {
			continue
		}
		m := ruleID.FindStringSubmatch(whole)
		if m == nil {
			continue // a link of a chain
		}
		info := RuleInfo{File: file, Message: message(whole)}
		info.ID, _ = strconv.Atoi(m[1])
		if m := ruleSeverity.FindStringSubmatch(whole); m != nil {
			info.Severity = strings.ToLower(m[1])
		}
		if m := ruleParanoia.FindStringSubmatch(whole); m != nil {
			info.Paranoia, _ = strconv.Atoi(m[1])
		}
		for _, m := range ruleAttack.FindAllStringSubmatch(whole, -1) {
			info.Attacks = strings.TrimLeft(info.Attacks+" "+m[1], " ")
		}
		all[info.ID] = info
	}
}

// attackTags returns every tag attack-… that a rule in the binary has, sorted.
var attackTags = sync.OnceValue(func() []string {
	var all []string
	for _, info := range Catalogue() {
		all = append(all, strings.Fields(info.Attacks)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
})
