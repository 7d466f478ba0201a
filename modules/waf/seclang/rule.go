package seclang

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// secRule reads SecRule VARIABLES "OPERATOR" ["ACTIONS"].
func (r *reader) secRule(raw, value string) error {
	if strings.TrimSpace(value) == "" {
		return errors.New("empty rule")
	}
	targets, op, actions, err := splitRule(value)
	if err != nil {
		return err
	}
	rule := r.newRule(raw)
	if rule.Targets, err = appendTargets(nil, targets); err != nil {
		return err
	}
	if rule.Op, err = parseOperator(op); err != nil {
		return err
	}
	rule.Op.Dir = r.dir
	rule.Op.Dataset = r.datasets[rule.Op.Argument]
	var own []Action
	if actions != "" { // without actions not even the defaults are applied
		if own, err = parseActions(actions); err != nil {
			return err
		}
	}
	return r.add(rule, own)
}

// secAction reads SecAction "ACTIONS".
func (r *reader) secAction(raw, value string) error {
	if strings.TrimSpace(value) == "" {
		return errors.New("empty rule")
	}
	own, err := parseActions(unquote(value))
	if err != nil {
		return err
	}
	return r.add(r.newRule(raw), own)
}

// secMarker adds a label to skip to.
func (r *reader) secMarker(_, value string) error {
	if value == "" {
		return errors.New("a marker without a label")
	}
	rule := r.newRule("SecMarker " + value)
	rule.Marker, rule.Phase = value, 0
	return r.append(rule)
}

func (r *reader) newRule(raw string) *Rule {
	return &Rule{Phase: 2, Raw: raw, File: r.name, Line: r.total, At: r.at()}
}

// add applies actions and puts the rule where it belongs: behind a rule that waits for a link of its chain, or last.
func (r *reader) add(rule *Rule, own []Action) error {
	if err := r.defaultsUsable(); err != nil {
		return err
	}
	if len(own) > 0 {
		if err := rule.apply(own, r.defaults); err != nil {
			return err
		}
	}
	parent, last := r.waiting()
	if parent == nil {
		if rule.ID == 0 {
			r.unread("a rule without an id")
		}
		return r.append(rule)
	}
	if anyDisruptive(own) {
		return fmt.Errorf("a disruptive action in a link of the chain of rule %d", parent.ID)
	}
	// Which actions count, and when, differs for a chain whose first rule has no id: Coraza takes every link for a
	// first rule. It is unread already.
	rule.Phase = 0
	parent.Raw += " \n" + rule.Raw
	last.Chain = rule
	return nil
}

// waiting returns the last rule, and the last link of its chain, if that says "chain" and nothing follows yet.
func (r *reader) waiting() (parent, last *Rule) {
	if len(r.program.Rules) == 0 {
		return nil, nil
	}
	parent = r.program.Rules[len(r.program.Rules)-1]
	last = parent
	for last.Chain != nil {
		last = last.Chain
	}
	if !last.Has("chain") {
		return nil, nil
	}
	return parent, last
}

// append adds a rule to the program, as Coraza's RuleGroup does.
func (r *reader) append(rule *Rule) error {
	if rule.ID != 0 && r.find(rule.ID) != nil {
		return fmt.Errorf("rule id %d is taken", rule.ID)
	}
	r.program.Rules = append(r.program.Rules, rule)
	r.program.added = append(r.program.added, rule.observed())
	return nil
}

func (r *reader) find(id int) *Rule {
	for _, rule := range r.program.Rules {
		if rule.ID == id {
			return rule
		}
	}
	return nil
}

// finish notes what is only known at the end.
func (r *reader) finish() {
	for _, rule := range r.program.Rules {
		for _, link := range rule.Links() {
			if link.Has("chain") && link.Chain == nil {
				r.program.Unread = append(r.program.Unread, fmt.Sprintf("%s: rule %d says chain and has no next link", rule.At, rule.ID))
			}
		}
	}
}

// splitRule cuts a rule's text into its three parts.
func splitRule(data string) (targets, op, actions string, err error) {
	targets, rest, ok := strings.Cut(strings.Trim(data, " "), " ")
	rest = strings.TrimLeft(rest, " ")
	if !ok || rest == "" || rest[0] != '"' {
		return "", "", "", errors.New("want variables and an operator in quotes")
	}
	end := closingQuote(rest)
	if end < 0 {
		return "", "", "", errors.New("the operator's quotes are not closed")
	}
	op = strings.ReplaceAll(rest[1:end], `\"`, `"`)
	rest = strings.TrimLeft(rest[end+1:], " ")
	if rest == "" {
		return targets, op, "", nil
	}
	if len(rest) < 2 || rest[0] != '"' || rest[len(rest)-1] != '"' {
		return "", "", "", errors.New("want actions in quotes")
	}
	return targets, op, unquote(rest), nil
}

// closingQuote returns the index of the quote that closes the one s begins with, or -1. A quote after an odd number of
// backslashes does not close. Coraza's count runs on over an escaped backslash pair, as here.
func closingQuote(s string) int {
	escapes := 0
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			escapes++
		case s[i] != '"':
			escapes = 0
		case escapes%2 == 1:
			escapes = 0
		default:
			return i
		}
	}
	return -1
}

// unquote removes one pair of equal quotes around s.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' && s[0] != '\'' || s[len(s)-1] != s[0] {
		return s
	}
	return s[1 : len(s)-1]
}

// parseOperator reads @name argument, !@name argument, or a pattern alone, which is for @rx.
func parseOperator(text string) (Operator, error) {
	switch {
	case text == "" || text[0] != '@' && text[0] != '!':
		text = "@rx " + text
	case text == "!":
		text = "!@rx"
	case text[0] == '!' && text[1] != '@':
		text = "!@rx " + text[1:]
	}
	name, argument, _ := strings.Cut(text, " ")
	op := Operator{Argument: strings.TrimSpace(argument), Negated: name[0] == '!'}
	name = strings.TrimPrefix(strings.TrimSpace(name), "!")
	if op.Name = strings.ToLower(strings.TrimPrefix(name, "@")); op.Name == "" {
		return op, errors.New("an operator without a name")
	}
	return op, nil
}

// parsePhase reads what the action phase says.
func parsePhase(text string) (int, error) {
	switch text {
	case "request":
		return 2, nil
	case "response":
		return 4, nil
	case "logging":
		return 5, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 5 {
		return 0, fmt.Errorf("invalid phase %q", text)
	}
	return n, nil
}
