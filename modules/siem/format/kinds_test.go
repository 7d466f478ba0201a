package format_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"testing"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
	"gatehouse.internal/modules/siem/format"
)

// everyKind is a record of each kind that there is, with much and with little in it, and of each reason.
func everyKind(t *testing.T) (all []format.Record) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "internal", "event", "event.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	full, pseudonyms := records()[0], records()[1]
	add := func(kind, stream, reason string) {
		for _, base := range []format.Record{full, pseudonyms, {Time: full.Time, ID: "1"}} {
			base.Kind, base.Stream, base.Reason = kind, stream, reason
			all = append(all, base)
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Kind" {
			kind, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			add(kind, string(event.Kind(kind).Stream()), "")
		}
		return true
	})
	if len(all) < 3*50 {
		t.Fatalf("only %d kinds were found", len(all)/3)
	}
	for _, reason := range verdict.All() {
		add("request.refused", "access", string(reason))
	}
	add("request", "access", "")
	add("request.refused", "waf", "waf_blocked")
	add("", "", "")
	return all
}
