package waf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/debuglog"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/seclang"
)

// compileParser compiles the engine that parses: the settings and the rules that change parsing, nothing else.
func (cfg Config) compileParser(program *seclang.Program, set *obligation.Set) (coraza.WAF, error) {
	var text strings.Builder
	if mixes(set.Parsing) {
		text.WriteString(distinctRules + "\n")
	}
	for _, d := range program.Settings {
		fmt.Fprintf(&text, "%s %s\n", d.Name, d.Value)
	}
	for _, r := range set.Parsing {
		if mends(r) {
			continue
		}
		if r.Updated {
			return nil, fmt.Errorf("rule %d is changed by another directive", r.ID)
		}
		text.WriteString(r.Raw + "\n")
	}
	return coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(sources{site: cfg.Rules, fast: true}).
		WithDebugLogger(&mute{debuglog.Noop()}).WithDirectives(text.String()))
}

// mixes reports whether Coraza's cache (unalias.go) may hand one of the rules what another value was transformed to. It
// cannot if all that transform ask for the very same values, by variable and name: then they are handed the same ones in
// the same order, so that one place in the cache is one value's.
func mixes(list []*seclang.Rule) bool {
	var all *seclang.Target
	for _, r := range list {
		for _, link := range r.Links() {
			if len(link.Transformations) == 0 || link.MultiMatch { // which do not ask the cache
				continue
			}
			for _, t := range link.Targets {
				if all == nil {
					all = &t
				}
				if t != *all || t.Key == "" || t.Regex || t.Negated || t.Count {
					return true
				}
			}
		}
	}
	return false
}

// ofBodies reports whether all that the parser's rules do to a request without a body, and without a header Content-Type, has
// no effect that could be seen: each asks about that header or does no more than say whether and how a body is read.
func ofBodies(list []*seclang.Rule) bool {
	return !mixes(list) && !slices.ContainsFunc(list, func(r *seclang.Rule) bool {
		return !mends(r) && (r.Phase <= 2 && !asksContentType(r) && !readsBodies(r))
	})
}

// mends reports whether a rule is one that the parser has only if it must: see mixes.
func mends(r *seclang.Rule) bool { return strings.Contains(distinctRules, r.Raw) }

func asksContentType(r *seclang.Rule) bool {
	return len(r.Targets) > 0 && !slices.ContainsFunc(r.Targets, func(t seclang.Target) bool {
		return t.Variable != "REQUEST_HEADERS" || !strings.EqualFold(t.Key, "content-type") || t.Regex || t.Negated || t.Count
	})
}

// readsBodies reports whether the rule's actions are about nothing but the reading of requests' bodies, or leave other rules
// out, which are about nothing else either.
func readsBodies(r *seclang.Rule) bool {
	logs := false // the last word counts: what a site logs by default comes first
	for _, link := range r.Links() {
		for _, a := range link.Actions {
			what, _, _ := strings.Cut(strings.ToLower(a.Value), "=")
			switch {
			case a.Name == "ctl" && (what == "requestbodyaccess" || what == "forcerequestbodyvariable" || strings.HasPrefix(what, "ruleremove")):
			case a.Name == "log", a.Name == "nolog":
				logs = a.Name == "log"
			case slices.Contains(unseen, a.Name):
			default:
				return false
			}
		}
	}
	return !logs
}

// unseen are the other actions that leave nothing that a prover or a log could see.
var unseen = []string{"id", "phase", "t", "pass", "noauditlog", "msg", "tag", "ver", "rev", "severity", "maturity", "accuracy",
	"capture", "setvar", "chain"}

// mute is Coraza's logger for nobody, without what it does to remember each transaction's id.
type mute struct{ debuglog.Logger }

// With implements debuglog.Logger.
func (m *mute) With(...debuglog.ContextField) debuglog.Logger { return m }
