package admit

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	securityPath   = "/.well-known/security.txt"
	maxSecurityTxt = 32 << 10             // bytes of a file
	maxExpires     = 366 * 24 * time.Hour // RFC 9116 2.5.5: less than a year is recommended
	expiresSoon    = 30 * 24 * time.Hour
)

// SecurityTxt says whom to tell of vulnerabilities (RFC 9116, control CAL-25). Either File or the others.
type SecurityTxt struct {
	// Where to write to, in the order of preference: mailto:, https: or tel: addresses. Required without a file.
	Contact []string `json:"contact,omitempty"`
	// Until when it can be relied on: a day, such as 2027-06-30. Required without a file.
	Expires string `json:"expires,omitempty"`
	// The address of the policy on disclosure; of keys to encrypt with; of thanks to those who have told.
	Policy          string `json:"policy,omitempty"`
	Encryption      string `json:"encryption,omitempty"`
	Acknowledgments string `json:"acknowledgments,omitempty"`
	// In which languages one may write, such as en de.
	Languages []string `json:"languages,omitempty"`

	// A file that is served as it is, such as a signed one. It is read when the configuration is loaded.
	File string `json:"file,omitempty"`
}

// render returns the text and until when it counts, or what is wrong with it. A date that has passed is not: the gateway must
// start then, too.
func (s *SecurityTxt) render(canonical []string, now time.Time) (text []byte, until time.Time, err error) {
	if s.File == "" {
		if text, err = s.write(canonical); err != nil {
			return nil, until, err
		}
	} else {
		if len(s.Contact)+len(s.Languages) > 0 || s.Expires+s.Policy+s.Encryption+s.Acknowledgments != "" {
			return nil, until, errors.New("a file is served as it is: take out the other words, or the file")
		}
		if text, err = os.ReadFile(s.File); err != nil {
			return nil, until, err
		}
		if len(text) > maxSecurityTxt {
			return nil, until, fmt.Errorf("%s has more than %d bytes", s.File, maxSecurityTxt)
		}
	}
	until, err = checkSecurityTxt(string(text))
	if err == nil && until.After(now.Add(maxExpires)) {
		err = errors.New("expires: it lies more than a year ahead; say a day within a year")
	}
	return text, until, err
}

func (s *SecurityTxt) write(canonical []string) ([]byte, error) {
	day, err := time.Parse(time.DateOnly, s.Expires)
	if err != nil {
		return nil, fmt.Errorf("expires: %q is no day: write one like 2027-06-30", s.Expires)
	}
	var b strings.Builder
	line := func(name string, values ...string) {
		for _, v := range values {
			if v != "" {
				fmt.Fprintf(&b, "%s: %s\r\n", name, v)
			}
		}
	}
	for _, address := range slices.Concat(s.Contact, []string{s.Policy, s.Encryption, s.Acknowledgments}) {
		if u, err := url.Parse(address); address != "" && (err != nil || !slices.Contains([]string{"https", "mailto", "tel", "openpgp4fpr", "dns"}, u.Scheme)) {
			return nil, fmt.Errorf("%q is no address of the web (https), of mail (mailto) or of a telephone (tel)", address)
		}
	}
	for _, l := range s.Languages {
		if strings.ContainsFunc(l, func(c rune) bool {
			return c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
		}) {
			return nil, fmt.Errorf("languages: %q is none: write them like en or pt-BR", l)
		}
	}
	line("Contact", s.Contact...)
	line("Expires", day.UTC().Format(time.RFC3339))
	line("Encryption", s.Encryption)
	line("Acknowledgments", s.Acknowledgments)
	line("Preferred-Languages", strings.Join(s.Languages, ", "))
	line("Canonical", canonical...)
	line("Policy", s.Policy)
	return []byte(b.String()), nil
}

// checkSecurityTxt reads what RFC 9116 2.5 demands: a contact, and one date.
func checkSecurityTxt(text string) (until time.Time, err error) {
	contacts, dates := 0, 0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch value = strings.TrimSpace(value); strings.ToLower(name) {
		case "contact":
			contacts++
		case "expires":
			dates++
			if until, err = time.Parse(time.RFC3339, value); err != nil {
				return until, fmt.Errorf("expires: %q is no date: write it like 2027-06-30T00:00:00Z", value)
			}
		}
	}
	switch {
	case contacts == 0:
		return until, errors.New("it names no contact: write `contact mailto:security@example.com`")
	case dates != 1:
		return until, fmt.Errorf("it says %d times until when it counts (Expires), and must once", dates)
	}
	return until, nil
}
