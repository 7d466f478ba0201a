package prove

import (
	"strconv"
	"strings"

	"gatehouse.internal/modules/waf/automaton"
	"gatehouse.internal/modules/waf/symbol"
)

// comparisons are the operators whose argument may hold macros; of a value s and the expanded argument.
var comparisons = map[string]func(s, arg string) bool{
	"streq":      func(s, arg string) bool { return s == arg },
	"contains":   strings.Contains,
	"strmatch":   strings.Contains,
	"beginswith": strings.HasPrefix,
	"endswith":   strings.HasSuffix,
	"within":     func(s, arg string) bool { return strings.Contains(arg, s) },
	"eq":         func(s, arg string) bool { return number(s) == number(arg) },
	"ge":         func(s, arg string) bool { return number(s) >= number(arg) },
	"gt":         func(s, arg string) bool { return number(s) > number(arg) },
	"le":         func(s, arg string) bool { return number(s) <= number(arg) },
	"lt":         func(s, arg string) bool { return number(s) < number(arg) },
}

// number reads a number as Coraza does, errors included: strconv.Atoi returns the nearest number with a range error
// and 0 otherwise.
func number(s string) int {
	if s == "" || s[0] > '9' { // the common texts, without building an error
		return 0
	}
	n, _ := strconv.Atoi(s)
	return n
}

// compare models a comparison: with a constant argument once for all, else against what the transaction makes of it.
// Macros that configuration decides at the rule's place are already expanded by obligation.
func (o *operator) compare(name, arg string) {
	test, ok := comparisons[name]
	if !ok {
		return
	}
	if strings.Contains(arg, "%{") {
		o.withArg = test
		return
	}
	o.holds = func(s string, _ *automaton.Budget) bool { return test(s, arg) }
	switch name {
	case "streq", "contains", "strmatch", "beginswith", "endswith":
		o.minLen, o.part = len(arg), arg // the value has all of arg in it
		for i := range len(arg) {
			if b := symbol.Byte(arg[i]); len(o.sets) < 3 && b&(symbol.Lower|symbol.Digit) == 0 {
				o.sets = append(o.sets, b)
			}
		}
	}
}
