package evidence

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Grade is a listener's, with what it is made of. The letters are those of the SSL Server Rating Guide (Qualys SSL Labs, 2009r): what is
// weak caps the grade.
type Grade struct {
	Grade    string    `json:"grade"` // A+, A, A-, B, C, F; T: not trusted
	Because  []string  `json:"because,omitempty"`
	Versions []string  `json:"versions"`
	Suites   []string  `json:"suites"`
	Chain    string    `json:"chain"`
	Expires  time.Time `json:"expires"`
	// SHA256 is the fingerprint of the listener's certificate, as browsers show it.
	SHA256 string `json:"sha256"`
}

// grades, best first.
var grades = []string{"A+", "A", "A-", "B", "C", "F", "T"}

// Good reports whether the grade is A or better.
func (g Grade) Good() bool { return g.Grade == "A+" || g.Grade == "A" }

const (
	expiresSoon = 14 * day // a certificate that nothing renews any more
	goodHSTS    = 15552000 // seconds: half a year, which A+ needs
)

// cap makes the grade no better than this one.
func (g *Grade) cap(to, format string, args ...any) {
	if slices.Index(grades, to) > slices.Index(grades, g.Grade) {
		g.Grade = to
	}
	g.Because = append(g.Because, fmt.Sprintf(format, args...))
}

func grade(s *Scan, now time.Time) Grade {
	g := Grade{Grade: "A+", Chain: chainInWords(s.Chain, now), Expires: s.Chain[0].NotAfter.UTC(), SHA256: fingerprint(s.Chain[0]), Suites: slices.Concat(s.Suites[tls.VersionTLS13], s.old())}
	for _, v := range s.Versions {
		g.Versions = append(g.Versions, versionName(v))
	}
	g.protocols(s)
	g.suites(s)
	g.certificates(s, now)
	if age := hstsAge(s.HSTS); age < goodHSTS {
		g.cap("A", "Strict-Transport-Security for less than half a year")
	}
	return g
}

func (g *Grade) protocols(s *Scan) {
	switch {
	case s.accepts(versionSSL30):
		g.cap("C", "SSL 3.0 is accepted")
	case s.accepts(tls.VersionTLS10), s.accepts(tls.VersionTLS11):
		g.cap("B", "%s accepted", strings.Join(s.below(tls.VersionTLS12), " and "))
	}
	switch {
	case !s.accepts(tls.VersionTLS13) && !s.accepts(tls.VersionTLS12):
		g.cap("C", "TLS 1.2 is not accepted")
	case !s.accepts(tls.VersionTLS13):
		g.cap("A-", "TLS 1.3 is not accepted")
	}
	if s.Compression {
		g.cap("C", "TLS compression is accepted (CRIME)")
	}
	if s.InsecureRenegotiation {
		g.cap("F", "renegotiation is not secure (RFC 5746)")
	}
}

func (g *Grade) suites(s *Scan) {
	old := s.old()
	worst := func(cap, why string, bad func(string) bool) {
		if found := without(old, func(name string) bool { return !bad(name) }); len(found) > 0 {
			g.cap(cap, "%s: %s", why, strings.Join(found, ", "))
		}
	}
	has := func(parts ...string) func(string) bool {
		return func(name string) bool {
			return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, p) })
		}
	}
	worst("F", "suites without encryption, without authentication or for export", has("_NULL_", "_anon_", "_EXPORT_", "_WITH_DES_"))
	worst("C", "RC4", has("_RC4_"))
	worst("C", "ciphers of 64-bit blocks", has("_3DES_", "_IDEA_"))
	if len(old) > 0 && !s.accepts(tls.VersionTLS13) {
		if !slices.ContainsFunc(old, has("DHE_")) {
			g.cap("B", "no suite with forward secrecy")
		}
		if !slices.ContainsFunc(old, modern) {
			g.cap("B", "no suite with authenticated encryption and forward secrecy")
		}
	}
	worst("B", "suites without forward secrecy", func(name string) bool { return strings.HasPrefix(name, "TLS_RSA_") })
}

func (g *Grade) certificates(s *Scan, now time.Time) {
	leaf := s.Chain[0]
	for _, c := range s.Chain {
		name, bits := keyBits(c)
		switch {
		case bits < 1024:
			g.cap("F", "a key of %s", name)
		case bits < 2048:
			g.cap("B", "a key of %s", name)
		}
		if weakSignature(c) {
			g.cap("F", "a certificate signed with %s", c.SignatureAlgorithm)
		}
	}
	switch err := s.Untrusted; {
	case now.After(leaf.NotAfter):
		g.cap("T", "the certificate expired on %s", leaf.NotAfter.UTC().Format(time.DateOnly))
	case err != nil:
		g.cap("T", "the certificate is not trusted: %v", err)
	case leaf.NotAfter.Sub(now) < expiresSoon && lifetime(leaf) > 2*expiresSoon:
		g.cap("A", "the certificate expires in %s", inDays(leaf.NotAfter.Sub(now)))
	}
}

func lifetime(c *x509.Certificate) time.Duration { return c.NotAfter.Sub(c.NotBefore) }

// hstsAge is the header's max-age in seconds; 0: there is none, or several.
func hstsAge(values []string) int {
	if len(values) != 1 {
		return 0
	}
	for part := range strings.SplitSeq(values[0], ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(part), "="); strings.EqualFold(name, "max-age") {
			age, _ := strconv.Atoi(strings.Trim(value, `"`)) // what is no number is no promise
			return age
		}
	}
	return 0
}

// Check grades a listener, with what HTTPS says there at "/".
func Check(ctx context.Context, t Target) (Grade, error) {
	s, err := scan(ctx, t)
	if err != nil {
		return Grade{}, err
	}
	r := &Run{Connect: t.Address}
	if a, err := r.ask(ctx, &Site{Hosts: []string{t.Name}}, http.MethodGet, "/", nil); err == nil {
		s.HSTS = a.header["Strict-Transport-Security"]
	}
	return grade(s, time.Now()), nil
}
