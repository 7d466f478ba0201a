package cookie

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// lenientNames returns what the name of a cookie may be to lenient parsers.
// It is naive on purpose and shares no code with the package.
func lenientNames(pair string) []string {
	latin1 := func(s string) string { // what Python makes of header bytes
		r := make([]rune, len(s))
		for i := range len(s) {
			r[i] = rune(s[i])
		}
		return string(r)
	}
	php := strings.NewReplacer(" ", "_", ".", "_", "[", "_")
	name, rest, _ := strings.Cut(pair, "=")
	names := []string{name}
	if strings.TrimSpace(name) == "" {
		names = append(names, rest) // nameless cookies
	}
	junk := func(s string, extra string) string {
		return strings.TrimFunc(s, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(extra, r)
		})
	}
	for _, n := range slices.Clone(names) {
		names = append(names, latin1(n), junk(n, ""), junk(n, `"'`), junk(latin1(n), `"`))
	}
	for _, n := range slices.Clone(names) {
		if u, err := url.QueryUnescape(n); err == nil {
			names = append(names, u, junk(u, `"`))
		}
	}
	for _, n := range slices.Clone(names) {
		names = append(names, php.Replace(strings.TrimLeft(n, " ")))
	}
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	return names
}

// FuzzStrip: no parser finds the prefix afterwards, and nothing else is lost.
func FuzzStrip(f *testing.F) {
	for _, s := range []string{
		"a=1; __Host-gh_sid=x; b=2", "__HOST-GH_SID=x", "\t\"__Host-gh_sid\"=x;a", "=__Host-gh_x", "__%48ost-gh_=1;;",
		"..Host-gh_sid=x\n__Host-gh.sid; a=\"x; y\"", "\xa0__Host-gh_sid=x", "%20%22__Host-gh_sid=x", "[_Host-gh_=", "'__host-gh_=1", "+_Host-gh_=1",
		". Host-g0\n  Host-gh 000000", "a=1;  Host-gh_x=1",
	} {
		f.Add(s)
	}
	const prefix = "__Host-gh_"
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		h := http.Header{"Cookie": slices.Clone(lines)}
		Strip(h, prefix)
		got := h["Cookie"]
		for _, line := range got {
			for pair := range strings.SplitSeq(line, ";") {
				for _, name := range lenientNames(pair) {
					if strings.HasPrefix(name, strings.ToLower(prefix)) {
						t.Fatalf("%q: %q survives as %q", text, pair, name)
					}
				}
			}
		}
		// Every cookie that is not clearly ours survives byte for byte, in
		// order; white space in front of the first of a line may go.
		var want, have []string
		for _, line := range lines {
			want = append(want, others(line, prefix)...)
		}
		for _, line := range got {
			have = append(have, others(line, prefix)...)
		}
		if !slices.Equal(want, have) {
			t.Fatalf("%q: cookies %q became %q", text, want, have)
		}
		Strip(h, prefix)
		if !slices.Equal(got, h["Cookie"]) {
			t.Fatalf("%q: a second Strip changed %q to %q", text, got, h["Cookie"])
		}
	})
}

// others returns the cookies whose names begin with something that no parser
// drops and that is not the prefix in any spelling: a letter or a digit.
func others(line, prefix string) (out []string) {
	for pair := range strings.SplitSeq(line, ";") {
		pair = strings.TrimLeft(pair, " \t")
		if pair != "" && (unicode.IsLetter(rune(pair[0])) || unicode.IsDigit(rune(pair[0]))) && pair[0] < 0x80 {
			out = append(out, pair)
		}
	}
	return out
}

// FuzzGet holds Get against net/http, which must see the same value wherever
// Get sees one.
func FuzzGet(f *testing.F) {
	for _, s := range []string{"__Host-gh=abc", "a=1;__Host-gh=abc; b", "__Host-gh=a\n__Host-gh=b", "__Host-gh = a", `__Host-gh="a"`, "__Host-gh;__Host-gh=a"} {
		f.Add(s)
	}
	const name = "__Host-gh"
	f.Fuzz(func(t *testing.T, text string) {
		h := http.Header{"Cookie": strings.Split(text, "\n")}
		got, ok := Get(h, name)
		if strings.Count(text, ";")+strings.Count(text, "\n") > 2000 {
			return // net/http gives up at 3000 cookies
		}
		values := map[string]bool{}
		for _, c := range (&http.Request{Header: h}).CookiesNamed(name) {
			values[strings.Trim(c.Value, " \t")] = true
		}
		switch {
		case ok && (!values[got] || len(values) != 1):
			t.Fatalf("%q: Get = %q, net/http has %v", text, got, values)
		case !ok && got != "":
			t.Fatalf("%q: %q but not ok", text, got)
		case !ok && len(values) == 1 && !strings.ContainsAny(text, "\" ,\t\r\v\f\\") && strings.Count(text, name) == 1 && !values[""] && len(text) < MaxSize:
			t.Fatalf("%q: Get found nothing, net/http has %v", text, values)
		case ok:
			if err := Set(http.Header{}, name, got, Options{}); err != nil {
				t.Fatalf("%q: Get = %q, which Set refuses: %v", text, got, err)
			}
			Strip(h, Prefix)
			if v, ok := Get(h, name); ok {
				t.Fatalf("%q: %q after Strip", text, v)
			}
		}
	})
}
