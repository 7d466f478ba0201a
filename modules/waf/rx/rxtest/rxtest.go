// Package rxtest gives tests the patterns of the rules and texts that are near to them.
package rxtest

import (
	"io/fs"
	"math"
	"math/rand/v2"
	"path"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"gatehouse.internal/rules"
)

// Arguments returns the arguments of every @rx in CRS and in the gateway's own rules, each once, in order.
func Arguments(t testing.TB) []string {
	t.Helper()
	all := arguments(t, coreruleset.FS, "@owasp_crs")
	if len(all) < 200 {
		t.Fatalf("%d arguments of @rx in CRS: it is read wrongly", len(all))
	}
	all = append(all, arguments(t, rules.FS, ".")...)
	slices.Sort(all)
	return slices.Compact(all)
}

// Arguments941942 returns the arguments of CRS's rules against cross-site scripting and SQL injection.
func Arguments941942(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, name := range []string{"REQUEST-941-APPLICATION-ATTACK-XSS.conf", "REQUEST-942-APPLICATION-ATTACK-SQLI.conf"} {
		text, err := fs.ReadFile(coreruleset.FS, "@owasp_crs/"+name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, inText(string(text))...)
	}
	if len(all) < 60 {
		t.Fatalf("%d arguments of @rx against XSS and SQLi", len(all))
	}
	return all
}

func arguments(t testing.TB, files fs.FS, root string) (all []string) {
	t.Helper()
	err := fs.WalkDir(files, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".conf" {
			return err
		}
		text, err := fs.ReadFile(files, name)
		all = append(all, inText(string(text))...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// inText cuts the arguments out of the text of a rule file.
func inText(text string) (all []string) {
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		_, rest, ok := strings.Cut(line, `@rx `)
		for end := 0; ok && end < len(rest); end++ {
			if rest[end] == '\\' {
				end++
			} else if rest[end] == '"' {
				all = append(all, strings.ReplaceAll(rest[:end], `\"`, `"`))
				break
			}
		}
	}
	return all
}

// Sample returns a text that re matches, as far as assertions allow; mostly ASCII. It is a walk through the syntax tree.
func Sample(re *syntax.Regexp, r *rand.Rand) string {
	var b strings.Builder
	sample(&b, re, r)
	return b.String()
}

func sample(b *strings.Builder, re *syntax.Regexp, r *rand.Rand) {
	again := func(least, most int) {
		if most < 0 || most > least+3 {
			most = least + 3
		}
		for range least + r.IntN(most-least+1) {
			if b.Len() > 4000 {
				return
			}
			sample(b, re.Sub[0], r)
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 {
				for range r.IntN(3) {
					c = unicode.SimpleFold(c)
				}
			}
			b.WriteRune(c)
		}
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			b.WriteRune(oneOf(re.Rune, r))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteRune(rune(' ' + r.IntN(95)))
	case syntax.OpBeginLine, syntax.OpEndLine:
		if r.IntN(4) == 0 {
			b.WriteByte('\n')
		}
	case syntax.OpCapture:
		sample(b, re.Sub[0], r)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			sample(b, sub, r)
		}
	case syntax.OpAlternate:
		sample(b, re.Sub[r.IntN(len(re.Sub))], r)
	case syntax.OpStar:
		again(0, -1)
	case syntax.OpPlus:
		again(1, -1)
	case syntax.OpQuest:
		again(0, 1)
	case syntax.OpRepeat:
		again(re.Min, re.Max)
	}
}

// oneOf returns a rune of a class, ASCII in most cases if it has any.
func oneOf(pairs []rune, r *rand.Rand) rune {
	for range 8 {
		i := 2 * r.IntN(len(pairs)/2)
		c := pairs[i] + rune(r.IntN(int(pairs[i+1]-pairs[i])+1))
		if c < 0x80 || r.IntN(8) == 0 {
			return c
		}
		if pairs[i] < 0x80 {
			return pairs[i] + rune(r.IntN(int(min(pairs[i+1], 0x7f)-pairs[i])+1))
		}
	}
	return pairs[0]
}

// noise are pieces that break patterns where they are weak: word boundaries, line ends, letters that fold to ASCII,
// invalid UTF-8.
var noise = []string{"", " ", "_", "a", "0", "\n", "\r\n", "\x00", "\"", "'", "<", ";", "ſ", "\u212a", "é", "\xff", "\xc3", "\xe2\x84", "\ufffd", "\U0001f600"}

// Mutate changes a few places of s.
func Mutate(s string, r *rand.Rand) string {
	for range r.IntN(4) {
		i := r.IntN(len(s) + 1)
		j := min(len(s), i+r.IntN(4))
		s = s[:i] + noise[r.IntN(len(noise))] + s[j:]
	}
	switch r.IntN(8) {
	case 0:
		s = strings.ToUpper(s)
	case 1:
		s = Benign[:r.IntN(60)] + s
	case 2:
		s += Benign[:r.IntN(60)]
	}
	return s
}

// Random returns n random bytes: all kinds, or only printable ASCII.
func Random(n int, printable bool, r *rand.Rand) string {
	b := make([]byte, n)
	for i := range b {
		if b[i] = byte(r.IntN(256)); printable {
			b[i] = ' ' + b[i]%95
		}
	}
	return string(b)
}

// Benign is a kilobyte such as forms, queries and headers carry.
const Benign = "Dear support team, I ordered two of the blue chairs (order no. 4711-0815) last week and would like to change the " +
	"delivery address. Could you please update it to 12 Station Road, Cambridge? My phone number is +44 1223 555 0199. " +
	"Thanks, and have a nice day! Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 " +
	"text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8 en-GB,en;q=0.7,de;q=0.3 gzip, deflate, br " +
	"https://shop.example.com/catalogue/chairs?colour=blue&page=2&sort=price-asc session=4f9d1c7e-8a52-4b0e-9f3e-2f7d61c0a8b4; " +
	"theme=dark; consent=yes; cart=3 The meeting notes from Tuesday: we agreed to select a new supplier for the paper, to " +
	"drop the old price list, and to update the table of contents in the annual report. Anna will write to the printers " +
	"and Tom checks where the invoices went; both report back by Friday, 14:30, in room 5. Please bring your own laptop or " +
	"tablet, since the projector is still broken. Best regards, Maria Gonzales-Fischer, Head of Operations (ext. 204)."

// Best runs f as a benchmark and reports the fastest run in ns for each of n bytes: what it costs when nobody disturbs.
func Best(b *testing.B, n int, f func()) {
	best := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best)/float64(n), "best-ns/byte")
}
