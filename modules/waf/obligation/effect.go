package obligation

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gatehouse.internal/modules/waf/seclang"
)

// pure are the operators that look at nothing but the value and TX, and change nothing but captures.
var pure = []string{
	"", "beginswith", "contains", "detectsqli", "detectxss", "endswith", "eq", "ge", "gt", "ipmatch", "ipmatchf",
	"ipmatchfromdataset", "ipmatchfromfile", "le", "lt", "nomatch", "pm", "pmf", "pmfromdataset", "pmfromfile", "rx",
	"streq", "strmatch", "unconditionalmatch", "validatebyterange", "validatenid", "validateurlencoding",
	"validateutf8encoding", "within",
}

// expanding are the operators that expand macros in their argument.
var expanding = []string{
	"beginswith", "contains", "endswith", "eq", "ge", "gt", "le", "lt", "streq", "strmatch", "within",
}

// parsingCtl are the ctls that change how or whether a body is read.
var parsingCtl = []string{
	"requestBodyAccess", "requestBodyLimit", "requestBodyProcessor", "forceRequestBodyVariable",
	"responseBodyAccess", "responseBodyLimit", "responseBodyProcessor", "forceResponseBodyVariable",
}

// idleCtl change nothing that counts: what Coraza does not implement, its own debug log, and the rule engine, which can
// only evaluate less (Off), enforce less (DetectionOnly), or enforce what does not match on the clean path (On).
var idleCtl = []string{"hashEngine", "hashEnforcement", "debugLogLevel", "ruleEngine"}

// ctls returns the rule's ctl actions as names and values.
func ctls(link *seclang.Rule) (all [][2]string) {
	for _, a := range link.Actions {
		if a.Name == "ctl" {
			name, value, _ := strings.Cut(a.Value, "=")
			all = append(all, [2]string{name, value})
		}
	}
	return all
}

// loudLink reports whether a link's own actions have a consequence of their own. Whatever is unknown has one.
func loudLink(link *seclang.Rule) bool {
	for _, c := range ctls(link) {
		switch {
		case strings.HasPrefix(c[0], "ruleRemove"), slices.Contains(parsingCtl, c[0]), slices.Contains(idleCtl, c[0]):
		case c[0] == "auditEngine" && strings.EqualFold(c[1], "off"):
		default:
			return true
		}
	}
	for _, a := range link.Actions {
		// Coraza 3.8.1 does not survive setvar without a value.
		if a.Name == "setenv" || a.Name == "setvar" && !strings.Contains(a.Value, "=") {
			return true
		}
	}
	return false
}

// loud reports whether a match of the whole rule has a consequence: for the verdict, for a log, or among the findings,
// where a message counts unless the rule says nolog.
func loud(r *seclang.Rule) bool {
	if r.Log || r.Audit {
		return true
	}
	for _, a := range r.Actions {
		if a.Name == "deny" || a.Name == "drop" || a.Name == "redirect" {
			return true
		}
	}
	for _, link := range r.Links() {
		if loudLink(link) || link.Message != "" && !r.Has("nolog") {
			return true
		}
	}
	return false
}

// parses reports whether a link changes how bodies are read: by a ctl, or by an operator that is not known to be pure.
func parses(link *seclang.Rule) bool {
	return !slices.Contains(pure, link.Op.Name) ||
		slices.ContainsFunc(ctls(link), func(c [2]string) bool { return slices.Contains(parsingCtl, c[0]) })
}

// targetRemoval is a ctl that may take targets away from rules.
type targetRemoval struct {
	by            int
	variable, key string
	pattern       *regexp.Regexp
	rules         func(*seclang.Rule) bool
}

// touches reports whether the removal can take values away from the target.
func (t targetRemoval) touches(target seclang.Target) bool {
	switch {
	case t.variable != target.Variable:
		return false
	case target.Regex, target.Key == "", t.pattern == nil && t.key == "":
		return true
	case t.pattern != nil:
		return t.pattern.MatchString(strings.ToLower(target.Key))
	}
	return t.key == strings.ToLower(target.Key)
}

// removalOf reads a ruleRemove… ctl. targets is nil if whole rules are removed; ok is false for any other ctl.
func removalOf(by int, ctl [2]string) (rules func(*seclang.Rule) bool, targets *targetRemoval, ok bool) {
	what, isTarget := strings.CutPrefix(ctl[0], "ruleRemoveTargetBy")
	if !isTarget {
		if what, ok = strings.CutPrefix(ctl[0], "ruleRemoveBy"); !ok {
			return nil, nil, false
		}
	}
	value, rest, _ := strings.Cut(ctl[1], ";")
	rules = selector(what, value)
	if !isTarget {
		return rules, nil, true
	}
	variable, key, _ := strings.Cut(rest, ":")
	key = strings.TrimSpace(key)
	t := &targetRemoval{by: by, variable: strings.ToUpper(strings.TrimSpace(variable)), key: strings.ToLower(key), rules: rules}
	if len(key) >= 2 && key[0] == '/' && key[len(key)-1] == '/' {
		// A pattern that does not compile, or that Coraza takes for a name, stands for everything.
		t.key = ""
		if re, err := regexp.Compile(key[1 : len(key)-1]); err == nil && !strings.HasSuffix(key, `\/`) {
			t.pattern = re
		}
	}
	return rules, t, true
}

// selector returns which rules an id, a range, a tag or a message means. Ids that cannot be read mean none, as in
// Coraza.
func selector(what, value string) func(*seclang.Rule) bool {
	switch what {
	case "Tag":
		return func(r *seclang.Rule) bool { return slices.Contains(r.Tags, value) }
	case "Msg":
		return func(r *seclang.Rule) bool { return r.Message == value && value != "" }
	}
	low, high, ranged := strings.Cut(value, "-")
	if !ranged {
		high = low
	}
	first, err1 := strconv.Atoi(low)
	last, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil {
		return func(*seclang.Rule) bool { return false }
	}
	return func(r *seclang.Rule) bool { return r.ID >= first && r.ID <= last }
}
