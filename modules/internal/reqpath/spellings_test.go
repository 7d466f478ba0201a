package reqpath

import (
	"errors"
	"testing"
)

// spelling is one way to write a path that somebody may take for /admin, or
// that looks as if and must stay open.
type spelling struct {
	family, raw string
	want        error // the refusal in strict mode; nil: accepted
	admin       bool  // if accepted: must be restricted by /admin/*
}

var spellings = []spelling{
	{"plain", "/admin", nil, true},
	{"plain", "/admin/", nil, true},
	{"plain", "/admin/users", nil, true},
	{"plain", "/admin?x=1", nil, true},
	{"plain", "/adminx", nil, false},
	{"plain", "/x/admin", nil, false},
	{"plain", "/", nil, false},
	{"plain", "/administrator/", nil, false},

	{"case", "/ADMIN", nil, true},
	{"case", "/Admin/Users", nil, true},
	{"case", "/aDmIn?x", nil, true},
	{"case", "/adm%C4%B1n", nil, true},      // dotless i: upper-cases to I
	{"case", "/adm%C4%B0n", nil, true},      // dotted I: lower-cases to i
	{"case", "/ad%4Din", nil, true},         // M
	{"case", "/%EF%BD%81dmin", nil, true},   // full-width a
	{"case", "/%EF%BC%A1DMIN/x", nil, true}, // full-width A

	{"dots", "/./admin", ErrDotSegment, true},
	{"dots", "/x/../admin", ErrDotSegment, true},
	{"dots", "/../admin", ErrDotSegment, true},
	{"dots", "/admin/..", ErrDotSegment, true},
	{"dots", "/admin/.", ErrDotSegment, true},
	{"dots", "/.../admin", ErrDotSegment, true},
	{"dots", "/..../admin", ErrDotSegment, true},
	{"dots", "/x/.. /admin", ErrRawByte, true},
	{"dots", "/x/..%20/admin", ErrDotSegment, true},
	{"dots", "/x/%20../admin", ErrDotSegment, true},
	{"dots", "/x/.%20./admin", ErrDotSegment, true},
	{"dots", "/x/..%E2%80%8B/admin", ErrDotSegment, true}, // zero-width space
	{"dots", "/%20/admin", ErrDotSegment, true},
	{"dots", "/.well-known/x", nil, false},
	{"dots", "/..x/y", nil, false},

	{"percent", "/%61dmin", nil, true},
	{"percent", "/%61%64%6d%69%6e", nil, true},
	{"percent", "/%61%64%6D%69%6E/users", nil, true},
	{"percent", "/admi%6e", nil, true},
	{"percent", "/x/%2e%2e/admin", ErrDotSegment, true},
	{"percent", "/x/%2E./admin", ErrDotSegment, true},
	{"percent", "/x/.%2e/admin", ErrDotSegment, true},
	{"percent", "/%2e/admin", ErrDotSegment, true},
	{"percent", "/x/..%2fadmin", ErrEncodedSlash, true},
	{"percent", "/x%2F..%2Fadmin", ErrEncodedSlash, true},
	{"percent", "/%2fadmin", ErrEncodedSlash, true},
	{"percent", "/admin%2fusers", ErrEncodedSlash, true},
	{"percent", "/admin%2", ErrEscape, true},
	{"percent", "/admin%", ErrEscape, true},
	{"percent", "/%zzadmin", ErrEscape, true},
	{"percent", "/%u0061dmin", ErrEscape, true},
	{"percent", "/100%25", nil, false},

	{"double", "/%2561dmin", ErrDoubleEncoded, true},
	{"double", "/x/%252e%252e/admin", ErrDoubleEncoded, true},
	{"double", "/x/..%252fadmin", ErrDoubleEncoded, true},
	{"double", "/%25%36%31dmin", ErrDoubleEncoded, true},
	{"double", "/%25252e%25252e/admin", ErrDoubleEncoded, true},
	{"double", "/%25u0061dmin", ErrDoubleEncoded, true},
	{"double", "/%EF%BC%8561dmin", ErrDoubleEncoded, true}, // full-width %
	{"double", "/%%36%31dmin", ErrEscape, true},

	{"NUL", "/admin%00", ErrControl, true},
	{"NUL", "/admin%00.css", ErrControl, true},
	{"NUL", "/x/..%00/admin", ErrControl, true},
	{"NUL", "/admin\x00", ErrRawByte, true},
	{"control", "/admin%09", ErrControl, true},
	{"control", "/admin%0a", ErrControl, true},
	{"control", "/admin%0d%0ax:%20y", ErrControl, true},
	{"control", "/admin%7f", ErrControl, true},
	{"control", "/admin%C2%85", ErrControl, true}, // NEL
	{"control", "/admin\t", ErrRawByte, true},
	{"control", "/admin\x7f", ErrRawByte, true},

	{"Tomcat", "/admin;x", nil, true},
	{"Tomcat", "/admin;", nil, true},
	{"Tomcat", "/admin;/users", nil, true},
	{"Tomcat", "/admin;a=b;c=d/users", nil, true},
	{"Tomcat", "/Admin;x/", nil, true},
	{"Tomcat", "/;x/admin", ErrEmptySegment, true},
	{"Tomcat", "/x/..;/admin", ErrDotSegment, true},
	{"Tomcat", "/x/.;y/admin", ErrDotSegment, true},
	{"Tomcat", "/..;a=b/admin", ErrDotSegment, true},
	{"Tomcat", "/x/%2e%2e;/admin", ErrDotSegment, true},
	{"Tomcat", "/x/..%3b/admin", ErrDotSegment, true},
	{"Tomcat", "/admin%3bx", nil, true},
	{"Tomcat", "/admin%3Bx/users", nil, true},
	{"Tomcat", "/x;/../admin", ErrDotSegment, true},
	{"Tomcat", "/admin;jsessionid=1.node", nil, true},
	{"Tomcat", "/;jsessionid=1", nil, false},
	{"Tomcat", "/cars;color=red/list", nil, false},
	{"Tomcat", "/admin%CD%BEx", nil, true}, // Greek question mark, NFC ';'

	{"backslash", `/\admin`, ErrBackslash, true},
	{"backslash", `/x\..\admin`, ErrBackslash, true},
	{"backslash", "/x%5c..%5cadmin", ErrBackslash, true},
	{"backslash", "/%5Cadmin", ErrBackslash, true},
	{"backslash", `/admin\users`, ErrBackslash, true},

	{"unicode", "/x/..%EF%BC%8Fadmin", ErrLookalike, true},         // U+FF0F
	{"unicode", "/%E2%88%95admin", ErrLookalike, true},             // U+2215
	{"unicode", "/%E2%81%84admin", ErrLookalike, true},             // U+2044
	{"unicode", "/x/%EF%BC%8E%EF%BC%8E/admin", ErrLookalike, true}, // U+FF0E
	{"unicode", "/x%EF%BC%BC..%EF%BC%BCadmin", ErrLookalike, true}, // U+FF3C
	{"unicode", "/x/%E2%80%A4%E2%80%A4/admin", ErrLookalike, true}, // U+2024
	{"unicode", "/x/%E2%80%A5/admin", ErrLookalike, true},          // U+2025
	{"unicode", "/admin%E2%80%A6", nil, true},                      // ellipsis
	{"unicode", "/ad%E2%80%8Cmin", nil, true},                      // zero-width non-joiner (HFS+)
	{"unicode", "/ad%C2%ADmin", nil, true},                         // soft hyphen
	{"unicode", "/admin%C2%A0", nil, true},                         // no-break space
	{"unicode", "/admin\xef\xbc\x8f", ErrRawByte, true},
	{"unicode", "/%E6%97%A5%E6%9C%AC", nil, false},

	{"overlong", "/x/%c0%ae%c0%ae/admin", ErrUTF8, true},
	{"overlong", "/x/..%c0%afadmin", ErrUTF8, true},
	{"overlong", "/%c1%a1dmin", ErrUTF8, true},
	{"overlong", "/x/..%e0%80%afadmin", ErrUTF8, true},
	{"overlong", "/x/..%f0%80%80%afadmin", ErrUTF8, true},
	{"overlong", "/admin%ff", ErrUTF8, true},
	{"overlong", "/admin%ed%a0%80", ErrUTF8, true}, // surrogate

	{"empty", "//admin", ErrEmptySegment, true},
	{"empty", "///admin", ErrEmptySegment, true},
	{"empty", "//x/admin", ErrEmptySegment, true},
	{"empty", "/x//../admin", ErrEmptySegment, true},
	{"empty", "/admin//users", ErrEmptySegment, true},
	{"empty", "/x//y", ErrEmptySegment, false},

	{"windows", "/admin.", nil, true},
	{"windows", "/admin...", nil, true},
	{"windows", "/admin%20", nil, true},
	{"windows", "/admin%20./users", nil, true},
	{"windows", "/%20admin", nil, true}, // CVE-2016-5007: Spring trims tokens
	{"windows", "/admin::$INDEX_ALLOCATION/x", ErrStream, true},
	{"windows", "/admin:$i30:$INDEX_ALLOCATION", ErrStream, true},
	{"windows", "/x.php::$DATA", ErrStream, false},

	{"delimiters", "/admin%3Fx", nil, true},
	{"delimiters", "/admin%23x", nil, true},
	{"delimiters", "/admin%3f/x", nil, true},
	{"delimiters", "/admin#x", ErrFragment, true},
	{"delimiters", "/x#/../admin", ErrFragment, true},
	{"delimiters", "/admin?x#y", ErrFragment, true},
	{"delimiters", "/admin?x y", ErrRawByte, true},
	{"delimiters", "/t/c%23/posts", nil, false},

	{"form", "*", ErrForm, true},
	{"form", "", ErrForm, true},
	{"form", "?x", ErrForm, true},
	{"form", "admin", ErrForm, true},
	{"form", "https://host/admin", ErrForm, true},
	{"form", "host:443", ErrForm, true},
}

