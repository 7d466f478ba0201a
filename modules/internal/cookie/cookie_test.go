package cookie

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSet(t *testing.T) {
	const tail = "; Secure; HttpOnly; SameSite="
	tests := []struct {
		name, cookie, value string
		o                   Options
		want                string
		err                 error
	}{
		{"session", "__Host-gh", "abc", Options{}, "__Host-gh=abc; Path=/" + tail + "Lax", nil},
		{"lifetime", "__Host-gh", "abc", Options{MaxAge: time.Hour}, "__Host-gh=abc; Path=/; Max-Age=3600" + tail + "Lax", nil},
		{"rounded up", "__Host-gh", "abc", Options{MaxAge: 1}, "__Host-gh=abc; Path=/; Max-Age=1" + tail + "Lax", nil},
		{"strict", "__Host-gh", "", Options{SameSite: http.SameSiteStrictMode}, "__Host-gh=; Path=/" + tail + "Strict", nil},
		{"none", "__Host-gh", "a", Options{SameSite: http.SameSiteNoneMode}, "__Host-gh=a; Path=/" + tail + "None", nil},
		{"default mode", "__Host-gh", "a", Options{SameSite: http.SameSiteDefaultMode}, "__Host-gh=a; Path=/" + tail + "Lax", nil},
		{"no prefix", "gh", "a", Options{}, "", ErrName},
		{"other case", "__host-gh", "a", Options{}, "", ErrName},
		{"only the prefix", "__Host-", "a", Options{}, "", ErrName},
		{"separator in the name", "__Host-a;b", "a", Options{}, "", ErrName},
		{"equals in the name", "__Host-a=b", "a", Options{}, "", ErrName},
		{"NUL in the name", "__Host-a\x00", "a", Options{}, "", ErrName},
		{"separator in the value", "__Host-gh", "a; Domain=x", Options{}, "", ErrValue},
		{"line break", "__Host-gh", "a\r\nX: y", Options{}, "", ErrValue},
		{"quote", "__Host-gh", `"a"`, Options{}, "", ErrValue},
		{"UTF-8", "__Host-gh", "ä", Options{}, "", ErrValue},
		{"size", "__Host-gh", strings.Repeat("a", MaxSize), Options{}, "", ErrSize},
		{"negative lifetime", "__Host-gh", "a", Options{MaxAge: -1}, "", ErrMaxAge},
		{"endless lifetime", "__Host-gh", "a", Options{MaxAge: MaxAge + 1}, "", ErrMaxAge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			err := Set(h, tt.cookie, tt.value, tt.o)
			if !errors.Is(err, tt.err) || h.Get("Set-Cookie") != tt.want {
				t.Fatalf("%q, %v; want %q, %v", h.Get("Set-Cookie"), err, tt.want, tt.err)
			}
			if err != nil && len(h) != 0 {
				t.Error("header changed on error")
			}
			if err == nil {
				if _, err := http.ParseSetCookie(tt.want); err != nil {
					t.Errorf("net/http does not understand it: %v", err)
				}
			}
		})
	}
	if err := Set(http.Header{}, "__Host-a", "b", Options{SameSite: 99}); err == nil {
		t.Error("unknown SameSite accepted")
	}
}

func TestSetReplaces(t *testing.T) {
	h := http.Header{"Set-Cookie": {"app=1", "__Host-gh=old; Path=/; Secure", "__Host-ghost=1"}}
	if err := Set(h, "__Host-gh", "new", Options{}); err != nil {
		t.Fatal(err)
	}
	if err := Clear(h, "__Host-gh"); err != nil {
		t.Fatal(err)
	}
	want := []string{"app=1", "__Host-ghost=1", "__Host-gh=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"}
	if diff := cmp.Diff(want, h["Set-Cookie"]); diff != "" {
		t.Error(diff)
	}
	if err := Clear(h, "gh"); !errors.Is(err, ErrName) || len(h["Set-Cookie"]) != 3 {
		t.Errorf("error = %v", err)
	}
}

func TestGet(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  string // "": not ok
	}{
		{"only", []string{"__Host-gh=abc"}, "abc"},
		{"among others", []string{"a=1; __Host-gh=abc; b=2"}, "abc"},
		{"second line", []string{"a=1", "__Host-gh=abc"}, "abc"},
		{"no spaces", []string{"a=1;__Host-gh=abc;b=2"}, "abc"},
		{"spaces and tabs", []string{"a=1;\t __Host-gh \t= abc \t; b=2"}, "abc"},
		{"value with equals", []string{"__Host-gh=a=b="}, "a=b="},
		{"same twice", []string{"__Host-gh=abc; __Host-gh=abc"}, "abc"},
		{"tossed", []string{"__Host-gh=abc; __Host-gh=evil"}, ""},
		{"tossed in another line", []string{"__Host-gh=evil", "__Host-gh=abc"}, ""},
		{"tossed, empty", []string{"__Host-gh=abc; __Host-gh="}, ""},
		{"tossed, no value", []string{"__Host-gh; __Host-gh=abc"}, ""},
		{"other case", []string{"__host-gh=abc"}, ""},
		{"longer name", []string{"__Host-gh2=abc"}, ""},
		{"in a value", []string{"a=__Host-gh=abc"}, ""},
		{"quoted", []string{`__Host-gh="abc"`}, ""},
		{"comma", []string{"__Host-gh=a,b"}, ""},
		{"too large", []string{"__Host-gh=" + strings.Repeat("a", MaxSize)}, ""},
		{"none", nil, ""},
		{"blank", []string{"", ";", " ; "}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := Get(http.Header{"Cookie": tt.lines}, "__Host-gh")
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, tt.want)
			}
		})
	}
}

