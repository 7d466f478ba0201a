package seclang_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"gatehouse.internal/modules/waf/seclang"
	"gatehouse.internal/rules"
)

// The engine registers this operator; here it does nothing.
func init() {
	plugins.RegisterOperator("gatehouseDistinct", func(plugintypes.OperatorOptions) (plugintypes.Operator, error) { return never{}, nil })
}

type never struct{}

func (never) Evaluate(plugintypes.TransactionState, string) bool { return false }

// texts is a file system that, like the engine's, can only be asked for a file's content.
type texts map[string]string

func (t texts) ReadFile(name string) ([]byte, error) {
	if text, ok := t[name]; ok {
		return []byte(text), nil
	}
	switch head, rest, _ := strings.Cut(name, "/"); head {
	case "@owasp_crs":
		return fs.ReadFile(coreruleset.FS, name)
	case "gatehouse":
		return rules.FS.ReadFile(rest)
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
}

func (t texts) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
}

// shipped lists what the engine compiles at a paranoia level, with every application's exclusions.
func shipped(t testing.TB, level int) (sources []seclang.Source) {
	t.Helper()
	files := func(fsys fs.FS, pattern, prefix string) {
		names, err := fs.Glob(fsys, pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(names), err)
		}
		slices.SortFunc(names, func(a, b string) int { return strings.Compare(path.Dir(a), path.Dir(b)) })
		for _, name := range names {
			sources = append(sources, seclang.Source{File: prefix + name})
		}
	}
	distinct := `SecRule REQUEST_METHOD "@gatehouseDistinct request" "id:90050,phase:1,pass,nolog,noauditlog,t:none"
SecRule REQUEST_METHOD "@gatehouseDistinct request" "id:90051,phase:2,pass,nolog,noauditlog,t:none"
SecRule REQUEST_METHOD "@gatehouseDistinct response" "id:90052,phase:3,pass,nolog,noauditlog,t:none"
SecRule REQUEST_METHOD "@gatehouseDistinct response" "id:90053,phase:4,pass,nolog,noauditlog,t:none"`
	sources = append(sources, seclang.Source{Text: distinct}, seclang.Source{File: "gatehouse/coraza.conf"},
		seclang.Source{Text: fmt.Sprintf(`SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d,setvar:tx.detection_paranoia_level=%[1]d"`, level)},
		seclang.Source{File: "gatehouse/crs-setup.conf"})
	files(rules.FS, "before/*.conf", "gatehouse/")
	files(rules.FS, "virtual-patches/*.conf", "gatehouse/")
	files(rules.FS, "apps/*/before/*.conf", "gatehouse/")
	files(coreruleset.FS, "@owasp_crs/*.conf", "")
	files(rules.FS, "after/*.conf", "gatehouse/")
	return append(sources, seclang.Source{Text: `SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecAction "id:900999,phase:1,pass,t:none,nolog,ctl:forceResponseBodyVariable=on"`})
}

// compile gives Coraza the sources, and returns what it says about them.
func compile(files fs.FS, sources []seclang.Source) (observed []seclang.Observed, count int, err error) {
	var metas []types.RuleMetadata
	cfg := coraza.NewWAFConfig().WithRootFS(files)
	for _, s := range sources {
		if s.Text != "" {
			cfg = cfg.WithDirectives(s.Text)
		} else {
			cfg = cfg.WithDirectivesFromFile(s.File)
		}
	}
	engine, err := coraza.NewWAF(experimental.WAFConfigWithRuleObserver(cfg, func(m types.RuleMetadata) { metas = append(metas, m) }))
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = engine.(experimental.WAFCloser).Close() }()
	for _, m := range metas {
		observed = append(observed, seclang.Observed{
			ID: m.ID(), Phase: int(m.Phase()), Line: m.Line(), Marker: m.SecMark(), File: m.File(), Raw: m.Raw(), Tags: len(m.Tags()),
		})
	}
	return observed, engine.(experimental.WAFWithRules).RulesCount(), nil
}
