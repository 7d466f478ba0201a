package prove

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/libinjection-go"
)

// libraryTable reads libinjection's table of words and fingerprints from its source.
func libraryTable(t *testing.T) [][2]string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/corazawaf/libinjection-go").Output()
	if err != nil {
		t.Fatalf("finding libinjection's source: %v", err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "sqli_data.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(source), "var sqlKeywords = map[string]byte{")
	if !ok {
		t.Fatal("libinjection's table is not where it was")
	}
	var entries [][2]string
	for _, m := range regexp.MustCompile(`(?m)^\s*"((?:[^"\\]|\\.)*)":\s*'(.)',`).FindAllStringSubmatch(table, -1) {
		entries = append(entries, [2]string{m[1], m[2]})
	}
	if len(entries) < 9000 {
		t.Fatalf("only %d entries", len(entries))
	}
	return entries
}

// TestSQLWords compares our list of words with the table of the library in use, and reads in it what the argument needs.
func TestSQLWords(t *testing.T) {
	want := map[string]bool{}
	word := regexp.MustCompile(`[A-Za-z0-9_]+`)
	for _, e := range libraryTable(t) {
		if e[1] == "F" {
			if regexp.MustCompile(`^0[NF1]+$`).MatchString(e[0]) {
				t.Errorf("the fingerprint %s is SQL injection: plain words are none no longer", e[0])
			}
			continue
		}
		for _, w := range word.FindAllString(e[0], -1) {
			if strings.Contains(e[0], " ") {
				want["p "+w] = true
			} else if e[1] != "n" && e[1] != "f" {
				want["k "+w] = true
			}
		}
	}
	have := strings.Split(strings.TrimSpace(sqlWordList), "\n")
	for _, w := range have {
		if !want[w] {
			t.Errorf("%q is not in the table", w)
		}
		delete(want, w)
	}
	for w := range want {
		t.Errorf("%q is missing", w)
	}
}

// TestPlainWords compares with libinjection over texts of its own words, ours, numbers and quotes.
func TestPlainWords(t *testing.T) {
	for _, row := range []struct {
		text  string
		plain bool
	}{
		{"", true}, {"quick report", true}, {"12 monkeys", true}, {"12345.67", true}, {"one by one", true},
		{"select", false}, {"1 or 1", false}, {"it's", false}, {"a\tb", false}, {"create or", false}, {"0x10", false},
		{"a b c d e f g -- ' x", false}, {"a b c d e f g and so on: 1=1", true}, {"4tLplnn3e8bb", true}, {"1or 1", false}, {"1e5", false}, {"1.", false}, {".5", false},
	} {
		if got := plainWords(row.text); got != row.plain {
			t.Errorf("plainWords(%q) = %v", row.text, got)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	var vocabulary []string
	for _, e := range libraryTable(t) {
		if e[1] != "F" {
			vocabulary = append(vocabulary, e[0])
			vocabulary = append(vocabulary, strings.Fields(e[0])...)
		}
	}
	vocabulary = slices.Concat(vocabulary, words, words, words, []string{"1", "42", "3.14", "x1", "n_n", "--", "'", "(", "=", "e", "n", "q", "u", "x"})
	plain := 0
	for range soak(200000) {
		var parts []string
		for range 1 + r.IntN(9) {
			w := vocabulary[r.IntN(len(vocabulary))]
			if r.IntN(8) == 0 {
				w = token(r, 1+r.IntN(6))
			}
			if r.IntN(2) == 0 {
				w = words[r.IntN(plainWordCount)]
			}
			parts = append(parts, w)
		}
		s := strings.Join(parts, " ")
		if !plainWords(s) {
			continue
		}
		plain++
		if is, print := libinjection.IsSQLi(s); is {
			t.Fatalf("%q is plain, and SQL injection: %s", s, print)
		}
	}
	t.Logf("%d texts were plain", plain)
}

// TestXSSNeedsMarkup holds the argument for @detectXSS: without < and = there is none.
func TestXSSNeedsMarkup(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	strip := strings.NewReplacer("<", " ", "=", " ")
	for range soak(100000) {
		s := strip.Replace(disguise(r, mutate(r, attacks[r.IntN(len(attacks))]+" "+attacks[r.IntN(len(attacks))])))
		if libinjection.IsXSS(s) {
			t.Fatalf("libinjection finds XSS in %q", s)
		}
	}
}