func TestStrip(t *testing.T) {
	tests := []struct {
		name     string
		in, want []string
	}{
		{"nothing to do", []string{"a=1;b=2 ; c"}, []string{"a=1;b=2 ; c"}},
		{"no header", nil, nil},
		{"only ours", []string{"__Host-gh_sid=x"}, nil},
		{"first", []string{"__Host-gh_sid=x; a=1"}, []string{"a=1"}},
		{"middle", []string{"a=1; __Host-gh_sid=x; b=2"}, []string{"a=1; b=2"}},
		{"last", []string{"a=1; __Host-gh_sid=x"}, []string{"a=1"}},
		{"several", []string{"__Host-gh_sid=x; __Host-gh_t=y;a=1"}, []string{"a=1"}},
		{"other lines stay", []string{"a=1 ;; b", "__Host-gh_sid=x", "c=3"}, []string{"a=1 ;; b", "c=3"}},
		{"bytes of others stay", []string{`a="x y" ;  __Host-gh_sid=x;b=ä=; `}, []string{`a="x y" ;b=ä=; `}},
		{"only separators left", []string{"; __Host-gh_sid=x ;\t"}, nil},
		{"other __Host-", []string{"__Host-app=1; __Host-gh_sid=x"}, []string{"__Host-app=1"}},
		{"unlucky white space", []string{"a=1;  Host-gh_x=1"}, []string{"a=1;  Host-gh_x=1"}},
		{"in a value", []string{"a=__Host-gh_sid=x"}, []string{"a=__Host-gh_sid=x"}},
		{"inside a name", []string{"x__Host-gh_sid=x"}, []string{"x__Host-gh_sid=x"}},
		{"case", []string{"__HOST-GH_SID=x"}, nil},
		{"white space", []string{"\t __Host-gh_sid =x"}, nil},
		{"quoted", []string{`"__Host-gh_sid"=x`}, nil},
		{"nameless", []string{"=__Host-gh_sid=x"}, nil},
		{"no value", []string{"__Host-gh_sid"}, nil},
		{"no-break space", []string{"\u00a0__Host-gh_sid=x", "\xa0__Host-gh_sid=x"}, nil},
		{"percent-encoded", []string{"__%48ost-gh_sid=x; %5F_Host%2dgh_=x"}, nil},
		{"encoded white space", []string{"%20__Host-gh_sid=x"}, nil},
		{"PHP names", []string{"..Host-gh_sid=x; _[Host-gh.sid=x;  _ Host-gh+sid=1"}, nil},
		{"single quote, dollar", []string{"'__Host-gh_sid=x; $__Host-gh_sid=y"}, nil},
		{"split quoted string", []string{`a="x; __Host-gh_sid=x; y"`}, []string{`a="x; y"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"X": {"y"}}
			if tt.in != nil {
				h["Cookie"] = slices.Clone(tt.in)
			}
			shallow := h["Cookie"]
			Strip(h, "__Host-gh_")
			if diff := cmp.Diff(tt.want, h["Cookie"]); diff != "" {
				t.Error(diff)
			}
			if _, ok := h["Cookie"]; ok && tt.want == nil {
				t.Error("an empty header is left")
			}
			if diff := cmp.Diff(tt.in, shallow); diff != "" {
				t.Errorf("the old slice was written: %s", diff)
			}
		})
	}
	h := http.Header{"Cookie": {"a=1; b"}}
	if Strip(h, ""); len(h) != 0 {
		t.Errorf("empty prefix left %v", h)
	}
}

func TestAllocs(t *testing.T) {
	h := http.Header{"Cookie": {"theme=dark; lang=en; __Host-gh_sid=" + strings.Repeat("a", 43), "x=1"}}
	if n := testing.AllocsPerRun(100, func() { Get(h, "__Host-gh_sid") }); n != 0 {
		t.Errorf("Get: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { Strip(h, "__Host-other_") }); n != 0 {
		t.Errorf("Strip with nothing to strip: %v allocations", n)
	}
	lines := h["Cookie"]
	if n := testing.AllocsPerRun(100, func() { h["Cookie"] = lines; Strip(h, "__Host-gh_") }); n > 2 {
		t.Errorf("Strip: %v allocations", n)
	}
}

func BenchmarkGet(b *testing.B) {
	h := http.Header{"Cookie": {"theme=dark; lang=en; __Host-gh_sid=" + strings.Repeat("a", 43) + "; x=1"}}
	b.ReportAllocs()
	for b.Loop() {
		Get(h, "__Host-gh_sid")
	}
}

func BenchmarkStrip(b *testing.B) {
	lines := []string{"theme=dark; lang=en; __Host-gh_sid=" + strings.Repeat("a", 43) + "; x=1"}
	for name, prefix := range map[string]string{"nothing": "__Host-other_", "one": "__Host-gh_"} {
		b.Run(name, func(b *testing.B) {
			h := http.Header{}
			b.ReportAllocs()
			for b.Loop() {
				h["Cookie"] = lines
				Strip(h, prefix)
			}
		})
	}
}
