package evidence

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// keyBits is the size of a certificate's key, and what it is comparable to in bits of RSA; 0: a kind that is not known.
func keyBits(c *x509.Certificate) (name string, rsaBits int) {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen()), k.N.BitLen()
	case *ecdsa.PublicKey:
		// NIST SP 800-57 part 1, table 2
		comparable := map[int]int{224: 2048, 256: 3072, 384: 7680, 521: 15360}
		return "ECDSA " + k.Params().Name, comparable[k.Params().BitSize]
	case ed25519.PublicKey:
		return "Ed25519", 3072
	}
	return c.PublicKeyAlgorithm.String(), 0
}

// weakSignature reports whether a certificate is signed with a broken hash. What a root signs of itself is of no matter.
func weakSignature(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return c.Subject.String() != c.Issuer.String() || !c.IsCA
	}
	return false
}

// weaknesses of a chain: keys, hashes, dates. Whether it is trusted is another matter.
func weaknesses(chain []*x509.Certificate, now time.Time) (all []string) {
	for i, c := range chain {
		who := fmt.Sprintf("certificate %d (%s)", i+1, c.Subject.CommonName)
		if name, bits := keyBits(c); bits < 2048 {
			all = append(all, who+": a key of "+name)
		}
		if weakSignature(c) {
			all = append(all, who+": signed with "+c.SignatureAlgorithm.String())
		}
		if now.After(c.NotAfter) {
			all = append(all, who+": expired on "+c.NotAfter.UTC().Format(time.DateOnly))
		}
		if now.Before(c.NotBefore) {
			all = append(all, who+": not valid before "+c.NotBefore.UTC().Format(time.RFC3339))
		}
	}
	return all
}

// fingerprint is the SHA-256 of a certificate, as browsers show it.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// chainInWords says what a chain is of.
func chainInWords(chain []*x509.Certificate, now time.Time) string {
	var parts []string
	for _, c := range chain {
		name, _ := keyBits(c)
		parts = append(parts, name+" signed with "+c.SignatureAlgorithm.String())
	}
	return fmt.Sprintf("%s; valid for %s more", strings.Join(parts, ", then "), inDays(chain[0].NotAfter.Sub(now)))
}

func inDays(d time.Duration) string {
	if d < 2*day {
		return d.Round(time.Hour).String()
	}
	return fmt.Sprintf("%d days", d/day)
}
