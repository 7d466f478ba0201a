package transform

import (
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var entityName = regexp.MustCompile(`"([A-Za-z0-9]+;?)":`)

// Every name in the tables of Coraza's decoder, which it does not export, in the company that changes how it is read.
func TestEveryReferenceAgainstCoraza(t *testing.T) {
	pkg, err := build.Import("golang.org/x/net/html", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(pkg.Dir, "entity.go"))
	if err != nil {
		t.Fatal(err)
	}
	o := newOracle(t, [][]string{{"htmlEntityDecode"}, {"htmlEntityDecode", "htmlEntityDecode"}})
	all, old := 0, 0
	for _, m := range entityName.FindAllStringSubmatch(string(source), -1) {
		name := m[1]
		bare := strings.TrimSuffix(name, ";")
		all++
		if name == bare {
			old++
			if legacy[name] == 0 {
				t.Errorf("&%s needs no semicolon", name)
			}
		}
		for _, value := range []string{"&" + bare, "&" + bare + ";", "&" + bare + "x;", "&" + bare + "=1", "&x" + bare + ";", "&" + bare[:len(bare)-1] + ";",
			strings.ToLower("&" + bare + ";"), "&amp;" + bare + ";", "&am" + bare + ";", "&lt" + bare} {
			if err := checkOracle(t, o, value); err != nil {
				t.Error(err)
			}
			if err := checkPromises(byName["htmlentitydecode"], value); err != nil {
				t.Error(err)
			}
		}
	}
	if all < 2200 || old != len(legacy) {
		t.Errorf("%d names, %d without semicolon; we have %d of those", all, old, len(legacy))
	}
}

// Every number up to 16 bits, and those around the edges above, in each of the notations that have a rule for it.
func TestEveryNumberAgainstCoraza(t *testing.T) {
	formats := []string{"%%u%04x", "%%U%04X", `\u%04x`, `\u{%x}`, `\%x `, `\%06X`, "&#%d;", "&#x%x;", "&#X%X "}
	o := newOracle(t, [][]string{{"urlDecodeUni"}, {"jsDecode"}, {"cssDecode"}, {"htmlEntityDecode"}, {"escapeSeqDecode"}})
	for _, format := range formats {
		var value strings.Builder
		ask := func() {
			if err := checkOracle(t, o, value.String()); err != nil {
				t.Fatal(err)
			}
			value.Reset()
		}
		for n := 0; n <= 0x110100; n++ {
			if n == 0x10100 {
				n = 0x10ff00
			}
			fmt.Fprintf(&value, format, n)
			if value.Len() > 8000 {
				ask()
			}
		}
		ask()
	}
}
