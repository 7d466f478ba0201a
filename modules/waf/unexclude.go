package waf

import (
	"path"
	"regexp"
	"strings"
)

// Exclusions taken out of rule files: what a shadow judges by that is to find what they are for.

var (
	// exclusionAction is an exclusion for one request: ctl:ruleRemoveTargetById=941100;ARGS:text. Coraza's parser ends it at
	// a comma, even in a regular expression.
	exclusionAction = regexp.MustCompile(`(?i)ctl:\s*ruleRemove\w+\s*=[^,"]*`)
	// exclusionDirective is an exclusion for all of them.
	exclusionDirective = regexp.MustCompile(`(?i)^SecRule(?:RemoveBy|UpdateTargetBy)`)
)

// nothingExcluded takes the place of an exclusion: there is no such rule, so that what else its directive does stays.
const nothingExcluded = "ctl:ruleRemoveById=999999999"

// withoutExclusions returns the files as they would be without any exclusion. Lines keep their numbers.
func (files RuleFiles) withoutExclusions() RuleFiles {
	out := RuleFiles{}
	for name, text := range files {
		if path.Ext(name) == ".conf" {
			text = withoutExclusions(text)
		}
		out[name] = text
	}
	return out
}

func withoutExclusions(text string) string {
	lines := strings.Split(text, "\n")
	starts := directives(text)
	for n, at := range starts {
		end := len(lines)
		if n+1 < len(starts) {
			end = starts[n+1]
		}
		whole := exclusionDirective.MatchString(strings.TrimSpace(lines[at]))
		for i := at; i < end; i++ {
			switch comment := strings.HasPrefix(strings.TrimSpace(lines[i]), "#"); {
			case comment:
			case whole:
				lines[i] = "#" + lines[i]
			default:
				lines[i] = exclusionAction.ReplaceAllString(lines[i], nothingExcluded)
			}
		}
	}
	return strings.Join(lines, "\n")
}
