package seclang

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// span is a range of rule ids, both ends included.
type span struct{ low, high int }

func (s span) holds(id int) bool { return id >= s.low && id <= s.high }

// parseSpan reads 12 or 12-34.
func parseSpan(text string) (s span, err error) {
	low, high, ranged := strings.Cut(text, "-")
	if s.low, err = strconv.Atoi(low); err != nil {
		return s, fmt.Errorf("invalid id %q", text)
	}
	if s.high = s.low; ranged {
		if s.high, err = strconv.Atoi(high); err != nil || s.low > s.high {
			return s, fmt.Errorf("invalid range %q", text)
		}
	}
	return s, nil
}

// remove takes out the rules that f picks. Markers are rules with the id 0 and no tags.
func (r *reader) remove(f func(*Rule) bool) {
	r.program.Rules = slices.DeleteFunc(r.program.Rules, f)
}

func (r *reader) removeByID(_, value string) error {
	if value == "" {
		return errors.New("no ids")
	}
	for _, text := range strings.Fields(value) {
		s, err := parseSpan(text)
		if err != nil {
			return err
		}
		if strings.Contains(text, "-") {
			r.remove(func(rule *Rule) bool { return s.holds(rule.ID) })
		} else if rule := r.find(s.low); rule != nil { // the first one alone, which matters for 0
			r.remove(func(other *Rule) bool { return other == rule })
		}
	}
	return nil
}

func (r *reader) removeByTag(_, value string) error {
	if value == "" {
		return errors.New("no tag")
	}
	r.remove(func(rule *Rule) bool { return slices.Contains(rule.Tags, value) })
	return nil
}

func (r *reader) removeByMsg(_, value string) error {
	if value == "" {
		return errors.New("no message")
	}
	if slices.ContainsFunc(r.program.Rules, func(rule *Rule) bool { return rule.Message == "" }) {
		r.unread("SecRuleRemoveByMsg over rules that have no message, which Coraza 3.8.1 does not survive")
	}
	r.remove(func(rule *Rule) bool { return rule.Message == value })
	return nil
}

// eachUpdated calls change for the rules that a SecRuleUpdate…ById means: of several ids Coraza takes ranges up to and
// including the first single id. The last word is what is to be changed.
func (r *reader) eachUpdated(value string, change func(rule *Rule, text string) error) error {
	words := strings.Fields(value)
	if len(words) < 2 {
		return errors.New("want ids and what to change")
	}
	text := words[len(words)-1]
	for _, word := range words[:len(words)-1] {
		s, err := parseSpan(word)
		if err != nil {
			return err
		}
		if s.low <= 0 {
			r.unread("an update of markers (id 0)")
		}
		if s.low == s.high {
			rule := r.find(s.low)
			if rule == nil {
				return fmt.Errorf("rule %d does not exist", s.low)
			}
			return change(rule, text)
		}
		for _, rule := range r.program.Rules {
			if s.holds(rule.ID) {
				if err := change(rule, text); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// addTargets appends targets to a rule, but not to its links.
func (r *Rule) addTargets(text string) (err error) {
	r.Targets, err = appendTargets(r.Targets, strings.Trim(text, `"`))
	r.Updated = true
	return err
}

func (r *reader) updateTargetByID(_, value string) error {
	return r.eachUpdated(value, (*Rule).addTargets)
}

func (r *reader) updateTargetByTag(_, value string) error {
	words := strings.Fields(value)
	if len(words) != 2 {
		return errors.New("want a tag and variables")
	}
	for _, rule := range r.program.Rules {
		if slices.Contains(rule.Tags, strings.Trim(words[0], `"`)) {
			if err := rule.addTargets(words[1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// updateActionByID adds actions; a disruptive one replaces what is there. Defaults are not applied again.
func (r *reader) updateActionByID(_, value string) error {
	return r.eachUpdated(value, func(rule *Rule, text string) error {
		actions, err := parseActions(strings.Trim(text, `"`))
		if err != nil {
			return err
		}
		for _, a := range actions {
			if a.Name == "id" || a.Name == "phase" || a.Name == "chain" {
				r.unread("SecRuleUpdateActionById changes what rule %d is (%s)", rule.ID, a.Name)
			}
		}
		if anyDisruptive(actions) {
			rule.Actions = slices.DeleteFunc(rule.Actions, Action.Disruptive)
		}
		rule.Updated = true
		// Coraza adds to phase 2's rules what is assumed for phase 2 only when it parses a rule, not here.
		if err := rule.describe(actions); err != nil {
			return err
		}
		return rule.act(actions)
	})
}
