package apikey

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/token"
)

// A pairing is a program's wish for a key of a person's, by the device authorization grant (RFC 8628): the program shows a user
// code, the person types it on a page and decides, and the program, which asks again and again, gets a key.

const (
	pairBucket store.Bucket = "apikey.device"

	pairFor      = 10 * time.Minute
	pollInterval = 5 * time.Second

	// Bounds of what waits for somebody's decision. Anybody may ask.
	maxPairs    = 1000
	maxPairsNet = 10

	// userAlphabet has no vowels, so that no code is a word, and no letters that are taken for digits (RFC 8628 6.1).
	userAlphabet   = "BCDFGHJKLMNPQRSTVWXZ"
	userLength     = 8
	deviceAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	deviceLength   = 40
	maxClient      = 64 // bytes of a program's name
)

const (
	// Guessing a user code takes a login, and slows down with each wrong one: 20^8 codes are for ten minutes each.
	longestPairPause = 10 * time.Minute
	maxPairStreaks   = 1 << 12
)

// What becomes of a pairing.
const (
	pairAsked    = ""
	pairApproved = "approved"
	pairDenied   = "denied"
	pairDone     = "done" // the program has its key
)

// Why there is no key, in the words of RFC 8628 3.5 and RFC 6749 5.2.
var (
	errPending    = errors.New("authorization_pending")
	errSlowDown   = errors.New("slow_down")
	errDenied     = errors.New("access_denied")
	errTooLate    = errors.New("expired_token")
	errNoPairing  = errors.New("invalid_grant")
	errManyAsking = errors.New("temporarily_unavailable")
)

// Pairing is one program's wish.
type Pairing struct {
	ID       string `json:"id"` // SHA-256 of the device code
	UserCode string `json:"user_code"`

	Client string     `json:"client"` // what the program calls itself
	From   netip.Addr `json:"from"`
	Host   string     `json:"host"`
	Tenant string     `json:"tenant,omitempty"`
	Scopes []string   `json:"scopes,omitempty"`

	Created time.Time    `json:"created"`
	Expires time.Time    `json:"expires"`
	State   string       `json:"state,omitempty"`
	Person  owner.Person `json:"person,omitzero"` // who approved
}

// Pairings holds what waits. Make one with [NewPairings]; it is safe for concurrent use and must be closed before the store.
type Pairings struct {
	*ledger.Ledger[Pairing]

	mu    sync.Mutex
	polls map[string]poll // guarded by mu; by the pairing's id, of this node
}

// poll is how one program asks.
type poll struct {
	last     time.Time
	interval time.Duration
}

// NewPairings follows the pairings from now on.
func NewPairings(b *Book) (*Pairings, error) {
	l, err := ledger.Open(b.store, b.ring, ledger.Config[Pairing]{
		Bucket: pairBucket, Most: maxPairs,
		Index: func(p *Pairing) []string { return []string{codeIndex(p.Host, p.UserCode), netIndex(p.From)} },
		TTL:   func(p *Pairing) time.Duration { return max(time.Until(p.Expires)+pairFor, time.Minute) }, // late programs are told
	})
	return &Pairings{Ledger: l, polls: map[string]poll{}}, err
}

func codeIndex(host, code string) string { return "code:" + hashOf(host, code) }

func netIndex(client netip.Addr) string { return "net:" + hashOf(clientip.Network(client).String()) }

func hashOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// UserCode reads a user code as people type it: whatever the case, and with any dashes and blanks; "" when it can be none.
func UserCode(typed string) string {
	if len(typed) > 4*userLength {
		return ""
	}
	code := strings.Map(func(c rune) rune {
		if c == '-' || c == ' ' {
			return -1
		}
		return c
	}, strings.ToUpper(typed))
	if len(code) != userLength || strings.Trim(code, userAlphabet) != "" {
		return ""
	}
	return code
}

// shown is a user code for people.
func shown(code string) string { return code[:userLength/2] + "-" + code[userLength/2:] }

