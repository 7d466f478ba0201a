package reqpath

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// ErrPattern is wrapped by every error of [ParsePattern].
var ErrPattern = errors.New("invalid path pattern")

// Pattern is a set of paths, written by the operator: either one path
// ("/healthz") or a subtree ("/admin/*", which holds "/admin" and everything
// below it; "/*" holds everything). There is nothing else: no * elsewhere, no
// regular expressions, no query.
//
// It matches in two modes, because the readings of a path differ between
// servers. A restriction must hold in any reading, or a lenient backend lets
// the client around it: [Pattern.MatchFolded]. An exception must hold in
// every reading, or it opens what the backend takes for something else:
// [Pattern.MatchAll]. When in doubt whether a rule restricts or opens, it
// opens.
//
// The zero Pattern is "unknown": it restricts every path and opens none.
// Patterns are comparable, immutable and safe for concurrent use.
type Pattern struct {
	text    string // as written
	exact   string // the path, or the root of the subtree without '/' at its end
	folded  string // exact, folded
	subtree bool
}

// ParsePattern reads a pattern. The text is a decoded path: a space is a
// space, not %20. Errors wrap [ErrPattern] and say what to write instead.
func ParsePattern(text string) (Pattern, error) {
	p := Pattern{text: text}
	p.exact, p.subtree = strings.CutSuffix(text, "/*")
	if p.subtree && p.exact == "" {
		return p, nil
	}
	if hint := patternHint(text, p.exact, p.subtree); hint != "" {
		return Pattern{}, fmt.Errorf("%w %q: %s", ErrPattern, text, hint)
	}
	folded, _, err := fold(p.exact, Options{})
	if err != nil {
		return Pattern{}, fmt.Errorf("%w %q: requests for it are refused: %w", ErrPattern, text, err)
	}
	// Cannot fail: fold has read the same runes.
	cased, _ := foldRunes(nil, p.exact)
	if trimSlash(string(cased)) != folded {
		return Pattern{}, fmt.Errorf("%w %q: some servers read it as %q; write that", ErrPattern, text, folded)
	}
	p.folded = folded
	return p, nil
}

// patternHint returns what is wrong with the text of a pattern, or "".
func patternHint(text, exact string, subtree bool) string {
	switch {
	case !strings.HasPrefix(text, "/"):
		return "it must begin with /"
	case strings.Contains(exact, "*"):
		return "a * may stand only at the end, after a slash: /dir/* is the subtree of /dir"
	case strings.ContainsAny(exact, "?#"):
		return "patterns see the path only, without ?query and #fragment"
	case strings.Contains(exact, "%"):
		return "write the character itself, not its %-escape"
	case strings.Contains(exact, `\`):
		return "write / for \\"
	case strings.ContainsFunc(exact, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "it holds a control character"
	case subtree && strings.HasSuffix(exact, "/"):
		return "write one slash before the *"
	case len(text) > MaxLen:
		return "it is longer than any accepted path"
	}
	return ""
}

// String returns the pattern as written.
func (p Pattern) String() string { return p.text }

// Root returns the folded path that begins every folded path which p can match, up to the end of a segment: what an index
// of patterns is made of. It has no slash at its end, and is empty for "/*"; that of "/" alone is "/".
func (p Pattern) Root() string { return p.folded }

// Subtree reports whether p also holds what is below its root.
func (p Pattern) Subtree() bool { return p.subtree }

// MarshalText returns the pattern as written.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// UnmarshalText is [ParsePattern] for configuration decoders.
func (p *Pattern) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePattern(string(text))
	return err
}

// MatchExact reports whether decoded is in p, case-sensitively. It is one
// reading among several: to grant something, use [Pattern.MatchAll].
func (p Pattern) MatchExact(decoded string) bool {
	if !p.subtree {
		return p.text != "" && decoded == p.exact
	}
	return under(decoded, p.exact)
}

// MatchFolded reports whether some server could take path for a path in p.
// Use it, and only it, for rules that restrict. For an exact pattern the
// trailing slash does not matter.
//
// Folded alone decides: folding absorbs all other readings (package comment).
func (p Pattern) MatchFolded(path Path) bool {
	if path.Folded == "" || p.text == "" {
		return true // unknown: restrict
	}
	switch {
	case p.subtree:
		return under(path.Folded, p.folded)
	case path.cut > 0:
		// An encoded '?' or '#': a server may end the path there or later.
		return len(p.folded) >= path.cut && (p.folded == "/" || under(path.Folded, p.folded))
	default:
		return path.Folded == p.folded
	}
}

// MatchAll reports whether every server takes path for a path in p. Use it,
// and only it, for rules that open.
func (p Pattern) MatchAll(path Path) bool {
	if path.Folded == "" || p.text == "" {
		return false // unknown: do not open
	}
	// A slash written %2F is data to some servers: it may neither stand
	// inside the pattern nor end it.
	if i := path.encodedSlash; i > 0 && (!p.subtree || i-1 <= len(p.exact)) {
		return false
	}
	return p.MatchExact(path.Decoded) && p.MatchFolded(path)
}

// Within reports whether all of p's paths are in q, as they are written. The zero Pattern is in none, and none is in it.
func (p Pattern) Within(q Pattern) bool {
	switch {
	case p.text == "" || q.text == "":
		return false
	case p.exact == q.exact:
		return q.subtree || !p.subtree
	}
	return q.subtree && under(p.exact, q.exact)
}

// Compare orders patterns by specificity, for slices.SortFunc: it is negative
// if p comes first, because p is more specific than q. If all of p's paths
// are in q and not the reverse, p comes first. Ties are broken by the text,
// so that the order does not depend on the input's.
func (p Pattern) Compare(q Pattern) int {
	return cmp.Or(
		cmp.Compare(len(q.folded), len(p.folded)),
		compareBool(p.subtree, q.subtree),
		cmp.Compare(p.folded, q.folded),
		cmp.Compare(p.text, q.text),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// under reports whether path is root or below it; root has no slash at its
// end, and is empty for everything.
func under(path, root string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (rest == "" && root != "" || strings.HasPrefix(rest, "/"))
}
