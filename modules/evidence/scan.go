package evidence

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// patience is how long a probe waits for one answer.
const patience = 10 * time.Second

// Target is a listener of TLS.
type Target struct {
	Address string         // host:port to connect to
	Name    string         // to ask for
	Roots   *x509.CertPool // nil: the system's
}

func (t Target) dial() (net.Conn, error) {
	return (&net.Dialer{Timeout: patience}).Dial("tcp", t.Address)
}

// Scan is what a listener accepts.
type Scan struct {
	// Versions are those accepted, newest first.
	Versions []uint16
	// Suites are the names of those accepted, by version.
	Suites map[uint16][]string
	// Compression, and renegotiation that is not secure, are accepted.
	Compression, InsecureRenegotiation bool
	Chain                              []*x509.Certificate
	Untrusted                          error // why the chain is not trusted; nil: it is
	HSTS                               []string
}

// The versions that are tried, newest first.
var versions = []uint16{tls.VersionTLS13, tls.VersionTLS12, tls.VersionTLS11, tls.VersionTLS10, versionSSL30}

const versionSSL30 = 0x0300

func versionName(v uint16) string {
	if v == versionSSL30 {
		return "SSL 3.0"
	}
	return tls.VersionName(v)
}

// scan finds out what the listener accepts: for each version, it is offered all suites, then all but the one it chose, until it refuses.
func scan(ctx context.Context, t Target) (*Scan, error) {
	s := &Scan{Suites: map[uint16][]string{}}
	for _, v := range versions {
		names := oldSuites
		if v == tls.VersionTLS13 {
			names = newSuites
		}
		left := slices.Sorted(maps.Keys(names))
		for len(left) > 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			a, err := hello{name: t.Name, version: v, suites: left, compression: true}.ask(t.dial, patience)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.Address, err)
			}
			at := slices.Index(left, a.suite)
			if a.version != v || at < 0 {
				break
			}
			s.Suites[v] = append(s.Suites[v], names[a.suite])
			s.Compression = s.Compression || a.compressed
			s.InsecureRenegotiation = s.InsecureRenegotiation || v < tls.VersionTLS13 && !a.renegotiation
			left = slices.Delete(left, at, at+1)
		}
		if len(s.Suites[v]) > 0 {
			s.Versions = append(s.Versions, v)
		}
	}
	return s, s.readChain(ctx, t)
}

// readChain takes the certificates, and tries whether they are trusted.
func (s *Scan) readChain(ctx context.Context, t Target) error {
	if len(s.Versions) == 0 {
		return fmt.Errorf("%s: no version of TLS is accepted", t.Address)
	}
	// Whatever is presented is looked at: that is what the probe is for.
	c, err := (&tls.Dialer{Config: &tls.Config{ServerName: t.Name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}}).DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Address, err)
	}
	defer c.Close()
	s.Chain = c.(*tls.Conn).ConnectionState().PeerCertificates
	s.Untrusted = trusted(s.Chain, t)
	return nil
}

// trusted returns why the chain is not trusted for the target's name.
func trusted(chain []*x509.Certificate, t Target) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: t.Name, Roots: t.Roots, Intermediates: between})
	return err
}

func (s *Scan) accepts(v uint16) bool { return slices.Contains(s.Versions, v) }

// versionList is what is accepted, in words.
func (s *Scan) versionList() string {
	var names []string
	for _, v := range s.Versions {
		names = append(names, versionName(v))
	}
	return cmp.Or(strings.Join(names, ", "), "nothing")
}

// below are the versions accepted that are older than v.
func (s *Scan) below(v uint16) (names []string) {
	for _, a := range s.Versions {
		if a < v {
			names = append(names, versionName(a))
		}
	}
	return names
}

// old are the suites accepted below TLS 1.3.
func (s *Scan) old() (names []string) {
	for v, suites := range s.Suites {
		if v < tls.VersionTLS13 {
			names = append(names, suites...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// modern reports whether a suite of TLS 1.2 has forward secrecy and authenticated encryption.
func modern(suite string) bool {
	return (strings.HasPrefix(suite, "TLS_ECDHE_") || strings.HasPrefix(suite, "TLS_DHE_")) && !strings.Contains(suite, "EXPORT") &&
		(strings.Contains(suite, "_GCM_") || strings.Contains(suite, "_CHACHA20_") || strings.Contains(suite, "_CCM"))
}

// without returns those of names that are not ok.
func without(names []string, ok func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(names), ok)
}
