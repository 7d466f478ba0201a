// Package rx is Coraza's operator @rx: what it compiles an argument to, and the same answers faster.
package rx

import (
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"rsc.io/binaryregexp"
	binary "rsc.io/binaryregexp/syntax"

	"gatehouse.internal/modules/waf/automaton"
)

// maxStates bounds the automaton of one pattern.
const maxStates = 2000

// maxGroups is how many captures Coraza keeps: the match and eight groups (operators/rx.go, its loops end at 9).
const maxGroups = 9

// engine is what package regexp and rsc.io/binaryregexp have in common.
type engine interface {
	MatchString(s string) bool
	FindStringSubmatchIndex(s string) []int
}

// Pattern is what Coraza 3.8.1 compiles an argument of @rx to. It is safe for concurrent use. Make it with Compile.
type Pattern struct {
	argument string
	engine   engine         // decides when the automaton does not, and finds captures
	tree     *syntax.Regexp // for the automaton; with the alphabet of bytes if binary
	binary   bool

	once     sync.Once // makes fast, which not all uses of a pattern need
	fast     *automaton.Automaton
	prepared atomic.Pointer[automaton.Automaton] // fast, for those who must not make it
}

// Compile compiles an argument as Coraza does by default: "(?sm)" before it; but if it has escapes of bytes that are no
// UTF-8 (\xff), by rsc.io/binaryregexp, without any flags.
func Compile(arg string) (*Pattern, error) {
	flagged := "(?sm)" + arg
	if matchesArbitraryBytes(flagged) {
		return compileBinary(arg)
	}
	engine, err := regexp.Compile(flagged)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(flagged, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return &Pattern{argument: arg, engine: engine, tree: tree.Simplify()}, nil
}

func compileBinary(arg string) (*Pattern, error) {
	engine, err := binaryregexp.Compile(arg)
	if err != nil {
		return nil, err
	}
	tree, err := binary.Parse(arg, binary.Perl)
	if err != nil {
		return nil, err
	}
	return &Pattern{argument: arg, engine: engine, tree: convert(tree.Simplify()), binary: true}, nil
}

// convert writes a tree of binaryregexp, an older copy of regexp/syntax with the same operations and flags, as one of
// regexp/syntax. Both fold runes by unicode.SimpleFold; runes are bytes for it, and for an automaton of bytes.
func convert(re *binary.Regexp) *syntax.Regexp {
	out := &syntax.Regexp{Op: syntax.Op(re.Op), Flags: syntax.Flags(re.Flags), Rune: re.Rune, Min: re.Min, Max: re.Max,
		Cap: re.Cap, Name: re.Name}
	for _, sub := range re.Sub {
		out.Sub = append(out.Sub, convert(sub))
	}
	return out
}

// String returns the argument.
func (p *Pattern) String() string { return p.argument }

// Binary reports whether the pattern reads bytes instead of runes.
func (p *Pattern) Binary() bool { return p.binary }

// Syntax returns the pattern parsed with Coraza's flags and simplified, to be read only; nil for a binary pattern.
func (p *Pattern) Syntax() *syntax.Regexp {
	if p.binary {
		return nil
	}
	return p.tree
}

// Prepare makes the pattern's automaton, without states, so that no request has to.
func (p *Pattern) Prepare() { p.automaton() }

// automaton returns the pattern's automaton; nil if it is beyond what one may hold.
func (p *Pattern) automaton() *automaton.Automaton {
	p.once.Do(func() {
		// An error leaves p.fast nil: the engine then answers everything, which is always right.
		p.fast, _ = automaton.New([]*syntax.Regexp{p.tree}, automaton.Options{MaxStates: maxStates, Bytes: p.binary})
		p.prepared.Store(p.fast)
	})
	return p.fast
}

// engineBytes is how much text the engine reads in the time that a state takes.
const engineBytes = 16

// Match reports whether s is matched, exactly. b bounds what the automaton may build meanwhile, and is charged for what
// the engine has to read instead; nil is without bound.
func (p *Pattern) Match(s string, b *automaton.Budget) bool {
	if answer := p.quick(s, b); answer != automaton.Unknown {
		return answer == automaton.Yes
	}
	b.Charge(len(s) / engineBytes)
	return p.engine.MatchString(s)
}

// quick is what the automaton knows.
func (p *Pattern) quick(s string, b *automaton.Budget) automaton.Answer {
	if fast := p.automaton(); fast != nil {
		return fast.Match(s, b)
	}
	return automaton.Unknown
}

// Groups returns the captures of the first match as Coraza stores them: the match, then at most eight groups, "" for one
// that took no part. nil: no match.
func (p *Pattern) Groups(s string) []string {
	at := p.engine.FindStringSubmatchIndex(s)
	if at == nil {
		return nil
	}
	groups := make([]string, min(len(at)/2, maxGroups))
	for i := range groups {
		if at[2*i] >= 0 {
			groups[i] = s[at[2*i]:at[2*i+1]]
		}
	}
	return groups
}

// matchesArbitraryBytes reports whether a pattern must be read by binaryregexp: with its escapes \xNN and \x{NN} decoded
// it is no UTF-8. It decides exactly as Coraza's function of that name in operators/rx.go, oddities included: an escape
// is read even behind an escaped backslash, and what stands in the last three bytes is not decoded.
func matchesArbitraryBytes(pattern string) bool {
	decoded := make([]byte, 0, len(pattern))
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '\\' {
			decoded = append(decoded, pattern[i])
			continue
		}
		if i+3 >= len(pattern) {
			decoded = append(decoded, pattern[i:]...)
			break
		}
		b, width, ok := byteEscape(pattern[i:])
		if !ok {
			decoded = append(decoded, pattern[i])
			continue
		}
		decoded = append(decoded, b)
		i += width - 1
	}
	return !utf8.Valid(decoded)
}

// byteEscape reads the \xNN or \x{NN} that s, of four bytes at least, begins with.
func byteEscape(s string) (b byte, width int, ok bool) {
	if s[1] != 'x' {
		return 0, 0, false
	}
	escape, width := s, 4
	if len(s) >= 6 && s[2] == '{' {
		if end := strings.IndexByte(s, '}'); end >= 0 {
			escape, width = `\x`+s[3:end], end+1
		}
	}
	r, multibyte, _, err := strconv.UnquoteChar(escape, 0)
	if err != nil || multibyte {
		return 0, 0, false
	}
	return byte(r), width, true
}
