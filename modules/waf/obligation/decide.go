package obligation

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gatehouse.internal/modules/waf/seclang"
)

// outcome of a link's condition.
type outcome uint8

const (
	maybe outcome = iota
	no
	yes
)

// decide answers a link's condition from the abstract TX, if that suffices: times is how many values match. needs are
// the writes because of which it does not.
func (w *walk) decide(r, link *seclang.Rule) (result outcome, times int, needs []int) {
	if link.Op.Name == "" {
		return yes, 1, nil
	}
	values, known, needs := w.values(r, link)
	if !known {
		return maybe, 0, needs
	}
	if len(values) == 0 {
		return no, 0, nil // whatever the operator: it is asked about nothing
	}
	argument := link.Op.Argument
	if slices.Contains(expanding, link.Op.Name) {
		var ok bool
		if argument, ok = expand(argument, w.tx.macro); !ok {
			return maybe, 0, w.needsOf(link.Op.Argument)
		}
	}
	for _, v := range values {
		v, ok := transformed(v, link)
		if !ok {
			return maybe, 0, nil
		}
		match, ok := evaluate(link.Op.Name, argument, v)
		if !ok {
			return maybe, 0, nil
		}
		if match != link.Op.Negated {
			times++
		}
	}
	if times == 0 {
		return no, 0, nil
	}
	return yes, times, nil
}

// values returns what a link's targets hold, if all of it is constant.
func (w *walk) values(r, link *seclang.Rule) (values []string, known bool, needs []int) {
	for i, t := range link.Targets {
		switch {
		case t.Negated:
			continue
		case t.Variable != "TX" || t.Key == "" && !t.Regex, except(link.Targets[i+1:]):
			return nil, false, nil
		case w.targetMayVanish(r, t):
			return nil, false, nil
		}
		found, ok, blame := w.held(t)
		if !ok {
			return nil, false, blame
		}
		if t.Count {
			found = []string{strconv.Itoa(len(found))}
		}
		values = append(values, found...)
	}
	return values, true, nil
}

// except reports whether later targets take something of TX away, which is not worth modelling.
func except(later []seclang.Target) bool {
	return slices.ContainsFunc(later, func(t seclang.Target) bool { return t.Negated && t.Variable == "TX" })
}

// held returns the constant values of TX that a target selects.
func (w *walk) held(t seclang.Target) (values []string, ok bool, blame []int) {
	if !t.Regex {
		switch v := w.tx.get(t.Key); v.known {
		case constant:
			return []string{v.text}, true, nil
		case absent:
			return nil, true, nil
		default:
			return nil, false, v.writes
		}
	}
	re, err := regexp.Compile(t.Key)
	if err != nil || len(w.tx.taints) > 0 { // what a dynamic key may be called is not known
		return nil, false, nil
	}
	for key, v := range w.tx.keys {
		switch {
		case !re.MatchString(key) || v.known == absent:
		case v.known == unknown:
			return nil, false, nil
		default:
			values = append(values, v.text)
		}
	}
	return values, true, nil
}

// needsOf returns the writes that keep a macro text from being constant.
func (w *walk) needsOf(text string) (needs []int) {
	parts, _ := tokens(text)
	for _, t := range parts {
		if t.variable == "TX" {
			if v := w.tx.get(t.key); v.known == unknown {
				needs = union(needs, v.writes)
			}
		}
	}
	return needs
}

// idle are transformations that leave a run of ASCII digits as it is.
var idle = []string{
	"lowercase", "uppercase", "urldecode", "urldecodeuni", "htmlentitydecode", "removenulls", "replacenulls",
	"removewhitespace", "compresswhitespace", "trim", "trimleft", "trimright", "cmdline", "jsdecode", "cssdecode",
	"utf8tounicode", "removecomments", "replacecomments", "normalizepath", "normalisepath",
}

// transformed applies a link's transformations where that is the identity.
func transformed(v string, link *seclang.Rule) (string, bool) {
	if len(link.Transformations) == 0 {
		return v, true
	}
	if v == "" || strings.Trim(v, "0123456789") != "" {
		return "", false
	}
	for _, t := range link.Transformations {
		if !slices.Contains(idle, t) {
			return "", false
		}
	}
	// With multiMatch a value may be judged several times, all equal: how often is not known.
	return v, !link.MultiMatch
}

// evaluate is the operator, for those that configuration is compared with. Coraza reads what is no number as 0 (or, if
// it is out of range, as the nearest number there is).
func evaluate(op, argument, v string) (match, ok bool) {
	a, _ := strconv.Atoi(argument)
	n, _ := strconv.Atoi(v)
	switch op {
	case "eq":
		return n == a, true
	case "ge":
		return n >= a, true
	case "gt":
		return n > a, true
	case "le":
		return n <= a, true
	case "lt":
		return n < a, true
	case "streq":
		return v == argument, true
	case "contains", "strmatch":
		return strings.Contains(v, argument), true
	case "within":
		return strings.Contains(argument, v), true
	case "beginswith":
		return strings.HasPrefix(v, argument), true
	case "endswith":
		return strings.HasSuffix(v, argument), true
	case "unconditionalmatch":
		return true, true
	case "nomatch":
		return false, true
	}
	return false, false
}
