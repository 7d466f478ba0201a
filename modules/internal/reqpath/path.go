package reqpath

import "strings"

// MaxLen is the greatest length in bytes of a raw path, and of its canonical
// spelling. RFC 9110 §4.1 asks for at least 8000. The query does not count:
// the server's header limit bounds it.
const MaxLen = 8 << 10

// A Refusal says why a request-target is not one path. Its text is the reason
// code. Every refusal is to be answered with 400.
type Refusal string

// Error returns the reason code.
func (r Refusal) Error() string { return string(r) }

// The refusals. They are constants: compare with errors.Is or ==.
const (
	ErrForm          Refusal = "path_form"           // neither origin-form nor absolute-form (RFC 9112 §3.2)
	ErrMismatch      Refusal = "path_mismatch"       // the request's URL was changed after it was read
	ErrTooLong       Refusal = "path_too_long"       // longer than MaxLen
	ErrFragment      Refusal = "path_fragment"       // a raw '#'
	ErrRawByte       Refusal = "path_raw_byte"       // a raw byte below 0x21 or above 0x7e
	ErrEscape        Refusal = "path_escape"         // an incomplete or invalid percent-escape
	ErrDoubleEncoded Refusal = "path_double_encoded" // an escape is left after decoding once
	ErrControl       Refusal = "path_control"        // an encoded C0, C1 or DEL control
	ErrUTF8          Refusal = "path_utf8"           // not UTF-8 after decoding (overlong forms too)
	ErrBackslash     Refusal = "path_backslash"      // a backslash, raw or encoded
	ErrEncodedSlash  Refusal = "path_encoded_slash"  // %2F without Options.AllowEncodedSlash, or after ';'
	ErrLookalike     Refusal = "path_lookalike"      // a character that best-fit mappings turn into / \ or .
	ErrDotSegment    Refusal = "path_dot_segment"    // a segment that some server reads as . or ..
	ErrEmptySegment  Refusal = "path_empty_segment"  // "//" without Options.AllowEmptySegments, or leading
	ErrStream        Refusal = "path_stream"         // an NTFS stream name (":$")
)

// Options widen what Parse accepts. The zero value is the strict default.
type Options struct {
	// AllowEncodedSlash accepts %2F inside a segment (package registries and
	// artifact stores need it). It stays %2F on the wire; Decoded and Folded
	// show it as '/', and [Pattern.MatchAll] never takes it for the '/' that
	// ends the pattern.
	AllowEncodedSlash bool

	// AllowEmptySegments accepts "//" after the first segment. It stays "//"
	// on the wire; Folded collapses it. A leading "//" is always refused,
	// because it also reads as a network-path reference (RFC 3986 §4.2).
	AllowEmptySegments bool
}

// Path is one accepted request path. The zero value is "not parsed": it
// matches every restriction and no exception. Paths are comparable and
// immutable by convention; only this package makes useful ones.
type Path struct {
	// Decoded is the path after one percent-decoding, in the client's case:
	// what policy judges. It is valid UTF-8 and begins with '/'.
	Decoded string

	// Escaped is the canonical spelling of Decoded: what is sent upstream.
	// Unreserved characters are never escaped, hex digits are upper-case,
	// reserved characters keep the client's choice, and characters that may
	// not stand in a URI are escaped.
	Escaped string

	// Folded is the most lenient reading of Decoded: case folded, format
	// characters dropped, full-width forms narrowed, every segment cut at its
	// first ';', '?' or '#' and trimmed of spaces and trailing dots, empty
	// segments and the trailing slash dropped. It exists to make policy
	// stricter and must never be used to find a resource.
	Folded string

	// encodedSlash is 1 + the index in Decoded of the first '/' that the
	// client wrote as %2F; 0 if none.
	encodedSlash int

	// cut is the length of the prefix of Folded that a server sees if it ends
	// the path at an encoded '?' or '#'; 0 if there is none.
	cut int
}

// String returns the canonical spelling.
func (p Path) String() string { return p.Escaped }

// Plain reports whether every server reads the path alike, but for letter case
// and a slash at its end: whoever looks at parts of it other than by a
// [Pattern] must refuse one that is not. The zero value is not.
func (p Path) Plain() bool {
	return p.Folded != "" && p.encodedSlash == 0 && p.cut == 0 && strings.EqualFold(trimSlash(p.Decoded), p.Folded)
}

// Parse reads a request-target in origin-form, with or without "?query", as
// received on the wire (RFC 9112 §3.2.1, the :path of RFC 9113 §8.3.1).
// The query is checked for bytes that may not stand in a URI and is otherwise
// not looked at. The error is always a [Refusal].
func Parse(rawTarget string, o Options) (Path, error) {
	raw, query, _ := strings.Cut(rawTarget, "?")
	if raw == "" || raw[0] != '/' {
		return Path{}, ErrForm
	}
	if len(raw) > MaxLen {
		return Path{}, ErrTooLong
	}
	if err := checkQuery(query); err != nil {
		return Path{}, err
	}
	if isPlain(raw) {
		// Fast path: every reading is the same.
		return Path{Decoded: raw, Escaped: raw, Folded: trimSlash(raw)}, nil
	}
	p, err := decode(raw, o)
	if err != nil {
		return Path{}, err
	}
	if len(p.Escaped) > MaxLen {
		return Path{}, ErrTooLong
	}
	p.Folded, p.cut, err = fold(p.Decoded, o)
	if err != nil {
		return Path{}, err
	}
	return p, nil
}

// checkQuery refuses what would end the request line early on an HTTP/1.1
// backend, and fragments, which are never sent by a browser and which servers
// read differently.
func checkQuery(query string) error {
	for i := 0; i < len(query); i++ {
		switch c := query[i]; {
		case c == '#':
			return ErrFragment
		case c < 0x21 || c >= 0x7f:
			return ErrRawByte
		}
	}
	return nil
}

// isPlain reports whether raw is its own canonical, decoded and (but for a
// trailing slash) folded spelling. False means "not known".
func isPlain(raw string) bool {
	prev := byte(0)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if class[c]&plain == 0 {
			return false
		}
		if c == '/' && (prev == '/' || prev == '.') {
			return false
		}
		prev = c
	}
	return prev != '.'
}

// trimSlash drops a trailing slash, except that of the root.
func trimSlash(s string) string {
	if len(s) > 1 && s[len(s)-1] == '/' {
		return s[:len(s)-1]
	}
	return s
}

// OfDecoded returns a path whose Decoded this is, as far as rules that restrict look at it; the zero Path when no server
// would read it one way. It is for what was noted of a request.
func OfDecoded(decoded string) Path {
	if decoded == "" || decoded[0] != '/' {
		return Path{}
	}
	folded, cut, err := fold(decoded, Options{AllowEncodedSlash: true, AllowEmptySegments: true})
	if err != nil {
		return Path{}
	}
	return Path{Decoded: decoded, Folded: folded, cut: cut}
}
