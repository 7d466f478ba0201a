package transform

import (
	"strings"
	"testing"

	"gatehouse.internal/modules/waf/symbol"
)

var (
	benchText  = strings.Repeat("The quick brown fox, 100% of it & more: it's in C:\\dir\\x or a/b (and so on).\n", 205) // 16 KiB
	benchJSON  = strings.Repeat(`{"name":"J\u00f6rg M\u00fcller","path":"a\/b","n":[1,2,3],"html":"a &amp; b"},`, 205)
	benchForm  = strings.Repeat("name=J%C3%B6rg+M%C3%BCller&path=a%2Fb&text=it%27s+fine&", 290)
	benchPlain = strings.Repeat("nothing that any decoder would look at twice ", 364)
	benchUTF8  = strings.Repeat("Größe, Übermaß und naïve Façade; 寸法と重さ ", 330)
)

func BenchmarkAppendTo(b *testing.B) {
	for _, row := range []struct {
		name  string
		chain []string
		value string
	}{
		{"text/url", []string{"urlDecodeUni"}, benchText},
		{"form/url", []string{"urlDecodeUni"}, benchForm},
		{"json/js", []string{"jsDecode"}, benchJSON},
		{"text/html", []string{"htmlEntityDecode"}, benchText},
		{"json/html", []string{"htmlEntityDecode"}, benchJSON},
		{"text/cmd", []string{"cmdLine"}, benchText},
		{"text/lower", []string{"lowercase"}, benchText},
		{"utf8/lower", []string{"lowercase"}, benchUTF8},
		{"utf8/unicode", []string{"utf8toUnicode"}, benchUTF8},
		{"text/white", []string{"removeWhitespace"}, benchText},
		{"text/compress", []string{"compressWhitespace"}, benchText},
		{"text/path", []string{"normalizePath"}, benchText},
		{"text/pathwin", []string{"normalizePathWin"}, benchText},
		{"text/comments", []string{"replaceComments"}, benchText},
		{"text/xss", []string{"utf8toUnicode", "urlDecodeUni", "htmlEntityDecode", "jsDecode", "cssDecode", "removeNulls"}, benchText},
		{"form/xss", []string{"utf8toUnicode", "urlDecodeUni", "htmlEntityDecode", "jsDecode", "cssDecode", "removeNulls"}, benchForm},
		{"plain/xss", []string{"utf8toUnicode", "urlDecodeUni", "htmlEntityDecode", "jsDecode", "cssDecode", "removeNulls"}, benchPlain},
		{"json/escapes", []string{"escapeSeqDecode", "cmdLine"}, benchJSON},
	} {
		c := chainOf(b, row.chain...)
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(row.value)))
			var scratch []byte
			for b.Loop() {
				scratch, _ = c.AppendTo(scratch[:0], row.value)
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	c := chainOf(b, "urlDecodeUni", "htmlEntityDecode", "jsDecode", "lowercase")
	for name, value := range map[string]string{"text": benchText, "plain": benchPlain, "short": "a=1&b=2"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for b.Loop() {
				c.Apply(value)
			}
		})
	}
}

func BenchmarkFoldsOnly(b *testing.B) {
	c := chainOf(b, "urlDecodeUni", "lowercase", "removeNulls")
	set := symbol.Of(benchText)
	b.SetBytes(int64(len(benchText)))
	for b.Loop() {
		c.FoldsOnly(benchText, set)
	}
}

// Coraza itself, for the ratio: one rule per chain, a new transaction each.
func BenchmarkCoraza(b *testing.B) {
	names := []string{"utf8toUnicode", "urlDecodeUni", "htmlEntityDecode", "jsDecode", "cssDecode", "removeNulls"}
	o := newOracle(b, [][]string{names})
	b.ReportAllocs()
	b.SetBytes(2 * int64(len(benchText))) // with and without multiMatch
	for b.Loop() {
		o.ask(b, benchText)
	}
}
