package seclang

import (
	"errors"
	"slices"
	"strings"
)

// The places that Coraza's reader of variables can be in.
const (
	inName = iota
	inKey
	inPattern
	inPath // of XML and JSON
)

// appendTargets reads VARIABLE:key|!VARIABLE:/pattern/|&VARIABLE… and appends what it says. It is Coraza's
// ParseVariables, character by character; slips of that are kept where they change the result (a closing slash or
// quote takes the next character with it, an escape at the end of one key reaches into the next).
func appendTargets(targets []Target, text string) ([]Target, error) {
	var name, key []byte
	var target Target
	state, escaped, quoted := inName, false, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if (c == '|' && state != inPattern) || i+1 >= len(text) || (state == inPattern && c == '/' && !escaped) {
			if c != '|' {
				if state == inName {
					name = append(name, c)
				} else if state != inPattern && c != '/' {
					key = append(key, c)
				}
			}
			if quoted {
				if (len(text) <= i+1 || text[i+1] != '\'') && c != '\'' {
					return nil, errors.New("a variable's key has an open quote")
				}
				i += 2
				quoted = false
			} else if state == inPattern {
				i++
			}
			if len(name) == 0 {
				return nil, errors.New("a target without a variable")
			}
			target.Variable = strings.ToUpper(string(name))
			target.Key = string(key)
			if state == inPattern {
				target.Key = "/" + target.Key + "/"
			}
			targets = append(targets, target.folded())
			name, key, target, state = nil, nil, Target{}, inName
			continue
		}
		switch state {
		case inName:
			switch c {
			case '!':
				target.Negated = true
			case '&':
				target.Count = true
			case ':':
				state = inKey
			default:
				name = append(name, c)
			}
		case inKey:
			switch {
			case len(key) == 0 && (string(name) == "XML" || string(name) == "JSON"):
				state = inPath
				key = append(key, c)
			case c == '/':
				state = inPattern
			case c == '\'':
				quoted = true
			default:
				key = append(key, c)
			}
		case inPattern:
			escaped = c == '\\' && !escaped
			key = append(key, c)
		case inPath:
			key = append(key, c)
		}
	}
	return targets, nil
}

// keepCase are the variables whose keys Coraza leaves as they are written.
var keepCase = []string{"ARGS", "ARGS_NAMES", "ARGS_GET", "ARGS_POST", "ARGS_GET_NAMES", "ARGS_POST_NAMES"}

// folded tells a pattern from a name, and folds the key as Coraza does: a name when it adds the target, or, of an
// exception, when it compares; a pattern when it compiles it (so that \S becomes \s).
func (t Target) folded() Target {
	pattern, ok := betweenSlashes(t.Key)
	if ok {
		t.Key, t.Regex = pattern, true
	}
	if !slices.Contains(keepCase, t.Variable) || t.Negated && !t.Regex {
		t.Key = strings.ToLower(t.Key)
	}
	if t.Negated {
		t.Count = false
	}
	return t
}

// betweenSlashes returns what stands between two slashes, unless the last one is escaped.
func betweenSlashes(key string) (string, bool) {
	if len(key) < 2 || key[0] != '/' || key[len(key)-1] != '/' {
		return "", false
	}
	inner := key[1 : len(key)-1]
	escapes := len(inner) - len(strings.TrimRight(inner, `\`))
	return inner, escapes%2 == 0
}
