package reqpath

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

func TestParse(t *testing.T) {
	slash, empty := Options{AllowEncodedSlash: true}, Options{AllowEmptySegments: true}
	tests := []struct {
		name, raw                string
		o                        Options
		decoded, escaped, folded string
	}{
		{"root", "/", Options{}, "/", "/", "/"},
		{"trailing slash", "/a/", Options{}, "/a/", "/a/", "/a"},
		{"unreserved escapes are decoded", "/%7Ejo%65", Options{}, "/~joe", "/~joe", "/~joe"},
		{"hex is upper-cased", "/a%c3%a9", Options{}, "/aé", "/a%C3%A9", "/aé"},
		{"reserved keeps the client's spelling", "/a(b)%28c%29", Options{}, "/a(b)(c)", "/a(b)%28c%29", "/a(b)(c)"},
		{"browser characters are escaped", "/a|b^c`{d}<e>\"", Options{}, "/a|b^c`{d}<e>\"", "/a%7Cb%5Ec%60%7Bd%7D%3Ce%3E%22", "/a|b^c`{d}<e>\""},
		{"brackets stay", "/a[0]", Options{}, "/a[0]", "/a[0]", "/a[0]"},
		{"space", "/a%20b", Options{}, "/a b", "/a%20b", "/a b"},
		{"plus is not a space", "/a+b", Options{}, "/a+b", "/a+b", "/a+b"},
		{"percent sign", "/100%25", Options{}, "/100%", "/100%25", "/100%"},
		{"params", "/A;x=1/b;y", Options{}, "/A;x=1/b;y", "/A;x=1/b;y", "/a/b"},
		{"query is not part of it", "/a?b=%2e%2e/", Options{}, "/a", "/a", "/a"},
		{"colon", "/v1/x:cancel", Options{}, "/v1/x:cancel", "/v1/x:cancel", "/v1/x:cancel"},
		{"encoded slash", "/a%2fb/c", slash, "/a/b/c", "/a%2Fb/c", "/a/b/c"},
		{"empty segments", "/a//b", empty, "/a//b", "/a//b", "/a/b"},
		{"empty segments at the end", "/a//", empty, "/a//", "/a//", "/a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse(tt.raw, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if p.Decoded != tt.decoded || p.Escaped != tt.escaped || p.Folded != tt.folded {
				t.Errorf("Parse(%q) = %q %q %q, want %q %q %q", tt.raw,
					p.Decoded, p.Escaped, p.Folded, tt.decoded, tt.escaped, tt.folded)
			}
			checkPath(t, tt.raw, p, tt.o)
		})
	}
}

func TestParseEncodedSlash(t *testing.T) {
	o := Options{AllowEncodedSlash: true}
	tests := []struct {
		name, raw string
		want      error
	}{
		{"data", "/a%2Fb", nil},
		{"at the end", "/a%2F", nil},
		{"dot segment behind it", "/a%2F..%2Fadmin", ErrDotSegment},
		{"dot segment before it", "/..%2Fadmin", ErrDotSegment},
		{"leading", "/%2Fadmin", ErrEmptySegment},
		{"twice", "/a%2F%2Fb", ErrEmptySegment},
		{"beside a slash", "/a/%2Fb", ErrEmptySegment},
		{"after a parameter", "/admin;x%2Fy", ErrEncodedSlash},
		{"after an encoded parameter", "/admin%3Bx%2Fy", ErrEncodedSlash},
		{"parameter in an earlier segment", "/a;x/b%2Fc", nil},
		{"parameter behind it", "/a%2Fb;x", nil},
		{"backslash stays refused", "/a%5Cb", ErrBackslash},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.raw, o); !errors.Is(err, tt.want) {
				t.Errorf("Parse(%q) error = %v, want %v", tt.raw, err, tt.want)
			}
		})
	}
}

func TestParseEmptySegments(t *testing.T) {
	o := Options{AllowEmptySegments: true}
	for raw, want := range map[string]error{
		"/a//b": nil, "/a///b": nil, "/a//": nil, "/a/;x/b": nil,
		"//": ErrEmptySegment, "//a": ErrEmptySegment, "/;x/a": ErrEmptySegment, "/a//../b": ErrDotSegment,
	} {
		if _, err := Parse(raw, o); !errors.Is(err, want) {
			t.Errorf("Parse(%q) error = %v, want %v", raw, err, want)
		}
	}
}

