package obligation_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/seclang"
)

// The engine registers this operator; here it does nothing.
func init() {
	plugins.RegisterOperator("gatehouseDistinct", func(plugintypes.OperatorOptions) (plugintypes.Operator, error) { return never{}, nil })
}

type never struct{}

func (never) Evaluate(plugintypes.TransactionState, string) bool { return false }

// judge is Coraza with the whole program.
type judge struct {
	waf coraza.WAF
	set *obligation.Set
}

func newJudge(t testing.TB, files fs.FS, sources []seclang.Source) judge {
	t.Helper()
	p, err := seclang.Parse(files, sources)
	if err != nil {
		t.Fatal(err)
	}
	set, err := obligation.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	return judge{engine(t, files, sources), set}
}

func engine(t testing.TB, files fs.FS, sources []seclang.Source) coraza.WAF {
	t.Helper()
	cfg := coraza.NewWAFConfig().WithRootFS(files)
	for _, s := range sources {
		if s.Text != "" {
			cfg = cfg.WithDirectives(s.Text)
		} else {
			cfg = cfg.WithDirectivesFromFile(s.File)
		}
	}
	waf, err := coraza.NewWAF(cfg)
	if err != nil {
		t.Fatalf("%v in %+v", err, sources[0].Text)
	}
	t.Cleanup(func() { _ = waf.(experimental.WAFCloser).Close() })
	return waf
}

// exchange is a request and its answer.
type exchange struct {
	method, uri string
	headers     [][2]string
	body        string
	noBody      bool // the second phase is left out
	status      int
	answer      string
}

// run sends it through all phases and calls after behind each that ran.
func (x exchange) run(tx types.Transaction, after func(phase int)) {
	tx.ProcessConnection("192.0.2.1", 1234, "192.0.2.2", 443)
	tx.ProcessURI(x.uri, x.method, "HTTP/1.1")
	for _, h := range x.headers {
		tx.AddRequestHeader(h[0], h[1])
	}
	tx.ProcessRequestHeaders()
	after(1)
	if !x.noBody && !tx.IsInterrupted() {
		_, _, _ = tx.WriteRequestBody([]byte(x.body))
		_, _ = tx.ProcessRequestBody()
		after(2)
	}
	if x.status > 0 && !tx.IsInterrupted() {
		tx.AddResponseHeader("Content-Type", "text/html")
		tx.ProcessResponseHeaders(x.status, "HTTP/1.1")
		after(3)
		if !tx.IsInterrupted() {
			_, _, _ = tx.WriteResponseBody([]byte(x.answer))
			_, _ = tx.ProcessResponseBody()
			after(4)
		}
	}
}

// outcome is what Coraza says of an exchange.
type outcome struct {
	clean     bool // no obligation matched, and no phase that ran is unprovable
	matched   []int
	violation error // of what the set claims
}

// check runs an exchange and compares with what a set claims of it.
func check(waf coraza.WAF, set *obligation.Set, x exchange) (o outcome) {
	tx := waf.NewTransaction()
	defer func() { tx.ProcessLogging(); _ = tx.Close() }()
	o.clean = true
	x.run(tx, func(phase int) {
		o.matched = o.matched[:0]
		for _, m := range tx.MatchedRules() {
			o.matched = append(o.matched, m.Rule().ID())
		}
		if o.clean = o.clean && len(set.Unprovable[phase]) == 0; !o.clean {
			return
		}
		for _, ob := range set.Rules {
			matched := slices.Contains(o.matched, ob.Rule.ID)
			o.clean = o.clean && !matched
			if matched && ob.Gate != nil && slices.Contains(o.matched, ob.Gate.ID) {
				o.violation = fmt.Errorf("phase %d: rule %d matches though its gate %d does", phase, ob.Rule.ID, ob.Gate.ID)
			}
		}
		if o.clean && o.violation == nil {
			o.violation = claims(tx, set, phase)
		}
	})
	return o
}

// claims compares a transaction on which no obligation matched.
func claims(tx types.Transaction, set *obligation.Set, phase int) error {
	if tx.IsInterrupted() {
		return fmt.Errorf("phase %d: interrupted by rule %d", phase, tx.Interruption().RuleID)
	}
	for _, m := range tx.MatchedRules() {
		id := m.Rule().ID()
		if m.(interface{ Log() bool }).Log() || m.(interface{ Audit() bool }).Audit() {
			return fmt.Errorf("phase %d: rule %d logs", phase, id)
		}
		if m.Message() != "" && !strings.Contains(m.Rule().Raw(), "nolog") {
			return fmt.Errorf("phase %d: rule %d is found: %s", phase, id, m.Message())
		}
		if !slices.Contains(set.Inert, id) && !slices.Contains(set.Decided, id) {
			return fmt.Errorf("phase %d: rule %d matches and is of no kind", phase, id)
		}
	}
	held := tx.(plugintypes.TransactionState).Variables().TX()
	for key, want := range set.Constants {
		if got := held.Get(key); len(got) != 1 || got[0] != want {
			return fmt.Errorf("phase %d: tx.%s is %q, not constantly %q", phase, key, got, want)
		}
	}
	return nil
}
