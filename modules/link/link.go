package link

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/token"
)

// Text makes and reads the tokens of links.
const Text = token.Kind("ghl_")

// Bounds of a link.
const (
	MaxLife  = 366 * 24 * time.Hour // until it expires
	MaxUses  = 1000
	MaxLasts = 24 * time.Hour // of a session
	maxLabel = 200            // bytes
	maxStart = 1024
)

// Why a link, or a session that it opened, does not count. The texts are for operators.
var (
	ErrUnknown = errors.New("it is no link of this gateway's, or its session has ended")
	ErrExpired = errors.New("it has expired")
	ErrUsedUp  = errors.New("it was used as often as it may be")
	ErrRevoked = errors.New("it was revoked")
	ErrOwner   = errors.New("whoever answers for it may not use the gateway any more")
	ErrNetwork = errors.New("it was opened first from another network")
	ErrOther   = errors.New("it is for another site")
)

// Link is a link, without its token.
type Link struct {
	ID   string `json:"id"`
	Hash []byte `json:"hash,omitempty"` // see token.Hash

	Label  string      `json:"label"` // whom it was given to; in no log
	Scope  scope.Scope `json:"scope"` // of one host
	Start  string      `json:"start"` // where it leads: a path of the host, and perhaps a query
	Tenant string      `json:"tenant,omitempty"`

	Uses    int           `json:"uses"`
	MaxUses int           `json:"max_uses"`
	Lasts   time.Duration `json:"lasts"` // of a session
	Pin     bool          `json:"pin,omitempty"`
	Pinned  netip.Prefix  `json:"pinned,omitzero"` // the network of the first use, if only that counts
	Recent  []use         `json:"recent,omitempty"`

	Created time.Time       `json:"created"`
	Expires time.Time       `json:"expires"`
	By      string          `json:"by,omitempty"`   // an operator
	Owner   standing.Person `json:"owner,omitzero"` // the person who answers for it, if any
	Note    string          `json:"note,omitempty"`
	Revoked time.Time       `json:"revoked,omitzero"`
}

// Host is the host that the link is for.
func (l *Link) Host() string { return l.Scope.Hosts[0] }

// check brings a draft into form, or says what is wrong with it.
func (l *Link) check(now time.Time) error {
	if err := l.Scope.Normalize(); err != nil {
		return err
	}
	switch {
	case len(l.Scope.Hosts) != 1:
		return errors.New("a link is for one host")
	case !l.Expires.After(now) || l.Expires.After(now.Add(MaxLife)):
		return errors.New("a link expires, within a year at the most: say when, such as 7d")
	case l.MaxUses < 1 || l.MaxUses > MaxUses:
		return fmt.Errorf("a link can be opened 1 to %d times", MaxUses)
	case l.Lasts < time.Minute || l.Lasts > MaxLasts:
		return fmt.Errorf("what a link opens lasts from 1m to %v", MaxLasts)
	case l.Label == "" || len(l.Label) > maxLabel || strings.ContainsFunc(l.Label, unicode.IsControl):
		return fmt.Errorf("say for whom the link is, in 1 to %d bytes, such as the address that it is sent to", maxLabel)
	case len(l.Note) > maxLabel:
		return fmt.Errorf("the note has more than %d bytes", maxLabel)
	case (l.Owner.Provider == "") != (l.Owner.Subject == ""):
		return errors.New("who answers for the link is named as provider:subject, such as local:ada")
	}
	l.Expires = l.Expires.UTC().Truncate(time.Second)
	return l.checkStart()
}

// checkStart makes sure that the link leads where it lets somebody in; by default to the first of its paths.
func (l *Link) checkStart() error {
	if l.Start == "" {
		first := l.Scope.Paths[0].String()
		if l.Scope.Paths[0].Subtree() {
			first = strings.TrimSuffix(first, "*")
		}
		l.Start = (&url.URL{Path: first}).EscapedPath()
	}
	path, err := reqpath.Parse(l.Start, reqpath.Options{})
	if err != nil || len(l.Start) > maxStart || strings.ContainsFunc(l.Start, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' || c == '#' }) {
		return fmt.Errorf("the link cannot lead to %.80q: write a path of the host, with escapes", l.Start)
	}
	open := l.Scope
	open.Networks = nil
	if err := open.Covers(scope.Request{Host: l.Host(), Path: path, Method: "GET"}); err != nil {
		return fmt.Errorf("the link would lead to %s, which is %w: it must let in there with GET", l.Start, err)
	}
	return nil
}

// alive returns why the link does not count any more, or nil; whether it has uses left is another question.
func (l *Link) alive(now time.Time) error {
	switch {
	case !l.Revoked.IsZero():
		return ErrRevoked
	case !now.Before(l.Expires):
		return ErrExpired
	}
	return nil
}

// from reports whether the pin lets a client's network in.
func (l *Link) from(client netip.Addr) bool { return !l.Pinned.IsValid() || l.Pinned.Contains(client) }

// guest is whom the link stands for.
func (l *Link) guest() identity.Identity {
	return identity.Identity{Provider: identity.HouseLinks, Subject: l.ID, Kind: identity.Guest, Tenant: l.Tenant, Name: l.Label}
}

// use is one opening of a link: who presses the button twice opens it once.
type use struct {
	Session string    `json:"session"` // its key in the store
	At      time.Time `json:"at"`
}

// pressed is how long pressing the button once more means the same.
const (
	pressed    = 30 * time.Second
	maxPressed = 8
)

// use counts a use by which the session of this key begins, and returns when it was: now, or a moment ago.
func (l *Link) use(key string, now time.Time) (at time.Time, again bool) {
	for _, u := range l.Recent {
		if u.Session == key && now.Sub(u.At) < pressed {
			return u.At, true
		}
	}
	l.Uses++
	l.Recent = append(l.Recent, use{key, now})
	l.Recent = l.Recent[max(len(l.Recent)-maxPressed, 0):]
	return now, false
}

// Session is what a link was exchanged for.
type Session struct {
	Link    string    `json:"link"`
	Host    string    `json:"host"`
	Created time.Time `json:"created"`
	Until   time.Time `json:"until"`

	made atomic.Pointer[testimony]
}
