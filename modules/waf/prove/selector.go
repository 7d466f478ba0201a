package prove

import (
	"regexp"
	"strings"

	"github.com/corazawaf/coraza/v3/types/variables"

	"gatehouse.internal/modules/waf/seclang"
)

// target is one variable of a rule with its selection, as Coraza's GetField reads it.
type target struct {
	variable variables.RuleVariable
	from     []source // nil: not understood
	key      string   // as folded by the parser; "" without a selector
	rx       *regexp.Regexp
	count    bool
	except   []exception
}

// exception excludes names. Coraza asks it about the name in lower case.
type exception struct {
	key string // lower case; "" excludes everything
	rx  *regexp.Regexp
}

// readTargets sorts a rule's targets. A negated target takes from all targets of the very same variable before it, as
// in Coraza's AddVariableNegation. ok is false if some part is not understood: then anything may be selected.
func readTargets(list []seclang.Target) (out []target, ok bool) {
	for _, t := range list {
		v, from, known := sourcesOf(t.Variable)
		rx, err := selectorRegexp(t)
		if err != nil {
			return nil, false
		}
		if t.Negated {
			for i := range out {
				if out[i].variable == v {
					out[i].except = append(out[i].except, exception{strings.ToLower(t.Key), rx})
				}
			}
			continue
		}
		tt := target{variable: v, from: from, rx: rx, count: t.Count}
		if !known {
			tt.from = nil
		}
		if rx == nil {
			tt.key = t.Key
		}
		out = append(out, tt)
	}
	return out, true
}

// selectorRegexp compiles a selector between slashes, without flags, as Coraza does.
func selectorRegexp(t seclang.Target) (*regexp.Regexp, error) {
	if !t.Regex {
		return nil, nil
	}
	return regexp.Compile(t.Key)
}

// excludes reports whether a name, in lower case, is taken out.
func (t *target) excludes(lower string) bool {
	for i := range t.except {
		x := &t.except[i]
		if x.rx != nil && x.rx.MatchString(lower) || x.rx == nil && (x.key == "" || x.key == lower) {
			return true
		}
	}
	return false
}

// selects reports whether a value of the source is the target's, by the key under which its collection keeps it and its
// name in lower case. A collection that folds names folds the selector too when it is asked for values; when it is asked
// for names it does not (NamedCollectionNames.FindString), so that a selector with a capital letter selects none.
func (t *target) selects(from source, key, lower string) bool {
	switch {
	case t.rx != nil:
		if !t.rx.MatchString(key) {
			return false
		}
	case t.key != "":
		if t.key != key && (from.names || sensitive(from.variable) || strings.ToLower(t.key) != key) {
			return false
		}
	}
	return !t.excludes(lower)
}
