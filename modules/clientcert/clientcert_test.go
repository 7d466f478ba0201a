package clientcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

type ca struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func sign(t testing.TB, template *x509.Certificate, by *ca) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &ca{key, cert}
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func client(serial int64) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "client"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * time.Minute),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func crlOf(t testing.TB, by *ca, until time.Time, serials ...int64) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: until}
	for _, n := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, by.cert, by.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func file(t testing.TB, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Revocation lists refuse what they name, and everything when they are over or there is none.
func TestRevocationLists(t *testing.T) {
	root := sign(t, authority("root"), nil)
	middle := sign(t, authority("middle"), root)
	leaf, below := sign(t, client(7), root), sign(t, client(8), middle)
	cas := file(t, inPEM("CERTIFICATE", root.cert.Raw))
	both := file(t, append(inPEM("CERTIFICATE", root.cert.Raw), inPEM("CERTIFICATE", middle.cert.Raw)...))
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	chain := func(c ...*ca) (certs []*x509.Certificate) {
		for _, x := range c {
			certs = append(certs, x.cert)
		}
		return certs
	}
	for name, tt := range map[string]struct {
		cas   string
		lists [][]byte
		shown []*x509.Certificate
		want  error
	}{
		"no lists":                {cas, nil, chain(leaf), nil},
		"below one between":       {cas, nil, chain(below, middle), nil},
		"without what is between": {cas, nil, chain(below), errUnknown},
		"nothing":                 {cas, nil, nil, errMissing},
		"not on it, in DER":       {cas, [][]byte{crlOf(t, root, soon, 8)}, chain(leaf), nil},
		"not on it, in PEM":       {cas, [][]byte{inPEM("X509 CRL", crlOf(t, root, soon, 8))}, chain(leaf), nil},
		"on it":                   {cas, [][]byte{crlOf(t, root, soon, 7)}, chain(leaf), errRevoked},
		"on one of two":           {cas, [][]byte{crlOf(t, root, soon, 7), crlOf(t, root, soon)}, chain(leaf), errRevoked},
		"over":                    {cas, [][]byte{crlOf(t, root, past)}, chain(leaf), errListOld},
		"on one that is over":     {cas, [][]byte{crlOf(t, root, past, 7)}, chain(leaf), errRevoked},
		"of another authority":    {both, [][]byte{crlOf(t, root, soon)}, chain(below, middle), errNoList},
		"what is between is on":   {cas, [][]byte{crlOf(t, root, soon, 1)}, chain(below, middle), errNoList},
	} {
		t.Run(name, func(t *testing.T) {
			var files []string
			for _, l := range tt.lists {
				files = append(files, file(t, l))
			}
			trust, err := LoadTrust([]string{tt.cas}, files)
			if err != nil {
				t.Fatal(err)
			}
			until, err := trust.Verify(tt.shown, time.Now())
			if !errors.Is(err, tt.want) || err == nil && !until.After(time.Now()) {
				t.Errorf("%v until %v, want %v", err, until, tt.want)
			}
		})
	}
}

// A list that cannot be read any more stays in force; one that says something else is taken.
func TestRevocationListsAreReadAgain(t *testing.T) {
	root := sign(t, authority("root"), nil)
	forger := sign(t, authority("root"), nil)
	leaf := sign(t, client(7), root)
	crl := file(t, crlOf(t, root, time.Now().Add(time.Hour)))
	trust, err := LoadTrust([]string{file(t, inPEM("CERTIFICATE", root.cert.Raw))}, []string{crl})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name    string
		content []byte
		changed bool
		fails   bool
		want    error
	}{
		{"the same", crlOf(t, root, time.Now().Add(time.Hour)), true, false, nil}, // signed anew
		{"broken", []byte("-----BEGIN"), false, true, nil},
		{"empty", nil, false, true, nil},
		{"by another key", crlOf(t, forger, time.Now().Add(time.Hour), 7), false, true, nil},
		{"revoked", crlOf(t, root, time.Now().Add(time.Hour), 7), true, false, errRevoked},
		{"broken again", []byte("x"), false, true, errRevoked},
	} {
		if err := os.WriteFile(crl, step.content, 0o600); err != nil {
			t.Fatal(err)
		}
		before := trust.lists.version()
		changed, err := trust.lists.reload()
		if changed != step.changed || (err != nil) != step.fails || (trust.lists.version() != before) != step.changed {
			t.Errorf("%s: %v, %v", step.name, changed, err)
		}
		if _, err := trust.Verify([]*x509.Certificate{leaf.cert}, time.Now()); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
	}
}

func TestNames(t *testing.T) {
	template := client(1)
	template.DNSNames, template.EmailAddresses, template.IPAddresses = []string{"A.example", "a.example"}, []string{"Ada@example.com"}, []net.IP{net.IPv4(192, 0, 2, 1)}
	template.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/a"}}
	template.Subject = pkix.Name{CommonName: "a, b", Organization: []string{"Acme"}}
	c := sign(t, template, sign(t, authority("root"), nil)).cert
	names := Names(c, sha256.Sum256(c.Raw))
	want := []string{"dns:a.example", "email:Ada@example.com", "uri:spiffe://example.com/a", "ip:192.0.2.1", `subject:CN=a\, b,O=Acme`}
	if !slices.Equal(names[1:], want) || !strings.HasPrefix(names[0], "sha256:") {
		t.Errorf("%q", names)
	}
	for _, name := range names {
		if got, err := ParseMatch(name); got != name || err != nil {
			t.Errorf("%q reads as %q, %v: it cannot be bound", name, got, err)
		}
	}
	template.DNSNames = nil
	for i := range 200 {
		template.DNSNames = append(template.DNSNames, strings.Repeat("x", 60)+"."+big.NewInt(int64(i)).String())
	}
	if n := len(Names(template, [32]byte{})); n > maxNames {
		t.Errorf("%d names are looked at", n)
	}
}

func FuzzParseMatch(f *testing.F) {
	for _, s := range []string{"", "sha256:", "sha256:" + strings.Repeat("AB:", 31) + "ab", "dns:X", "serial:0A", "subject:CN=x", "uri:", "file.pem"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := ParseMatch(s); err == nil {
			if again, err := ParseMatch(got); again != got || err != nil || len(got) > maxName+10 {
				t.Errorf("%q: %q, then %q, %v", s, got, again, err)
			}
		}
		if got, err := parseRevoked(s); err == nil {
			if again, err := parseRevoked(got); again != got || err != nil {
				t.Errorf("%q: %q, then %q, %v", s, got, again, err)
			}
		}
	})
}
