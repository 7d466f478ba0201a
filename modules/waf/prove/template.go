package prove

import (
	"strings"

	"gatehouse.internal/modules/waf/seclang"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// template is a text with macros, in parts. known is false if some macro cannot be told.
type template struct {
	parts []part
	known bool
}

// part is a constant, or a macro: a capture of the chain so far, the value just matched, or a variable of the request.
type part struct {
	kind     partKind
	text     string // the constant; of a variable what Coraza leaves if it is not there
	capture  int
	variable variables.RuleVariable
	key      string
}

type partKind uint8

const (
	isConstant partKind = iota
	isCapture
	isMatched
	isVariable
)

// constant reports whether the template has no macros.
func (t *template) constant() (string, bool) {
	if !t.known || len(t.parts) > 1 || len(t.parts) == 1 && t.parts[0].kind != isConstant {
		return "", false
	}
	if len(t.parts) == 0 {
		return "", true
	}
	return t.parts[0].text, true
}

// has reports whether some part is of that kind.
func (t *template) has(k partKind) bool {
	for _, p := range t.parts {
		if p.kind == k {
			return true
		}
	}
	return false
}

// readTemplate reads a text as Coraza's package macro does.
func readTemplate(s string) template {
	t := template{known: true}
	for s != "" {
		at := strings.Index(s, "%{")
		if at < 0 {
			t.add(part{text: s})
			break
		}
		if at > 0 {
			t.add(part{text: s[:at]})
		}
		end := strings.IndexByte(s[at:], '}')
		if end < 0 {
			t.known = false
			break
		}
		end += at
		t.macro(s[at+2 : end])
		s = s[end+1:]
	}
	return t
}

func (t *template) add(p part) {
	if n := len(t.parts); n > 0 && p.kind == isConstant && t.parts[n-1].kind == isConstant {
		t.parts[n-1].text += p.text
		return
	}
	t.parts = append(t.parts, p)
}

func (t *template) macro(text string) {
	name, key, _ := strings.Cut(text, ".")
	v, err := variables.Parse(name)
	key = strings.ToLower(key)
	switch {
	case err != nil:
		t.known = false
	case v == variables.TX:
		n, ok := captureNumber(key)
		if !ok {
			t.known = false
			return
		}
		t.add(part{kind: isCapture, capture: n})
	case v == variables.MatchedVar && key == "":
		t.add(part{kind: isMatched})
	case volatile[v]:
		t.known = false
	default:
		t.add(part{kind: isVariable, text: text, variable: v, key: key})
	}
}

// captureNumber reads 0 to 9.
func captureNumber(key string) (int, bool) {
	if len(key) != 1 || key[0] < '0' || key[0] > '9' {
		return 0, false
	}
	return int(key[0] - '0'), true
}

// variableText expands a variable of the request as Coraza's macro does.
func (pf *Proof) variableText(p *part) string {
	switch col := pf.tx.Collection(p.variable).(type) {
	case nil:
		return p.text
	case collection.Keyed:
		if values := col.Get(p.key); len(values) > 0 {
			return values[0]
		}
	case collection.Single:
		return col.Get()
	default:
		if all := col.FindAll(); len(all) > 0 {
			return all[0].Value()
		}
	}
	return p.text
}

// assignment is a setvar: of a rule or link, for the links after it.
type assignment struct {
	key   template
	value template
	plain bool // it assigns value; otherwise it counts, or removes, or value is not known to be no count
}

// readAssignments returns what a match of the rule, without the rest of its chain, writes to TX.
func readAssignments(r *seclang.Rule) (out []assignment) {
	for _, a := range r.Actions {
		if a.Name != "setvar" {
			continue
		}
		name, value, assigns := strings.Cut(a.Value, "=")
		collection, key, _ := strings.Cut(strings.TrimSpace(name), ".")
		if !strings.EqualFold(strings.TrimPrefix(collection, "!"), "tx") {
			continue
		}
		// A value that begins with a sign, once expanded, is added: so one must begin with something else.
		plain := assigns && collection[0] != '!' && value != "" && !strings.ContainsRune("+-%", rune(value[0]))
		out = append(out, assignment{readTemplate(strings.ToLower(key)), readTemplate(value), plain})
	}
	return out
}
