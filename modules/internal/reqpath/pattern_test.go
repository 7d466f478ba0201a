package reqpath

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

func TestParsePattern(t *testing.T) {
	for _, ok := range []string{"/", "/*", "/healthz", "/docs/", "/admin/*", "/Admin/*", "/über uns/*", "/v1/x:cancel", "/.well-known/*", "/a+b"} {
		p, err := ParsePattern(ok)
		if err != nil || p.String() != ok {
			t.Errorf("ParsePattern(%q) = %q, %v", ok, p, err)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "relative": "admin", "star": "*", "prefix star": "/admin*", "middle star": "/a/*/b", "double star": "/a/**",
		"query": "/a?b", "fragment": "/a#b", "escape": "/a%20b", "backslash": `/a\b`, "control": "/a\tb", "empty segment": "/a//b",
		"double slash before star": "/a//*", "network path": "//a/*", "dot segment": "/a/../b", "dot": "/./*", "params": "/a;b",
		"trailing dot": "/a./b", "trailing space": "/a ", "lookalike": "/a\u2215b", "utf8": "/a\xff", "stream": "/a::$DATA",
		"ellipsis": "/a\u2026",
	} {
		if p, err := ParsePattern(text); !errors.Is(err, ErrPattern) || p != (Pattern{}) {
			t.Errorf("%s: ParsePattern(%q) = %+v, %v, want ErrPattern", name, text, p, err)
		}
	}
}

func TestPatternMatch(t *testing.T) {
	tests := []struct {
		name, pattern, raw string
		o                  Options
		folded, all        bool
	}{
		{"subtree root", "/pub/*", "/pub", Options{}, true, true},
		{"subtree", "/pub/*", "/pub/a/b", Options{}, true, true},
		{"subtree with slash", "/pub/*", "/pub/", Options{}, true, true},
		{"sibling", "/pub/*", "/public", Options{}, false, false},
		{"case restricts, does not open", "/pub/*", "/PUB/a", Options{}, true, false},
		{"case in the pattern", "/Pub/*", "/pub/a", Options{}, true, false},
		{"same case", "/Pub/*", "/Pub/a", Options{}, true, true},
		{"everything", "/*", "/any", Options{}, true, true},
		{"everything, root", "/*", "/", Options{}, true, true},
		{"root only", "/", "/", Options{}, true, true},
		{"root is not everything", "/", "/a", Options{}, false, false},
		{"root with session id", "/", "/;s=1", Options{}, true, false},
		{"exact", "/healthz", "/healthz", Options{}, true, true},
		{"exact, unreserved escape", "/healthz", "/health%7A", Options{}, true, true},
		{"exact with slash", "/healthz", "/healthz/", Options{}, true, false},
		{"exact written with slash", "/docs/", "/docs/", Options{}, true, true},
		{"exact written with slash, without", "/docs/", "/docs", Options{}, true, false},
		{"exact is no subtree", "/healthz", "/healthz/x", Options{}, false, false},
		{"params", "/healthz", "/healthz;x", Options{}, true, false},
		{"params in the prefix", "/pub/*", "/pub;x/a", Options{}, true, false},
		{"params below", "/pub/*", "/pub/a;x", Options{}, true, true},
		{"trailing dot", "/pub/*", "/pub./a", Options{}, true, false},
		{"encoded ? ends an exact path", "/a", "/a%3F/b", Options{}, true, false},
		{"encoded ? later", "/a/b", "/a%3F/b/c", Options{}, true, false},
		{"encoded ? earlier", "/a", "/a/b%3F", Options{}, false, false},
		{"encoded ? at the root", "/", "/%3Fx", Options{}, true, false},
		{"encoded slash ends the pattern", "/pub/*", "/pub%2Fa", Options{AllowEncodedSlash: true}, true, false},
		{"encoded slash below", "/pub/*", "/pub/a%2Fb", Options{AllowEncodedSlash: true}, true, true},
		{"encoded slash inside", "/a/b/*", "/a%2Fb/c", Options{AllowEncodedSlash: true}, true, false},
		{"encoded slash, exact", "/a/b", "/a%2Fb", Options{AllowEncodedSlash: true}, true, false},
		{"encoded slash, everything", "/*", "/a%2Fb", Options{AllowEncodedSlash: true}, true, true},
		{"collapsed", "/a/b/*", "/a//b/c", Options{AllowEmptySegments: true}, true, false},
		{"collapsed below", "/a/*", "/a//b", Options{AllowEmptySegments: true}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Parse(tt.raw, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			pattern := mustPattern(t, tt.pattern)
			if got := pattern.MatchFolded(p); got != tt.folded {
				t.Errorf("%v.MatchFolded(%+v) = %v", pattern, p, got)
			}
			if got := pattern.MatchAll(p); got != tt.all {
				t.Errorf("%v.MatchAll(%+v) = %v", pattern, p, got)
			}
		})
	}
}

// TestZeroValues: whatever is missing means no.
func TestZeroValues(t *testing.T) {
	p, _ := Parse("/a", Options{})
	everything := mustPattern(t, "/*")
	if (Pattern{}).MatchAll(p) || (Pattern{}).MatchExact("") || everything.MatchAll(Path{}) {
		t.Error("a zero value opened something")
	}
	if !(Pattern{}).MatchFolded(p) || !mustPattern(t, "/b").MatchFolded(Path{}) {
		t.Error("a zero value escaped a restriction")
	}
}

func TestPatternCompare(t *testing.T) {
	want := []string{"/a/b/c", "/a/b/c/*", "/a/b", "/A/B/*", "/a/b/*", "/a/", "/a/*", "/", "/*"}
	var patterns []Pattern
	for _, text := range want {
		patterns = append(patterns, mustPattern(t, text))
	}
	slices.Reverse(patterns)
	slices.SortFunc(patterns, Pattern.Compare)
	var got []string
	for _, p := range patterns {
		got = append(got, p.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}

func TestPatternWithin(t *testing.T) {
	for _, tt := range []struct {
		p, q string
		want bool
	}{
		{"/*", "/*", true}, {"/a/*", "/*", true}, {"/", "/*", true}, {"/*", "/a/*", false}, {"/a/*", "/a/*", true}, {"/a", "/a/*", true},
		{"/a/*", "/a", false}, {"/a", "/a", true}, {"/a/", "/a", false}, {"/a/", "/a/*", true}, {"/a/b/*", "/a/*", true}, {"/a/*", "/a/b/*", false},
		{"/ab/*", "/a/*", false}, {"/A/*", "/a/*", false}, {"", "/*", false}, {"/a", "", false}, {"", "", false},
	} {
		var p, q Pattern
		if tt.p != "" {
			p = mustPattern(t, tt.p)
		}
		if tt.q != "" {
			q = mustPattern(t, tt.q)
		}
		if got := p.Within(q); got != tt.want {
			t.Errorf("%q within %q: %v", tt.p, tt.q, got)
		}
	}
}

func TestPatternText(t *testing.T) {
	var ps []Pattern
	if err := json.Unmarshal([]byte(`["/a/*","/b"]`), &ps); err != nil {
		t.Fatal(err)
	}
	if out, err := json.Marshal(ps); err != nil || string(out) != `["/a/*","/b"]` {
		t.Errorf("%s, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`["/a*"]`), &ps); !errors.Is(err, ErrPattern) {
		t.Errorf("error = %v", err)
	}
}