func TestParseLength(t *testing.T) {
	tests := []struct {
		name, raw string
		want      error
	}{
		{"longest", "/" + strings.Repeat("a", MaxLen-1), nil},
		{"one more", "/" + strings.Repeat("a", MaxLen), ErrTooLong},
		{"grows beyond it", "/" + strings.Repeat("|", MaxLen/2), ErrTooLong},
		{"long query", "/a?" + strings.Repeat("q", 4*MaxLen), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.raw, Options{}); !errors.Is(err, tt.want) {
				t.Errorf("error = %v, want %v", err, tt.want)
			}
		})
	}
}

// checkPath holds p, parsed from raw, against the promises of doc.go.
func checkPath(t *testing.T, raw string, p Path, o Options) {
	t.Helper()
	u := url.URL{Path: p.Decoded, RawPath: p.Escaped}
	if got := u.EscapedPath(); got != p.Escaped {
		t.Errorf("%q: net/url sends %q, not %q", raw, got, p.Escaped)
	}
	if got, err := url.PathUnescape(p.Escaped); err != nil || got != p.Decoded {
		t.Errorf("%q: Escaped %q decodes to %q (%v), not %q", raw, p.Escaped, got, err, p.Decoded)
	}
	again, err := Parse(p.Escaped, o)
	if err != nil || again != p {
		t.Errorf("%q: parsing %q again: %+v, %v, want %+v", raw, p.Escaped, again, err, p)
	}
	for _, s := range []string{p.Decoded, p.Folded} {
		if !strings.HasPrefix(s, "/") || strings.Contains(s, `\`) || strings.ContainsFunc(s, unicode.IsControl) {
			t.Errorf("%q: bad reading %q", raw, s)
		}
		for seg := range strings.SplitSeq(s[1:], "/") {
			if seg != "" && strings.Trim(seg, ". ") == "" {
				t.Errorf("%q: dot segment in %q", raw, s)
			}
		}
	}
	// Folding absorbs itself: Folded is a fixed point.
	if f, cut, err := fold(p.Folded, Options{}); err != nil || f != p.Folded || cut != 0 {
		t.Errorf("%q: Folded %q folds to %q, %d, %v", raw, p.Folded, f, cut, err)
	}
}

// TestFoldRune holds for all of Unicode: the variants of a rune fold alike.
func TestFoldRune(t *testing.T) {
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		f := foldRune(r)
		if f < 0 {
			continue
		}
		for _, v := range []rune{f, unicode.ToLower(r), unicode.ToUpper(r), unicode.ToTitle(r), unicode.SimpleFold(r)} {
			if g := foldRune(v); v >= 0x80 && g != f || v < 0x80 && rune(lowerASCII(byte(v))) != f {
				t.Errorf("foldRune(%U) = %U, but its variant %U folds to %U", r, f, v, g)
			}
		}
	}
}

func TestAllocs(t *testing.T) {
	pattern := mustPattern(t, "/admin/*")
	tests := []struct {
		name, raw string
		budget    float64
	}{
		{"plain", "/assets/app/main.js?v=1", 0},
		{"trailing slash", "/assets/app/", 0},
		{"upper case", "/assets/App-BxY.js", 1},
		{"escaped", "/wiki/%C3%9Cber%20uns", 3},
		{"refused", "/x/..;/admin", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := testing.AllocsPerRun(200, func() {
				p, _ := Parse(tt.raw, Options{})
				_ = pattern.MatchFolded(p) || pattern.MatchAll(p)
			})
			if got > tt.budget {
				t.Errorf("%v allocations, budget %v", got, tt.budget)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for name, raw := range map[string]string{
		"plain":   "/assets/app/main.js",
		"upper":   "/assets/app/Main-BxY81.js",
		"escaped": "/wiki/%C3%9Cber%20uns",
		"refused": "/static/..;/admin/users",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(raw, Options{})
			}
		})
	}
}

func BenchmarkMatchFolded(b *testing.B) {
	pattern := mustPattern(b, "/admin/*")
	p, _ := Parse("/admin/users/7", Options{})
	for b.Loop() {
		pattern.MatchFolded(p)
	}
}

func TestPlain(t *testing.T) {
	open := Options{AllowEncodedSlash: true, AllowEmptySegments: true}
	for raw, want := range map[string]bool{
		"/": true, "/a/b": true, "/a/b/": true, "/Wiki/Main%20Page": true, "/caf%C3%A9": true, "/%61": true,
		"/a;x/b": false, "/a%2Fb": false, "/a//b": false, "/a%3Fb": false, "/a.": false, "/a%20/b": false, "/%EF%BC%A1": false,
	} {
		p, err := Parse(raw, open)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if p.Plain() != want {
			t.Errorf("Plain(%s) = %v", raw, !want)
		}
	}
	if (Path{}).Plain() {
		t.Error("the zero path is plain")
	}
}