func TestSpellings(t *testing.T) {
	admin := mustPattern(t, "/admin/*")
	for _, s := range spellings {
		t.Run(s.family+" "+s.raw, func(t *testing.T) {
			p, err := Parse(s.raw, Options{})
			if !errors.Is(err, s.want) || (err == nil) != (s.want == nil) {
				t.Fatalf("Parse(%q) error = %v, want %v", s.raw, err, s.want)
			}
			if err == nil && admin.MatchFolded(p) != s.admin {
				t.Fatalf("%q restricted by %v: %v, want %v (%+v)", s.raw, admin, !s.admin, s.admin, p)
			}
			// The looser options may accept more, but never open /admin.
			for _, o := range allOptions {
				if p, err := Parse(s.raw, o); err == nil && s.admin && s.family != "empty" && !admin.MatchFolded(p) {
					t.Errorf("%+v: %q is not restricted (%+v)", o, s.raw, p)
				}
			}
		})
	}
}

// TestSpellingsAgainstReaders shows that the table is worth having: that the
// naive readers do reach /admin by most of it.
func TestSpellingsAgainstReaders(t *testing.T) {
	reached := 0
	for _, s := range spellings {
		for _, r := range readings(s.raw, 3) {
			if inside(r, "/admin") {
				reached++
				break
			}
		}
	}
	if reached < 90 {
		t.Errorf("only %d of %d spellings reach /admin by some reading", reached, len(spellings))
	}
}

var allOptions = []Options{
	{},
	{AllowEncodedSlash: true},
	{AllowEmptySegments: true},
	{AllowEncodedSlash: true, AllowEmptySegments: true},
}

func mustPattern(t testing.TB, text string) Pattern {
	t.Helper()
	p, err := ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
