package clientcert

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// Why a certificate does not count.
var (
	errMissing = errors.New("the client shows no certificate")
	errExpired = errors.New("the certificate has expired")
	errEarly   = errors.New("the certificate is not valid yet")
	errUnknown = errors.New("no authority that the site trusts has issued the certificate")
	errPurpose = errors.New("the certificate is not for TLS clients (its extended key usage)")
	errRevoked = errors.New("the certificate was revoked")
)

const (
	maxAuthorities  = 64
	maxFile         = 16 << 20 // bytes of a file of certificates, or of a revocation list
	maxIntermediate = 8        // of a client's chain, looked at
)

// Trust is whose certificates a site takes. Make one with [LoadTrust]; it is safe for concurrent use.
type Trust struct {
	roots *x509.CertPool
	cas   []*x509.Certificate
	lists *Lists // nil: none are asked for
}

// LoadTrust reads the authorities, in PEM, and their revocation lists. The error's sentence names the file.
func LoadTrust(caFiles, crlFiles []string) (*Trust, error) {
	t := &Trust{roots: x509.NewCertPool()}
	for _, file := range caFiles {
		cas, err := readAuthorities(file)
		if err != nil {
			return nil, err
		}
		for _, ca := range cas {
			t.roots.AddCert(ca)
		}
		t.cas = append(t.cas, cas...)
	}
	if len(t.cas) == 0 || len(t.cas) > maxAuthorities {
		return nil, fmt.Errorf("name the authorities whose certificates count, %d at the most: `ca <file>`", maxAuthorities)
	}
	if len(crlFiles) == 0 {
		return t, nil
	}
	lists, err := loadLists(crlFiles, t.cas)
	t.lists = lists
	return t, err
}

// Raw returns the authorities' certificates, in DER.
func (t *Trust) Raw() (all [][]byte) {
	for _, ca := range t.cas {
		all = append(all, ca.Raw)
	}
	return all
}

// Lists returns the revocation lists, or nil.
func (t *Trust) Lists() *Lists { return t.lists }

// Verify judges what a client has shown: its certificate, and perhaps what leads from it to an authority. That it has the
// key, TLS has seen to. until is when the judgement must be made again, whatever happens.
func (t *Trust) Verify(shown []*x509.Certificate, now time.Time) (until time.Time, err error) {
	if len(shown) == 0 {
		return until, errMissing
	}
	leaf, between := shown[0], x509.NewCertPool()
	for _, c := range shown[1:min(len(shown), 1+maxIntermediate)] {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return until, why(err, leaf, now)
	}
	err = errUnknown
	for _, chain := range chains { // one that leads to an authority unrevoked is enough
		if err = t.lists.revokedIn(chain, now); err == nil {
			return earliest(chain, now.Add(verifiedFor)), nil
		}
	}
	return until, err
}

// verifiedFor is how long a judgement holds. Revocations are looked for with each request.
const verifiedFor = time.Minute

func earliest(chain []*x509.Certificate, until time.Time) time.Time {
	for _, c := range chain {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return until
}

// why says in a sentence of ours what Go's verification found.
func why(err error, leaf *x509.Certificate, now time.Time) error {
	invalid := x509.CertificateInvalidError{}
	switch {
	case now.After(leaf.NotAfter):
		return errExpired
	case now.Before(leaf.NotBefore):
		return errEarly
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return errPurpose
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return errUnknown
	}
	return fmt.Errorf("the certificate does not verify: %w", err)
}

// readAuthorities reads a file of certificates in PEM.
func readAuthorities(file string) (cas []*x509.Certificate, err error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s holds a %.40q: an authority is its certificate alone, in PEM", file, block.Type)
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if !ca.IsCA || !ca.BasicConstraintsValid {
			return nil, fmt.Errorf("%s: %.200q is no certificate of an authority (CA:TRUE)", file, ca.Subject)
		}
		cas = append(cas, ca)
	}
	if len(cas) == 0 {
		return nil, fmt.Errorf("no certificate in PEM in %s", file)
	}
	return cas, nil
}

func readFile(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", file, maxFile)
	}
	return os.ReadFile(file)
}