// Ask files a wish, whose draft says who asks and for what, and returns the device code, which is stored nowhere. errManyAsking:
// too many wait, or too many from that network.
func (ps *Pairings) Ask(ctx context.Context, draft *Pairing, now time.Time) (deviceCode string, err error) {
	for _, limit := range []struct {
		index string
		most  int
	}{{netIndex(draft.From), maxPairsNet}, {"", maxPairs}} {
		n := 0
		for p, err := range ps.All(ctx, limit.index) {
			if err != nil {
				return "", err
			}
			if now.Before(p.Expires) && p.State == pairAsked {
				n++
			}
		}
		if n >= limit.most {
			return "", errManyAsking
		}
	}
	deviceCode = token.Random(deviceAlphabet, deviceLength)
	draft.ID, draft.Created, draft.Expires = hex.EncodeToString(token.Hash(deviceCode)), now, now.Add(pairFor)
	for range 4 { // a code that somebody else was given a moment ago: one in millions
		draft.UserCode = token.Random(userAlphabet, userLength)
		if _, err := ps.Waiting(ctx, draft.UserCode, draft.Host, draft.Tenant, now); errors.Is(err, errNoPairing) {
			return deviceCode, ps.Create(ctx, draft.ID, draft)
		} else if err != nil {
			return "", err
		}
	}
	return "", errors.New("no user code is free")
}

// Waiting returns the pairing of a user code that waits for a decision, or errNoPairing.
func (ps *Pairings) Waiting(ctx context.Context, code, host, tenant string, now time.Time) (*Pairing, error) {
	for p, err := range ps.All(ctx, codeIndex(host, code)) {
		if err != nil {
			return nil, err
		}
		if p.State == pairAsked && now.Before(p.Expires) && p.UserCode == code && p.Host == host && p.Tenant == tenant {
			return p, nil
		}
	}
	return nil, errNoPairing
}

// Decide notes what the person has decided, once: afterwards it is errNoPairing.
func (ps *Pairings) Decide(ctx context.Context, id string, who owner.Person, approve bool, now time.Time) error {
	_, err := ps.Update(ctx, id, func(p *Pairing) error {
		if p.State != pairAsked || !now.Before(p.Expires) {
			return errNoPairing
		}
		p.State = pairDenied
		if approve {
			p.State, p.Person = pairApproved, who
		}
		return nil
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return errNoPairing
	}
	return err
}

// Poll returns the pairing of a device code once it is approved, to the first who asks; otherwise one of the errors above, or the
// store's.
func (ps *Pairings) Poll(ctx context.Context, deviceCode, client, host, tenant string, now time.Time) (*Pairing, error) {
	if len(deviceCode) != deviceLength {
		return nil, errNoPairing
	}
	id := hex.EncodeToString(token.Hash(deviceCode))
	p, err := ps.Update(ctx, id, func(p *Pairing) error {
		switch {
		case p.Host != host || p.Tenant != tenant || p.Client != client, p.State == pairDone:
			return errNoPairing
		case p.State == pairDenied:
			return errDenied
		case !now.Before(p.Expires):
			return errTooLate
		case p.State == pairAsked:
			return errPending
		}
		p.State = pairDone
		return nil
	})
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return nil, errNoPairing
	case errors.Is(err, errPending) && ps.hasty(id, now):
		return nil, errSlowDown
	case err != nil:
		return nil, err
	}
	return p, nil
}

// hasty reports whether a program asks again too soon. From then on it has to leave more time (RFC 8628 3.5).
func (ps *Pairings) hasty(id string, now time.Time) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	before, known := ps.polls[id]
	if !known && len(ps.polls) >= 2*maxPairs {
		clear(ps.polls) // most of them are over; the others may be hasty once more
	}
	next := poll{now, pollInterval}
	hasty := false
	if known {
		next.interval = before.interval
		if hasty = now.Sub(before.last) < before.interval; hasty {
			next.interval += pollInterval
		}
	}
	ps.polls[id] = next
	return hasty
}

// clientName is what a program calls itself, if that can be shown.
func clientName(text string) (string, error) {
	if text == "" || len(text) > maxClient || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "", fmt.Errorf("client_id: name the program, in 1 to %d printable ASCII characters", maxClient)
	}
	return text, nil
}
