package ban

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"time"

	"gatehouse.internal/modules/internal/prefixset"
	"gatehouse.internal/modules/internal/secret"
)

const (
	maxLists    = 32
	maxListSize = 64 << 20 // bytes of a list
	maxLine     = 1024
	maxEvery    = 7 * 24 * time.Hour
	// maxUnread is how many of a list's lines may be none that can be read, as a share: more, and it is no list.
	maxUnread = 0.1

	defaultEvery = time.Hour
	defaultStale = 72 * time.Hour
)

// Errors of blocklists.
var (
	errUnsigned = errors.New("the signature is not one of this list by the key of signed_by")
	errNoList   = errors.New("that is no list of networks")
)

// Blocklist names a list of networks that others have found hostile. Who is in it is shut out as the banned are.
type Blocklist struct {
	Name string `json:"name"`
	// Where it is: a file, or
	File string `json:"file,omitempty"`
	// an https URL.
	URL string `json:"url,omitempty"`
	// Or CrowdSec's local API, with a key of its own; a placeholder, so that it does not stand here.
	CrowdSec string `json:"crowdsec,omitempty"`
	Key      string `json:"key,omitempty"`
	// How often it is fetched, or the file looked at. Default: 1h; of files, 1m; of CrowdSec, 30s.
	Every string `json:"every,omitempty"`
	// After how long without a good list an event says so. Default: 72h.
	StaleAfter string `json:"stale_after,omitempty"`
	// An Ed25519 public key in base64: the list counts only with its signature, which lies beside it under the name with
	// .sig behind it, as 64 bytes or in base64.
	SignedBy string `json:"signed_by,omitempty"`
	// A file with certificates of the authorities that vouch for the URL's server, in PEM. Default: the system's.
	CAFile string `json:"ca_file,omitempty"`
	// The server may speak TLS 1.2. Default: TLS 1.3 alone.
	InsecureTLS12 bool `json:"insecure_tls12,omitempty"`

	// What becomes of who is in it: tarpit, step_up, or score: each of their offences counts 1 + Weight times. Default: they
	// are shut out.
	Action Action `json:"action,omitempty"`
	Weight int    `json:"weight,omitempty"` // Default: 4

	every, stale time.Duration
	key          ed25519.PublicKey
	reveal       func() (secret.String, error) // Key, read anew each time
}

var listName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// checkLists makes the lists ready for use.
func checkLists(all []Blocklist) error {
	named := map[string]bool{}
	if len(all) > maxLists {
		return fmt.Errorf("%d blocklists: %d is the most", len(all), maxLists)
	}
	for i := range all {
		b := &all[i]
		if !listName.MatchString(b.Name) || named[b.Name] {
			return fmt.Errorf("blocklist %q: give each list a name of its own, of a-z, 0-9, _ and -", b.Name)
		}
		named[b.Name] = true
		if err := b.check(); err != nil {
			return fmt.Errorf("blocklist %s: %w", b.Name, err)
		}
	}
	return nil
}

