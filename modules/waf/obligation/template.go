package obligation

import "strings"

// answer is what is known of a TX key.
type answer uint8

const (
	unknown answer = iota // any value, or none
	absent
	constant
)

// maxText bounds constants: a rule that appends a key to itself would double it with every rule.
const maxText = 64 << 10

// token is a piece of a macro text: literal, or a variable in braces.
type token struct {
	text          string // of a variable: what stands between the braces
	variable, key string // upper case, lower case; variable is empty for a literal
}

// tokens splits a text as Coraza's macro package does. It reports false for what that refuses.
func tokens(text string) (all []token, ok bool) {
	for text != "" {
		begin := strings.Index(text, "%{")
		if begin < 0 {
			return append(all, token{text: text}), true
		}
		if begin > 0 {
			all = append(all, token{text: text[:begin]})
		}
		end := strings.IndexByte(text[begin:], '}')
		if end < 0 {
			return nil, false
		}
		name := text[begin+2 : begin+end]
		variable, key, _ := strings.Cut(name, ".")
		if variable == "" || strings.HasSuffix(name, ".") || strings.Contains(name, "%{") {
			return nil, false
		}
		all = append(all, token{name, strings.ToUpper(variable), strings.ToLower(key)})
		text = text[begin+end+1:]
	}
	return all, true
}

// expand replaces macros. tx answers for TX keys; a key that is absent expands to the text between the braces, as in
// Coraza. Every other variable is unknown. The result never holds what could be read as a macro again.
func expand(text string, tx func(key string) (string, answer)) (string, bool) {
	parts, ok := tokens(text)
	if !ok {
		return "", false
	}
	var b strings.Builder
	macro := false
	for _, t := range parts {
		switch {
		case t.variable == "":
			b.WriteString(t.text)
		case t.variable != "TX":
			return "", false
		default:
			macro = true
			v, known := tx(t.key)
			switch known {
			case unknown:
				return "", false
			case absent:
				v = t.text
			}
			b.WriteString(v)
		}
		if b.Len() > maxText {
			return "", false
		}
	}
	if macro && strings.Contains(b.String(), "%{") {
		return "", false
	}
	return b.String(), true
}

// pattern is what keys a template can produce: its literal pieces in order, with anything between them.
type pattern []string

// patternOf returns the pattern of a key template that has unknown parts. Constants are left open too, which only
// makes it wider.
func patternOf(template string) pattern {
	parts, ok := tokens(template)
	if !ok {
		return pattern{"", ""}
	}
	p := pattern{""}
	for _, t := range parts {
		if t.variable == "" {
			p[len(p)-1] += strings.ToLower(t.text)
		} else {
			p = append(p, "")
		}
	}
	return p
}

// matches reports whether the key can be one of the pattern's.
func (p pattern) matches(key string) bool {
	rest, ok := strings.CutPrefix(key, p[0])
	if !ok {
		return false
	}
	if len(p) == 1 {
		return rest == ""
	}
	for _, piece := range p[1 : len(p)-1] {
		i := strings.Index(rest, piece)
		if i < 0 {
			return false
		}
		rest = rest[i+len(piece):]
	}
	return strings.HasSuffix(rest, p[len(p)-1])
}
