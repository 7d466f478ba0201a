package obligation

import (
	"slices"
	"strconv"
	"strings"

	"gatehouse.internal/modules/waf/seclang"
)

// maxTimes bounds how often a link's actions are replayed; beyond, what they come to is unknown.
const maxTimes = 64

// effects does what a link does that surely matches, as often as it does. If it may not be executed at all, both ways
// are covered, and those because of whom are blamed if that makes a difference.
func (w *walk) effects(r *seclang.Rule, link int, e execution, times int) {
	if times > maxTimes {
		w.captures(r.Links()[link])
		w.mayAct(r, link)
		return
	}
	before := w.tx.clone()
	w.captures(r.Links()[link]) // by the operator, before the actions
	for range times {
		w.setvars(r, link)
	}
	w.remove(r, link)
	if !e.weak || w.tx.same(before, value.equal) {
		return
	}
	if !w.tx.same(before, func(a, b value) bool { return a.known == b.known && a.text == b.text }) {
		for _, id := range e.blame {
			w.promote(id)
		}
	}
	w.tx.join(before)
}

// mayAct covers a link whose actions run any number of times, or not at all.
func (w *walk) mayAct(r *seclang.Rule, link int) {
	w.remove(r, link)
	for {
		before := w.tx.clone()
		w.setvars(r, link)
		w.tx.join(before)
		if w.tx.same(before, value.equal) {
			return // every step makes keys unknown or adds writes, of which there are finitely many
		}
	}
}

// setvars runs a link's setvar actions once, in order.
func (w *walk) setvars(r *seclang.Rule, link int) {
	for _, a := range r.Links()[link].Actions {
		if a.Name == "setvar" {
			w.setvar(r, link, a.Value)
		}
	}
}

// setvar runs TX.key=value or !TX.key=….
func (w *walk) setvar(r *seclang.Rule, link int, text string) {
	name, text, remove, ok := cutSetvar(text)
	if !ok {
		return // loud: it is not run on the clean path
	}
	at := w.write(Write{By: r.ID, Link: link, Key: name, Value: text})
	key, ok := expand(name, w.tx.macro)
	if key = strings.ToLower(key); !ok {
		w.tx.taint(taint{patternOf(name), at})
		return
	}
	if remove {
		w.tx.set(key, value{known: absent, writes: []int{at}})
		return
	}
	now := w.tx.get(key)
	next := value{known: unknown}
	if expanded, ok := expand(text, w.tx.macro); ok {
		next = assign(now, expanded)
		if next.known == constant && len(next.text) > maxText {
			next = value{known: unknown}
		}
	}
	next.writes = []int{at}
	if next.known == unknown {
		next.writes = union(next.writes, w.needsOf(text))
		next.writes = union(next.writes, now.writes) // arithmetic
	}
	w.tx.set(key, next)
}

// cutSetvar splits a setvar action. ok is false if it has no value.
func cutSetvar(text string) (key, value string, remove, ok bool) {
	text, remove = strings.CutPrefix(text, "!")
	name, value, ok := strings.Cut(text, "=")
	_, key, _ = strings.Cut(name, ".")
	return strings.ToLower(key), value, remove, ok
}

// write returns the index of a write, which is the same each time.
func (w *walk) write(write Write) int {
	if i := slices.Index(w.writes, write); i >= 0 {
		return i
	}
	w.writes = append(w.writes, write)
	return len(w.writes) - 1
}

// captures covers a link whose operator may store what it captured, which it does even when it is negated.
func (w *walk) captures(link *seclang.Rule) {
	if link.Capture && link.Op.Name != "" {
		for i := range 10 {
			w.tx.set(strconv.Itoa(i), value{})
		}
	}
}

// remove notes what a link takes out of a transaction.
func (w *walk) remove(r *seclang.Rule, link int) {
	for _, c := range ctls(r.Links()[link]) {
		rules, targets, ok := removalOf(r.ID, c)
		switch {
		case !ok:
		case targets != nil:
			w.targets = append(w.targets, *targets)
		case rules(&seclang.Rule{}):
			w.fail(r, "%s takes out markers", c[0])
		default:
			w.flow.removals = append(w.flow.removals, removal{by: r.ID, rules: rules})
		}
	}
}

// set replaces what is known of a key.
func (s *state) set(key string, v value) { s.keys[key] = v }

// same reports whether the states say the same.
func (s *state) same(o *state, equal func(a, b value) bool) bool {
	if len(s.keys) != len(o.keys) || len(s.taints) != len(o.taints) {
		return false
	}
	for key, v := range s.keys {
		if other, ok := o.keys[key]; !ok || !equal(v, other) {
			return false
		}
	}
	return true
}
