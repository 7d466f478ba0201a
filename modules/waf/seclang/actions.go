package seclang

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The kinds of actions, as Coraza 3.8.1 sorts them. msg is metadata and logdata is not, which is Coraza's choice.
var (
	metadata   = []string{"accuracy", "id", "maturity", "msg", "phase", "rev", "severity", "tag", "ver"}
	disruptive = []string{"allow", "block", "deny", "drop", "pass", "redirect"}
	ordinary   = []string{
		"auditlog", "capture", "chain", "ctl", "exec", "expirevar", "initcol", "log", "logdata", "multimatch",
		"noauditlog", "nolog", "setenv", "setvar", "skip", "skipafter", "status", "t",
	}
)

// Disruptive reports whether the action is one of those of which a rule has at most one.
func (a Action) Disruptive() bool { return slices.Contains(disruptive, a.Name) }

func (a Action) metadata() bool { return slices.Contains(metadata, a.Name) }

func anyDisruptive(actions []Action) bool { return slices.ContainsFunc(actions, Action.Disruptive) }

// parseActions reads actions separated by commas. Between single quotes a comma is text, as is any character after a
// backslash, even one that is itself escaped; the first character is never looked at, all of which is Coraza's way.
func parseActions(text string) (actions []Action, err error) {
	begin, colon, quoted := 0, -1, false
	flush := func(end int) error {
		name, value := text[begin:end], ""
		if colon >= 0 {
			name, value = text[begin:colon], text[colon+1:end]
		}
		actions, err = appendAction(actions, name, value)
		return err
	}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case text[i-1] == '\\':
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == ':' && colon < 0:
			colon = i
		case c == ',':
			if err := flush(i); err != nil {
				return nil, err
			}
			begin, colon = i+1, -1
		}
	}
	if err := flush(len(text)); err != nil {
		return nil, err
	}
	return actions, nil
}

// appendAction adds an action; a disruptive one takes the place of the one before it.
func appendAction(actions []Action, name, value string) ([]Action, error) {
	a := Action{strings.ToLower(strings.TrimSpace(name)), unquote(strings.TrimSpace(value))}
	if !a.metadata() && !a.Disruptive() && !slices.Contains(ordinary, a.Name) {
		return nil, fmt.Errorf("unknown action %q", a.Name)
	}
	if a.Disruptive() {
		if at := slices.IndexFunc(actions, Action.Disruptive); at >= 0 {
			actions[at] = a
			return actions, nil
		}
	}
	return append(actions, a), nil
}

// defaultAction is one SecDefaultAction.
type defaultAction struct {
	phase   int
	actions []Action
	err     error // Coraza reads it anew with every rule, and only then complains
}

// coraza2 is what Coraza assumes for phase 2 if nothing else is said. Other phases have no default.
var coraza2 = []Action{{"phase", "2"}, {"log", ""}, {"auditlog", ""}, {"pass", ""}}

// secDefaultAction remembers actions for rules that follow.
func (r *reader) secDefaultAction(_, value string) error {
	if value == "" {
		return errors.New("no actions")
	}
	d := defaultAction{}
	if d.actions, d.err = parseActions(value); d.err != nil {
		r.defaults = append(r.defaults, d)
		return nil
	}
	for _, a := range d.actions {
		switch {
		case a.Name == "phase":
			if d.phase, d.err = parsePhase(a.Value); d.err != nil {
				r.defaults = append(r.defaults, d)
				return nil
			}
		case a.metadata(), a.Name == "t":
			d.err = fmt.Errorf("SecDefaultAction cannot hold %s", a.Name)
		}
	}
	taken := slices.ContainsFunc(r.defaults, func(o defaultAction) bool { return o.phase == d.phase })
	if d.phase == 0 || taken || !anyDisruptive(d.actions) {
		d.err = errors.New("SecDefaultAction wants a phase of its own and a disruptive action")
	}
	r.defaults = append(r.defaults, d)
	return nil
}

func (r *reader) defaultsUsable() error {
	for _, d := range r.defaults {
		if d.err != nil {
			return d.err
		}
	}
	return nil
}

// defaultsOf returns the default actions of a phase; nil: none.
func defaultsOf(phase int, defaults []defaultAction) []Action {
	for _, d := range defaults {
		if d.phase == phase {
			return d.actions
		}
	}
	if phase == 2 {
		return coraza2
	}
	return nil
}

// apply gives the rule its actions. What describes it comes first, because the phase picks the defaults.
func (r *Rule) apply(own []Action, defaults []defaultAction) error {
	if err := r.describe(own); err != nil {
		return err
	}
	if d := defaultsOf(r.Phase, defaults); d != nil {
		own = merge(own, d)
	}
	return r.act(own)
}

// describe applies metadata.
func (r *Rule) describe(actions []Action) (err error) {
	for _, a := range actions {
		if !a.metadata() {
			continue
		}
		switch a.Name {
		case "id":
			if r.ID, err = strconv.Atoi(a.Value); err != nil || r.ID <= 0 {
				return fmt.Errorf("invalid id %q", a.Value)
			}
		case "phase":
			if r.Phase, err = parsePhase(a.Value); err != nil {
				return err
			}
		case "msg":
			r.Message = unquote(a.Value)
		case "tag":
			r.Tags = append(r.Tags, a.Value)
		}
		r.Actions = append(r.Actions, a)
	}
	return nil
}

// act applies everything else, in order.
func (r *Rule) act(actions []Action) error {
	for _, a := range actions {
		switch a.Name {
		case "log":
			r.Log, r.Audit = true, true
		case "nolog":
			r.Log, r.Audit = false, false
		case "auditlog":
			r.Audit = true
		case "noauditlog":
			r.Audit = false
		case "capture":
			r.Capture = true
		case "multimatch":
			r.MultiMatch = true
		case "t":
			if a.Value == "none" {
				r.Transformations = nil
			} else {
				r.Transformations = append(r.Transformations, strings.ToLower(a.Value))
			}
		}
		if !a.metadata() {
			r.Actions = append(r.Actions, a)
		}
	}
	return nil
}

// merge puts the defaults before the rule's own actions. The default's disruptive action counts if the rule has none,
// or says block.
func merge(own, defaults []Action) (merged []Action) {
	var last Action
	for _, a := range defaults {
		switch {
		case a.Disruptive():
			last = a
		case !a.metadata():
			merged = append(merged, a)
		}
	}
	decided := false
	for _, a := range own {
		if a.Disruptive() {
			if a.Name == "block" {
				continue
			}
			decided = true
		}
		merged = append(merged, a)
	}
	if !decided {
		merged = append(merged, last)
	}
	return merged
}