func (b *Blocklist) check() (err error) {
	switch u, urlErr := url.Parse(b.URL); {
	case b.CrowdSec != "" && (b.File != "" || b.URL != ""):
		return errors.New("say once where it is")
	case b.CrowdSec != "":
		if err := b.checkCrowdSec(); err != nil {
			return err
		}
	case b.Key != "":
		return errors.New("key is for CrowdSec's local API")
	case (b.File == "") == (b.URL == ""):
		return errors.New("say where it is: a file, an https URL, or crowdsec and the URL of its local API")
	case b.File != "" && !filepath.IsAbs(b.File):
		return fmt.Errorf("file %q: write the whole path, which begins with /", b.File)
	case b.URL != "" && (urlErr != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != ""):
		return fmt.Errorf("%q is no https URL without a user name: what decides who is shut out must come from whom it says", b.URL)
	case b.CAFile != "" && b.URL == "":
		return errors.New("ca is for lists with a URL")
	case b.InsecureTLS12 && b.File != "":
		return errors.New("insecure_tls12 is for lists with a URL")
	}
	if _, known := readAction(string(b.Action)); !known && b.Action != Refuse || b.Weight < 0 || b.Weight > maxRetries {
		return fmt.Errorf("action %q %d: the actions are ban, tarpit, step_up, and score with a weight of 1 to %d", b.Action, b.Weight, maxRetries)
	}
	every := defaultEvery
	switch {
	case b.File != "":
		every = time.Minute
	case b.CrowdSec != "":
		every = 30 * time.Second
	}
	if b.every, err = lengthOf(b.Every, every); err != nil || b.every < 10*time.Second || b.every > maxEvery {
		return fmt.Errorf("every %q: write how often, from 10s to 168h", b.Every)
	}
	if b.stale, err = lengthOf(b.StaleAfter, defaultStale); err != nil || b.stale < b.every {
		return fmt.Errorf("stale_after %q: write after how long, such as 72h, and no less than every", b.StaleAfter)
	}
	if b.SignedBy != "" {
		if b.key, err = base64.StdEncoding.DecodeString(b.SignedBy); err != nil || len(b.key) != ed25519.PublicKeySize {
			return errors.New("signed_by is no Ed25519 public key: want its 32 bytes in base64")
		}
	}
	return nil
}

func lengthOf(text string, fallback time.Duration) (time.Duration, error) {
	if text == "" {
		return fallback, nil
	}
	return time.ParseDuration(text)
}

// verify reports whether the signature is of the text; without a key, anything is good.
func (b *Blocklist) verify(text, sig []byte) error {
	if b.key == nil {
		return nil
	}
	if raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(sig))); err == nil && len(raw) == ed25519.SignatureSize {
		sig = raw
	}
	if !ed25519.Verify(b.key, text, sig) {
		return errUnsigned
	}
	return nil
}

// parseList reads one address or network a line; # or ; begins a comment, and what follows the first word is one too. It
// also returns how many lines it could not read. A list that would shut out everybody, or a large part of the world, is
// refused as a whole: it is a mistake or an attack. So is one with no networks at all, which
// is more often a page of errors than good news.
func parseList(text []byte) (set *prefixset.Set, unread int, err error) {
	if len(text) > maxListSize {
		return nil, 0, fmt.Errorf("%w: it has more than %d MiB", errNoList, maxListSize>>20)
	}
	var all []netip.Prefix
	scan := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	scan.Buffer(nil, maxLine)
	line := 0
	for scan.Scan() {
		line++
		entry := scan.Bytes()
		if i := bytes.IndexAny(entry, "#;"); i >= 0 {
			entry = entry[:i]
		}
		fields := bytes.Fields(entry)
		if len(fields) == 0 {
			continue
		}
		p, ok := readEntry(string(fields[0]))
		if !ok {
			unread++
			continue
		}
		if tooWide(p) {
			return nil, unread, fmt.Errorf("%w: line %d: %s is too wide, it would shut out a large part of the world", errNoList, line, p)
		}
		if len(all) == prefixset.DefaultMax {
			return nil, unread, fmt.Errorf("line %d: %w: the limit is %d", line, prefixset.ErrTooMany, prefixset.DefaultMax)
		}
		all = append(all, p)
	}
	if err := scan.Err(); err != nil {
		return nil, unread, fmt.Errorf("%w: line %d: %w", errNoList, line+1, err)
	}
	if len(all) == 0 || float64(unread) > maxUnread*float64(len(all)+unread) {
		return nil, unread, fmt.Errorf("%w: of %d entries %d are neither an address nor a network", errNoList, len(all)+unread, unread)
	}
	set, err = prefixset.New(all...)
	return set, unread, err
}

// readEntry is more forgiving than an operator's word is read: other people's lists have bits behind the length.
func readEntry(text string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// tooWide reports whether the network is more than anybody should be shut out with at once.
func tooWide(p netip.Prefix) bool {
	return p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 16
}
