package prove

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
)

// selecting are exclusions and selectors of every sort, beside CRS's own.
const selecting = tuned + `
SecRuleUpdateTargetById 942190 "!ARGS:/^(?:Note|memo)/,ARGS_NAMES:X"
SecRuleUpdateTargetById 941160 "!REQUEST_HEADERS:Referer,!REQUEST_COOKIES_NAMES"
SecRule ARGS_GET:Case "@streq x" "id:1001,phase:1,deny"
SecRule ARGS:/^Ca(?:s|r)e$/|!ARGS:care "@streq x" "id:1002,phase:2,deny"
SecRule REQUEST_COOKIES:/se.*n/|REQUEST_HEADERS:/^X-/|!REQUEST_HEADERS:/^x-n/ "@streq x" "id:1003,phase:1,deny"
SecRule ARGS_NAMES:Case|ARGS_POST_NAMES:/^a/|REQUEST_HEADERS_NAMES:HOST "@streq x" "id:1004,phase:2,deny"
SecRule ARGS|!ARGS "@streq x" "id:1005,phase:2,deny"
SecRule !ARGS:filter|ARGS "@streq x" "id:1006,phase:2,deny"`

// chosen returns what Coraza's collections give for a target, as GetField does: name and value of each.
func chosen(tx plugintypes.TransactionState, t *target) (out [][2]string) {
	var all []types.MatchData
	switch col := tx.Collection(t.variable).(type) {
	case collection.Keyed:
		switch {
		case t.rx != nil:
			all = col.FindRegex(t.rx)
		case t.key != "":
			all = col.FindString(t.key)
		default:
			all = col.FindAll()
		}
	}
	for _, m := range all {
		lower := strings.ToLower(m.Key())
		if !slices.ContainsFunc(t.except, func(x exception) bool {
			return x.rx != nil && x.rx.MatchString(lower) || x.rx == nil && (x.key == "" || x.key == lower)
		}) {
			out = append(out, [2]string{m.Key(), m.Value()})
		}
	}
	return out
}

var names = []string{"filter", "Filter", "comment", "Comment", "Note", "note1", "Note1", "memo", "Case", "case", "care", "Care",
	"CASE", "a", "A", "", "x", "X", "id", "json.a.b", "_method", "_charset_", "a[b][c]", "session", "theme", "themes", "__utmz",
	"_pk_ref.1", "X-Note", "x-other", "Referer", "User-Agent", "Host", "K", "ſession", strings.Repeat("n", 100)}

// crowd is a transaction with values of many names, each value its own.
func crowd(e *engines, r *rand.Rand) types.Transaction {
	tx := e.parse.NewTransaction()
	v := tx.(plugintypes.TransactionState).Variables()
	for i, m := range []collection.Map{v.ArgsGet(), v.ArgsPost(), v.ArgsPath(), v.RequestCookies(), v.RequestHeaders(), v.Files(), v.RequestXML()} {
		for range 6 {
			n := names[r.IntN(len(names))]
			m.Add(n, fmt.Sprintf("%d.%s.%d", i, n, r.IntN(1000)))
		}
	}
	return tx
}

// misplaced compares, for each rule, the values that Coraza's collections give for its targets with those of which the
// rule is asked here.
func misplaced(p *Prover, tx plugintypes.TransactionState) error {
	want, have := map[string]bool{}, map[string]bool{}
	for _, r := range p.rules {
		for i := range r.targets {
			t := &r.targets[i]
			if _, keyed := tx.Collection(t.variable).(collection.Keyed); t.from == nil || t.count || !keyed {
				continue
			}
			for _, c := range chosen(tx, t) {
				want[fmt.Sprintf("%d %q", r.id, c)] = true
			}
		}
	}
	for n := range p.phases {
		for _, read := range p.phases[n].reads {
			if _, keyed := tx.Collection(read.variable).(collection.Keyed); !keyed {
				continue
			}
			for _, m := range tx.Collection(read.variable).FindAll() {
				if read.values != nil {
					for _, r := range read.values.plan(p, m.Key()).rules {
						have[fmt.Sprintf("%d %q", r.id, [2]string{m.Key(), m.Value()})] = true
					}
				}
				if read.names != nil {
					for _, r := range read.names.plan(p, m.Key()).rules {
						have[fmt.Sprintf("%d %q", r.id, [2]string{m.Key(), m.Key()})] = true
					}
				}
			}
		}
	}
	for w := range want {
		if !have[w] {
			return fmt.Errorf("rule and value %s are not asked", w)
		}
	}
	for h := range have {
		if !want[h] {
			return fmt.Errorf("rule and value %s are asked, and Coraza does not select them", h)
		}
	}
	return nil
}

func TestSelectionIsCorazas(t *testing.T) {
	t.Parallel()
	e := build(t, 2, selecting)
	p := e.prover(t, Options{})
	r := rand.New(rand.NewPCG(1, 9))
	for range soak(300) {
		tx := crowd(e, r)
		if err := misplaced(p, tx.(plugintypes.TransactionState)); err != nil {
			t.Fatal(err)
		}
		_ = tx.Close()
	}
}
