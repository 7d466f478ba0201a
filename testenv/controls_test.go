package testenv

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite the table of controls in README.md")

// open are the rows of which no story tells, and why. What stands here is not shown by the tests, and no other row may be without one.
var open = map[string]string{
	"CAL-16": "what the pipeline runs is `.ci/run`, and not a story",
	"CAL-17": "`rules.TestPatchHeaders` judges the heads of patches; no story has one that ended",
	"CTB-06": "what the pipeline runs is `.ci/run`, and not a story",
	"NAT-14": "`chain.TestPrune` prunes; no story waits 13 months",
	"NAT-16": "`authn.TestClockRollback` sets the clock; the binary has none to set",
	"NAT-24": "`evidence.TestCatalogue` holds the references against the frameworks' own lists; no story does",
}

var controlID = regexp.MustCompile(`\b(?:CER|BRF|CAL|CTB|NAT)-\d\d\b`)

// whole are the folders whose tests open the whole product and drive it through its listener.
var whole = []string{"testenv", "modules/standard", "modules/authn", "modules/idp/breakglass", "modules/idp/local", "modules/mfa"}

// stories are what tells of each control: tests of those folders, by what stands above them; and scripts, by how they begin.
func stories(t testing.TB) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	found := func(comment, name string) {
		for _, id := range controlID.FindAllString(comment, -1) {
			if !slices.Contains(all[id], name) {
				all[id] = append(all[id], name)
			}
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		dir, name := filepath.ToSlash(filepath.Dir(rel)), d.Name()
		switch {
		case d.IsDir() && (name == "node_modules" || name == ".git" || name == "bin"):
			return filepath.SkipDir
		case dir == "testenv/scripts" && strings.HasSuffix(name, ".txtar"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found(regexp.MustCompile(`\A(?:#.*\n)*`).FindString(string(text)), "TestStories/"+strings.TrimSuffix(name, ".txtar"))
		case strings.HasSuffix(name, "_test.go") && slices.Contains(whole, dir):
			parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, decl := range parsed.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
					where := f.Name.Name
					if dir != "testenv" {
						where = strings.TrimPrefix(dir, "modules/") + "." + where
					}
					found(f.Doc.Text(), where)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestControlTable keeps the table of controls in README.md: what stands in it is what the stories say of themselves, and each control
// that the gateway enforces, records or supports has one, or stands in the list of open rows with the reason.
func TestControlTable(t *testing.T) {
	t.Parallel()
	var catalogue struct {
		Controls []struct{ ID, Verb, Does string }
	}
	text, err := os.ReadFile(filepath.Join(root, "modules", "evidence", "controls.yaml"))
	if err == nil {
		err = yaml.Unmarshal(text, &catalogue)
	}
	if err != nil || len(catalogue.Controls) < 50 {
		t.Fatalf("the catalogue has %d controls: %v", len(catalogue.Controls), err)
	}
	told := stories(t)
	var table strings.Builder
	table.WriteString("| control | what | stories |\n|---|---|---|\n")
	known := map[string]bool{}
	for _, c := range catalogue.Controls {
		known[c.ID] = true
		said := told[c.ID]
		slices.Sort(said)
		why, isOpen := open[c.ID]
		switch {
		case len(said) == 0 && !isOpen:
			t.Errorf("%s: no story tells that %q: name it above the one that does", c.ID, c.Does)
		case len(said) > 0 && isOpen:
			t.Errorf("%s is open no more: take it out of the list", c.ID)
		}
		cell := "*open:* " + why
		if len(said) > 0 {
			cell = "`" + strings.Join(said, "` `") + "`"
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", c.ID, strings.ReplaceAll(c.Does, "|", "\\|"), cell)
	}
	for id, said := range told {
		if !known[id] {
			t.Errorf("%v tell of %s, which the catalogue does not have", said, id)
		}
	}
	for id := range open {
		if !known[id] {
			t.Errorf("%s is open, and the catalogue does not have it", id)
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	place := regexp.MustCompile(`(?s)(<!-- controls -->\n).*?(<!-- /controls -->)`)
	if !place.Match(readme) {
		t.Fatal("README.md has no place for the table")
	}
	want := place.ReplaceAllString(string(readme), "${1}"+strings.ReplaceAll(table.String(), "$", "$$")+"${2}")
	if want == string(readme) {
		return
	}
	if !*update {
		t.Fatal("the table of controls in README.md is stale: go test ./testenv -run TestControlTable -update")
	}
	if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
