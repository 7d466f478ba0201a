package transform

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"gatehouse.internal/rules"
)

var (
	continued = regexp.MustCompile(`\\\r?\n[ \t]*`)
	action    = regexp.MustCompile(`[",\s]t:([A-Za-z0-9]+)`)
)

// realChains are the distinct chains of CRS's rules and ours, "none" included, as they are written.
func realChains(tb testing.TB) (chains [][]string) {
	tb.Helper()
	seen := map[string]bool{}
	for _, fsys := range []fs.FS{coreruleset.FS, rules.FS} {
		err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".conf") {
				return err
			}
			text, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			for line := range strings.Lines(continued.ReplaceAllString(string(text), "")) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "Sec") {
					continue
				}
				var names []string
				for _, m := range action.FindAllStringSubmatch(line, -1) {
					names = append(names, m[1])
				}
				if key := strings.Join(names, ","); !seen[key] {
					seen[key] = true
					chains = append(chains, names)
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	if len(chains) < 40 {
		tb.Fatalf("found %d chains in the rules; there are more", len(chains))
	}
	return chains
}

// madeUp are chains that no rule has, but which join what is hard to join.
var madeUp = [][]string{
	{"htmlEntityDecode", "htmlEntityDecode", "lowercase"},
	{"urlDecode", "urlDecode", "cssDecode", "removeWhitespace"},
	{"removeWhitespace", "compressWhitespace", "trim"},
	{"base64Decode", "htmlEntityDecode", "base64Encode", "hexEncode", "hexDecode"},
	{"uppercase", "hexDecode", "lowercase", "length"},
	{"cssDecode", "jsDecode", "escapeSeqDecode", "urlDecodeUni", "utf8toUnicode", "urlDecodeUni"},
	{"trim", "normalisePathWin", "cmdLine", "removeComments"},
	{"normalizePath", "trimLeft", "urlEncode", "trimRight", "normalizePathWin", "replaceNulls"},
	{"lowercase", "None", "uppercase"},
	{"lowercase", "none", "uppercase", "lowercase"},
	{"md5", "hexEncode"}, {"sha1", "length", "sha1"}, {"utf8toUnicode", "cmdLine", "trim", "trim"},
}

func TestRealChainsAreModelled(t *testing.T) {
	for _, names := range realChains(t) {
		if _, err := NewChain(names); err != nil {
			t.Error(err)
		}
	}
}

func TestChainNamesAndKeys(t *testing.T) {
	for _, row := range []struct {
		name  string
		names []string
		want  string
	}{
		{"empty", nil, ""},
		{"case", []string{"LowerCase", "urlDecodeUni"}, "lowercase,urldecodeuni"},
		{"British", []string{"normalisePath", "normalisePathWin"}, "normalizepath,normalizepathwin"},
		{"none clears", []string{"lowercase", "none", "trim"}, "trim"},
		{"None does not", []string{"lowercase", "None", "trim"}, "lowercase,trim"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := chainOf(t, row.names...)
			if c.Key() != row.want || strings.Join(c.Names(), ",") != row.want {
				t.Errorf("key %q, names %q, want %q", c.Key(), c.Names(), row.want)
			}
		})
	}
	if _, err := NewChain([]string{"trim", "rot13"}); err == nil || !strings.Contains(err.Error(), `"rot13"`) {
		t.Errorf("error %v does not name the unknown one", err)
	}
}

func TestNamesAreLookedUp(t *testing.T) {
	if n := Names(); !slices.IsSorted(n) || len(n) != 34 {
		t.Errorf("%d names; Coraza 3.8.1 registers 34", len(n))
	}
	for _, name := range Names() {
		if _, ok := Lookup(strings.ToUpper(name)); !ok {
			t.Errorf("%s is not found in upper case", name)
		}
	}
	if _, ok := Lookup("rot13"); ok {
		t.Error("rot13 is found")
	}
}
