package waf

import (
	"fmt"
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
		if strings.Contains(distinctRules, r.Raw) {
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

// mute is Coraza's logger for nobody, without what it does to remember each transaction's id.
type mute struct{ debuglog.Logger }

// With implements debuglog.Logger.
func (m *mute) With(...debuglog.ContextField) debuglog.Logger { return m }
