package clientcert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// reloadEvery is how often revocation lists are looked at for news.
const reloadEvery = 5 * time.Second

var (
	errNoList  = errors.New("there is no revocation list of the authority that issued the certificate")
	errListOld = errors.New("the revocation list of the authority that issued the certificate is out of date")
)

// Lists are the revocation lists of a site's authorities (RFC 5280 5). A list must be signed by one of them. They are read
// again when their files change; a file that cannot be read leaves the list before in force, which ends at its next update.
// Safe for concurrent use.
type Lists struct {
	files []string
	cas   []*x509.Certificate
	now   atomic.Pointer[listed]
}

// listed is what the files said together.
type listed struct {
	sum      [sha256.Size]byte
	byIssuer map[string]*list // by the issuer's subject, in DER
}

// list is what an authority revokes: by several lists, under an old key and a new one, all that stands in any of them.
type list struct {
	until   time.Time
	revoked map[string]bool // serial numbers, in decimal
}

func loadLists(files []string, cas []*x509.Certificate) (*Lists, error) {
	l := &Lists{files: files, cas: cas}
	_, err := l.reload()
	return l, err
}

// reload reads the files, and reports whether they say something else than before.
func (l *Lists) reload() (changed bool, err error) {
	next := &listed{byIssuer: map[string]*list{}}
	sum := sha256.New()
	texts := make([][]byte, len(l.files))
	for i, file := range l.files {
		if texts[i], err = readFile(file); err != nil {
			return false, err
		}
		fmt.Fprintf(sum, "%d ", len(texts[i]))
		sum.Write(texts[i])
	}
	sum.Sum(next.sum[:0])
	if before := l.now.Load(); before != nil && before.sum == next.sum {
		return false, nil
	}
	for i, text := range texts {
		if err := l.read(next, text); err != nil {
			return false, fmt.Errorf("%s: %w", l.files[i], err)
		}
	}
	l.now.Store(next)
	return true, nil
}

// read adds the lists of a file, in PEM or DER.
func (l *Lists) read(into *listed, text []byte) error {
	if !bytes.Contains(text, []byte("-----BEGIN")) {
		return l.add(into, text)
	}
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			return fmt.Errorf("it holds a %.40q, and no revocation list", block.Type)
		}
		if err := l.add(into, block.Bytes); err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return errors.New("it holds no revocation list")
	}
	return nil
}

func (l *Lists) add(into *listed, der []byte) error {
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	signed := errors.New("its issuer is none of the site's authorities")
	for _, ca := range l.cas {
		if bytes.Equal(ca.RawSubject, crl.RawIssuer) {
			if signed = crl.CheckSignatureFrom(ca); signed == nil {
				break
			}
		}
	}
	if signed != nil {
		return signed
	}
	if crl.NextUpdate.IsZero() {
		return errors.New("it does not say until when it counts (nextUpdate)")
	}
	said := into.byIssuer[string(crl.RawIssuer)]
	if said == nil {
		said = &list{revoked: make(map[string]bool, len(crl.RevokedCertificateEntries))}
		into.byIssuer[string(crl.RawIssuer)] = said
	}
	if crl.NextUpdate.After(said.until) {
		said.until = crl.NextUpdate
	}
	for _, e := range crl.RevokedCertificateEntries {
		said.revoked[e.SerialNumber.String()] = true
	}
	return nil
}

// version is another one when the lists have changed.
func (l *Lists) version() *listed {
	if l == nil {
		return nil
	}
	return l.now.Load()
}

// revokedIn returns why the chain does not count. Of the authority that issued the client's certificate there must be a
// list; of those between, one counts if there is one. On a nil *Lists nothing is revoked.
func (l *Lists) revokedIn(chain []*x509.Certificate, now time.Time) error {
	if l == nil {
		return nil
	}
	said := l.now.Load()
	for i, c := range chain[:len(chain)-1] {
		of := said.byIssuer[string(c.RawIssuer)]
		switch {
		case of == nil && i == 0:
			return errNoList
		case of == nil:
		case of.revoked[c.SerialNumber.String()]:
			return errRevoked
		case now.After(of.until):
			return errListOld
		}
	}
	return nil
}

// Follow reads the lists again whenever their files change, and tells of each time that they did or could not be read.
func (l *Lists) Follow(ctx context.Context, told func(error)) {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	failed := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := l.reload()
		switch {
		case err != nil && err.Error() != failed:
			failed = err.Error()
			told(err)
		case err == nil && (changed || failed != ""):
			failed = ""
			told(nil)
		}
	}
}
