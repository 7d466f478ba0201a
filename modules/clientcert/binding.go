package clientcert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/scope"
)

const (
	maxNames = 16  // of a certificate, looked at
	maxName  = 512 // bytes
	maxNote  = 200 // bytes

	sumPrefix, serialPrefix = "sha256:", "serial:"
)

// Binding says for whom a certificate speaks.
type Binding struct {
	Match string `json:"match"` // the certificate, as one of its names; see [Names]

	Account string       `json:"account,omitempty"` // the service account it speaks for,
	Serial  string       `json:"serial,omitempty"`  // and which of this name
	Person  owner.Person `json:"person,omitzero"`   // or whose it is
	Tenant  string       `json:"tenant,omitempty"`  // of a person's: whose sites it is for

	Scope   scope.Scope `json:"scope"`
	Created time.Time   `json:"created"`
	Expires time.Time   `json:"expires"`
	By      string      `json:"by,omitempty"`
	Note    string      `json:"note,omitempty"`
}

func (b *Binding) whose() owner.Owner {
	return owner.Owner{Account: b.Account, Serial: b.Serial, Person: b.Person, Tenant: b.Tenant}
}

// check brings a draft into form, or says what is wrong with it.
func (b *Binding) check(now time.Time) (err error) {
	if (b.Account == "") == (b.Person == owner.Person{}) {
		return errors.New("a certificate speaks for a service account or for a person")
	}
	if b.Match, err = ParseMatch(b.Match); err != nil {
		return err
	}
	if err := b.Scope.Normalize(); err != nil {
		return err
	}
	if !b.Expires.After(now) || b.Expires.After(now.Add(MaxLife)) {
		return errors.New("a binding expires, within two years at the most: say when, such as 365d")
	}
	if len(b.Note) > maxNote {
		return fmt.Errorf("the note has more than %d bytes", maxNote)
	}
	b.Expires = b.Expires.UTC().Truncate(time.Second)
	return nil
}

// ParseMatch reads what certificates are bound by: sha256:<hexadecimal>, dns:<name>, email:<address>, uri:<URI>, ip:<address>
// or subject:<distinguished name as openssl -nameopt RFC2253 writes it>.
func ParseMatch(text string) (string, error) {
	kind, value, _ := strings.Cut(text, ":")
	switch kind {
	case "sha256":
		sum, err := parseSum(value)
		if err != nil {
			return "", err
		}
		return sumPrefix + sum, nil
	case "dns":
		value = strings.ToLower(value)
	case "email", "uri", "ip", "subject":
	default:
		return "", fmt.Errorf("%.80q: a certificate is named by sha256:, dns:, email:, uri:, ip: or subject:, or by its file", text)
	}
	if value == "" || len(value) > maxName || strings.TrimSpace(value) != value {
		return "", fmt.Errorf("%.80q names no certificate", text)
	}
	return kind + ":" + value, nil
}

// parseSum reads a SHA-256 in hexadecimal, with or without colons.
func parseSum(text string) (string, error) {
	text = strings.ToLower(strings.ReplaceAll(text, ":", ""))
	if raw, err := hex.DecodeString(text); err != nil || len(raw) != sha256.Size {
		return "", fmt.Errorf("%.80q is no SHA-256 of a certificate: write its 64 hexadecimal digits", text)
	}
	return text, nil
}

// parseSerial reads a serial number in hexadecimal, as openssl writes it.
func parseSerial(text string) (string, error) {
	text = strings.TrimLeft(strings.ToLower(strings.ReplaceAll(text, ":", "")), "0")
	if text == "" || len(text) > 40 || strings.Trim(text, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%.80q is no serial number: write it in hexadecimal", text)
	}
	return text, nil
}

// Names returns what a certificate is known by, the most exact first.
func Names(c *x509.Certificate, sum [sha256.Size]byte) []string {
	names := []string{sumPrefix + hex.EncodeToString(sum[:])}
	add := func(kind, value string) {
		name := kind + ":" + value
		if value != "" && len(value) <= maxName && len(names) < maxNames && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, v := range c.DNSNames {
		add("dns", strings.ToLower(v))
	}
	for _, v := range c.EmailAddresses {
		add("email", v)
	}
	for _, v := range c.URIs {
		add("uri", v.String())
	}
	for _, v := range c.IPAddresses {
		add("ip", v.String())
	}
	add("subject", c.Subject.String())
	return names
}

// short is what logs call the certificate of this sum.
func short(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:8]) }

// credential is what a certificate is, for whoever decides by it.
func (b *Binding) credential(c *x509.Certificate, sum [sha256.Size]byte) identity.Credential {
	until := b.Expires
	if c.NotAfter.Before(until) {
		until = c.NotAfter
	}
	return identity.Credential{Method: identity.ByCertificate, Name: short(sum), Since: b.Created, Until: until}
}
