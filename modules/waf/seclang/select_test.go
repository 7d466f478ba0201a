package seclang_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"gatehouse.internal/modules/waf/seclang"
)

// selected is what targets select of a transaction, by what this package says of them.
func selected(v plugintypes.TransactionVariables, targets []seclang.Target) (all []string) {
	collections := map[string]func() []types.MatchData{
		"ARGS": v.Args().FindAll, "ARGS_GET": v.ArgsGet().FindAll, "REQUEST_HEADERS": v.RequestHeaders().FindAll, "REQUEST_COOKIES": v.RequestCookies().FindAll,
	}
	fits := func(t seclang.Target, name string) bool {
		name = strings.ToLower(name)
		if t.Regex {
			return regexp.MustCompile(t.Key).MatchString(name)
		}
		return t.Key == "" || strings.ToLower(t.Key) == name
	}
	for i, t := range targets {
		if t.Negated {
			continue
		}
		n := 0
		for _, d := range collections[t.Variable]() {
			excepted := slices.ContainsFunc(targets[i+1:], func(o seclang.Target) bool {
				return o.Negated && o.Variable == t.Variable && fits(o, d.Key())
			})
			if fits(t, d.Key()) && !excepted {
				if n++; !t.Count {
					all = append(all, d.Key()+"="+d.Value())
				}
			}
		}
		if t.Count {
			all = append(all, fmt.Sprintf("#%d", n))
		}
	}
	slices.Sort(all)
	return all
}

// TestTargetsSelectWhatCorazaSelects makes lists of variables and asks Coraza what they stand for.
func TestTargetsSelectWhatCorazaSelects(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	of := func(words ...string) string { return words[r.IntN(len(words))] }
	accepted, refused := 0, 0
	for range 3000 {
		var list []string
		for range 1 + r.IntN(4) {
			text := of("", "", "", "!", "&") + of("ARGS", "ARGS", "args", "ARGS_GET", "REQUEST_HEADERS", "REQUEST_COOKIES")
			text += of("", "", ":", ":Ab", ":ab", ":x", ":/^a/", ":/A|x/", `:/a\/b/`, `:/a\\/`, ":'/a|b/'", `:/\S/`, ":'ab'", ":a/b", "://", ":/A/", `:/\/`)
			list = append(list, text)
		}
		text := strings.Join(list, "|")
		source := fmt.Sprintf(`SecRule %s "@unconditionalMatch" "id:1,phase:1,pass,nolog"`, text)
		waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(source))
		if err != nil {
			refused++
			continue
		}
		accepted++
		tx := waf.NewTransaction()
		tx.ProcessURI("/?Ab=1&aB=2&a/b=3&x=4&A=5&=6&zz=7&"+`a\=8`, "GET", "HTTP/1.1")
		tx.AddRequestHeader("Ab", "1")
		tx.AddRequestHeader("X", "2")
		tx.AddRequestHeader("Cookie", "Ab=1; x=2; a/b=3")
		tx.ProcessRequestHeaders()
		var got []string
		for _, m := range tx.MatchedRules() {
			for _, d := range m.MatchedDatas() {
				if d.Value() == "" && d.Variable().Name() == "UNKNOWN" {
					continue
				}
				got = append(got, d.Key()+"="+d.Value())
			}
		}
		targets := one(t, source).Targets
		want := selected(tx.(plugintypes.TransactionState).Variables(), targets)
		// A count comes with its target's key; compare counts alone.
		for i, d := range got {
			_, value, _ := strings.Cut(d, "=")
			if slices.Contains(want, "#"+value) && !slices.Contains(want, d) {
				got[i] = "#" + value
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s\nCoraza  %q\nhere    %q\ntargets %+v", text, got, want, targets)
		}
		_ = tx.Close()
		_ = waf.(experimental.WAFCloser).Close()
	}
	if accepted < 1000 {
		t.Errorf("%d accepted, %d refused", accepted, refused)
	}
}
