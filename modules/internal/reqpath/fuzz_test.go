package reqpath

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

func seed(f *testing.F) {
	for _, s := range spellings {
		f.Add(s.raw)
	}
	for _, s := range []string{
		"/admin;x%2Fy", "/a%2F..%2Fadmin", "/x;%3F/admin%23/y", "/admin%3F/%23/x", "/a;%3F/admin",
		"/pub%2Fx", "/pub/x%3F/y", "/%C5%BFtatic", "/pub;/../admin", "/x%25%C2%AD2e", "/pub/%E2%80%8B/x",
	} {
		f.Add(s)
	}
}

// FuzzParse: the promises of doc.go hold for every accepted path.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw string) {
		for _, o := range allOptions {
			p, err := Parse(raw, o)
			if err != nil {
				if _, ok := err.(Refusal); !ok || p != (Path{}) {
					t.Fatalf("error %#v is no Refusal, or path %+v is not zero", err, p)
				}
				continue
			}
			checkPath(t, raw, p, o)
		}
	})
}

// FuzzMoreAccess: no chain of lenient readers gets more out of a path than
// policy has judged.
func FuzzMoreAccess(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw string) {
		if len(raw) <= 64 { // the search is exponential
			checkAccess(t, raw)
		}
	})
}

// tokens are what bypasses are made of.
var tokens = strings.Fields(`/ / / / admin admin admin pub pub x . .. ; ;x %2F %2f %3F %23 %3B %2e %2E %20 %25 %2561 2e 2F 61
	%61dmin ADMIN Admin adm%C4%B1n ? // /; %E2%80%8B %C2%A0 %C2%AD %EF%BD%81dmin %EF%BC%9B %EF%BC%85 %EF%BC%9F %CD%BE %E2%80%A6 : $ :$ + , | ~ = a`)

// FuzzMoreAccessTokens is FuzzMoreAccess over sequences of tokens: every
// input is a plausible attack, so the search goes deeper.
func FuzzMoreAccessTokens(f *testing.F) {
	f.Add([]byte{4, 12, 0, 4})
	f.Add([]byte{7, 14, 4})
	f.Fuzz(func(t *testing.T, picks []byte) {
		if len(picks) > 10 {
			return
		}
		raw := "/"
		for _, p := range picks {
			raw += tokens[int(p)%len(tokens)]
		}
		checkAccess(t, raw)
	})
}

// checkAccess holds what the patterns say of raw against all its readings.
func checkAccess(t *testing.T, raw string) {
	path, _, _ := strings.Cut(raw, "?")
	var before []string
	for _, o := range allOptions {
		p, err := Parse(raw, o)
		if err != nil {
			continue
		}
		if before == nil {
			before = readings(path, 4)
		}
		for _, root := range []string{"/admin", "/x/admin"} {
			subtree, exactly := mustPattern(t, root+"/*"), mustPattern(t, root)
			for _, r := range before {
				if inside(r, root) && !subtree.MatchFolded(p) {
					t.Fatalf("%+v: %q reads as %q, but %v does not restrict it (%+v)", o, raw, r, subtree, p)
				}
				if r == root && !exactly.MatchFolded(p) {
					t.Fatalf("%+v: %q reads as %q, but %v does not restrict it (%+v)", o, raw, r, exactly, p)
				}
			}
		}
		public, page := mustPattern(t, "/pub/*"), mustPattern(t, "/pub")
		if !public.MatchAll(p) {
			continue
		}
		for _, r := range readings(p.Escaped, 4) {
			if !inside(r, "/pub") || page.MatchAll(p) && r != "/pub" {
				t.Fatalf("%+v: %q is open, but reads as %q", o, raw, r)
			}
		}
	}
}

// FuzzPattern: a pattern that is accepted matches its own path in every mode,
// and a restriction holds wherever an exception does.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"/", "/*", "/a", "/a/*", "/Ünï/*", "/a b", "/a\u00a0b", "/\uff41"} {
		f.Add(s, "/a")
	}
	f.Fuzz(func(t *testing.T, text, raw string) {
		pattern, err := ParsePattern(text)
		if err != nil {
			return
		}
		if !utf8.ValidString(text) {
			t.Fatalf("accepted %q", text)
		}
		var target strings.Builder
		for _, c := range []byte(pattern.exact + "/"[:b2i(pattern.exact == "")]) {
			if c == '/' {
				target.WriteByte(c)
				continue
			}
			target.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
		if p, err := Parse(target.String(), Options{}); err == nil {
			if !pattern.MatchAll(p) || !pattern.MatchFolded(p) || !pattern.MatchExact(p.Decoded) {
				t.Fatalf("%+v does not match its own path %+v", pattern, p)
			}
		} else if len(text) < MaxLen/3 {
			t.Fatalf("%q: its own path is refused: %v", text, err)
		}
		if p, err := Parse(raw, Options{}); err == nil && pattern.MatchAll(p) && !pattern.MatchFolded(p) {
			t.Fatalf("%v opens %+v without restricting it", pattern, p)
		}
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// FuzzFromRequest: after Apply, whatever net/http accepted is spelled in one
// way only.
func FuzzFromRequest(f *testing.F) {
	seed(f)
	f.Add("http://h/a|b?x")
	f.Add("http://h?x#")
	f.Fuzz(func(t *testing.T, target string) {
		if strings.ContainsAny(target, " \r\n") {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")))
		if err != nil {
			return
		}
		p, err := FromRequest(r, Options{AllowEncodedSlash: true})
		if err != nil {
			if err == ErrMismatch {
				t.Fatalf("%q: we and net/url read %q differently", target, r.URL)
			}
			return
		}
		query := r.URL.RawQuery
		p.Apply(r)
		checkApplied(t, r, p)
		if r.URL.RawQuery != query {
			t.Fatalf("query %q became %q", query, r.URL.RawQuery)
		}
		if again, err := FromRequest(r, Options{AllowEncodedSlash: true}); err != nil || again != p {
			t.Fatalf("second look: %+v, %v; want %+v", again, err, p)
		}
	})
}
