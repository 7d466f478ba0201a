package prefixset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"gatehouse.internal/modules/internal/clientip"
)

// Errors of building a set, wrapped with the entry or the line.
var (
	ErrInvalid    = errors.New("not an IP address or prefix")
	ErrHostBits   = errors.New("prefix has bits set behind its length")
	ErrEverything = errors.New("prefix of length 0 holds every address")
	ErrTooMany    = errors.New("too many prefixes")
	ErrLongLine   = errors.New("line too long")
)

// DefaultMax is the greatest number of entries if Options.Max is 0.
const DefaultMax = 1 << 20

// maxLine bounds a line, comment included.
const maxLine = 1024

// Options loosen the checks on entries. The zero value is the default.
type Options struct {
	AllowEverything bool // accept 0.0.0.0/0 and ::/0
	Max             int  // greatest number of entries; 0 means DefaultMax
}

// Set is an immutable set of prefixes. A nil or zero Set is empty. Safe for
// concurrent use.
type Set struct {
	table *bart.Lite // nil: empty; never written after the Set was returned
	sieve *sieve     // nil: it is small
}

// New returns the set of the given prefixes, with default options.
func New(prefixes ...netip.Prefix) (*Set, error) {
	return Options{}.New(prefixes...)
}

// Parse reads a list, with default options; see [Options.Parse].
func Parse(r io.Reader) (*Set, error) {
	return Options{}.Parse(r)
}

// New returns the set of the given prefixes. Every prefix must be valid and
// masked. IPv4-mapped prefixes count as IPv4; duplicates count once.
func (o Options) New(prefixes ...netip.Prefix) (*Set, error) {
	b := builder{options: o}
	for _, p := range prefixes {
		if err := b.add(p); err != nil {
			return nil, fmt.Errorf("prefix %v: %w", p, err)
		}
	}
	return b.set(), nil
}

// Parse reads a list, one address or prefix in CIDR notation per line. A '#'
// or ';' begins a comment; blank lines, CRLF and a byte order mark are fine.
// Errors name the line; read errors of r are wrapped.
func (o Options) Parse(r io.Reader) (*Set, error) {
	b := builder{options: o}
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, maxLine)
	line := 0
	// After a read error the scanner still hands out the torn last line.
	for scan.Scan() && scan.Err() == nil {
		line++
		text := scan.Bytes()
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if i := bytes.IndexAny(text, "#;"); i >= 0 {
			text = text[:i]
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		p, err := parseEntry(string(text))
		if err == nil {
			err = b.add(p)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", line, text, err)
		}
	}
	if err := scan.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = ErrLongLine
		}
		return nil, fmt.Errorf("line %d: %w", line+1, err)
	}
	return b.set(), nil
}

// parseEntry reads an address or a prefix.
func parseEntry(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, ErrInvalid
		}
		return p, nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, ErrInvalid
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// builder fills a table that nobody else sees yet.
type builder struct {
	options Options
	table   bart.Lite
}

func (b *builder) set() *Set {
	s := &Set{table: &b.table}
	if b.table.Size() >= sieveFrom {
		s.sieve = new(sieve)
		for p := range b.table.All() {
			s.sieve.add(p)
		}
	}
	return s
}

func (b *builder) add(p netip.Prefix) error {
	if !p.IsValid() {
		return ErrInvalid
	}
	if p != p.Masked() {
		return fmt.Errorf("%w: write %v, or only the address", ErrHostBits, p.Masked())
	}
	if addr := p.Addr(); addr.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	if p.Bits() == 0 && !b.options.AllowEverything {
		return ErrEverything
	}
	limit := b.options.Max
	if limit <= 0 {
		limit = DefaultMax
	}
	if b.table.Size() >= limit && !b.table.Get(p) {
		return fmt.Errorf("%w: the limit is %d", ErrTooMany, limit)
	}
	b.table.Insert(p)
	return nil
}

// Contains reports whether a prefix of s holds addr. IPv4-mapped addresses
// are IPv4, zones are ignored, the invalid address is in no set.
func (s *Set) Contains(addr netip.Addr) bool {
	if s == nil || s.table == nil {
		return false
	}
	addr = clientip.Canonical(addr)
	return s.sieve.perhaps(addr) && s.table.Contains(addr)
}

// Len returns the number of different prefixes.
func (s *Set) Len() int {
	if s == nil || s.table == nil {
		return 0
	}
	return s.table.Size()
}

// Atomic holds a set that is replaced as a whole. The zero value holds the
// empty set. Safe for concurrent use; must not be copied.
type Atomic struct {
	set atomic.Pointer[Set]
}

// Load returns the current set. It may be nil, which is an empty set.
func (a *Atomic) Load() *Set { return a.set.Load() }

// Store publishes s to all later calls; nil publishes the empty set.
func (a *Atomic) Store(s *Set) { a.set.Store(s) }

// Contains asks the current set.
func (a *Atomic) Contains(addr netip.Addr) bool { return a.Load().Contains(addr) }
