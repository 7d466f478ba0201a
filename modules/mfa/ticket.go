package mfa

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse.internal/modules/internal/form"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const (
	keptBucket   store.Bucket = "mfa.kept"
	ticketBucket store.Bucket = "mfa.ticket"

	challengePurpose = "mfa.challenge"
	keptPurpose      = "mfa.kept"
	ticketPurpose    = "mfa.ticket"

	challengeFor = 15 * time.Minute // from the refused request to the proof
	ticketFor    = 5 * time.Minute  // from the proof to the request

	maxEach      = 1 << 20 // bytes of a body that needs a proof of its own
	maxURI       = 1 << 10 // of a request that can wait, since it travels in an address
	maxFrom      = 512     // of the page that its form was on
	maxChallenge = 4 << 10
	keptSlots    = 16 // forms that wait at a time, of one session: a megabyte
)

// act is one request, as far as a proof can be given for it.
type act struct {
	Host   string `json:"h"`
	Method string `json:"m"`
	URI    string `json:"u"` // path and query
	Sum    []byte `json:"b"` // form.Digest of the body
}

// challenge asks for a proof for one request. It travels sealed, so that whoever is asked costs nothing.
type challenge struct {
	ID   string    `json:"i"`
	User string    `json:"o"` // whose request it is
	At   time.Time `json:"t"`
	Each bool      `json:"e,omitempty"` // the proof is for this request; otherwise it only waits for one
	Nav  bool      `json:"v,omitempty"` // a browser made it to show the answer
	Kept string    `json:"k,omitempty"` // where the form waits
	Next string    `json:"n,omitempty"` // the page that the form was on
	Act  act       `json:"a"`
}

// keptForm is a form that waits for its owner's proof. ID is of its challenge: slots are used again.
type keptForm struct {
	ID      string       `json:"i"`
	Enctype string       `json:"e"`
	Fields  []form.Field `json:"f"`
}

// ticket passes one request of one session.
type ticket struct {
	User    string    `json:"o"`
	Session string    `json:"s"`
	Act     act       `json:"a"`
	Method  string    `json:"f"` // how it was proven
	At      time.Time `json:"t"` // when
}

// userOf names a person as tickets do: the issuer too, since a provider's name may come to mean another one.
func userOf(who identity.Identity) string {
	sum := sha256.Sum256([]byte(who.Provider + "\x00" + who.Issuer + "\x00" + who.Subject))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// tickets gives and takes them. It is safe for concurrent use, on any number of nodes.
type tickets struct {
	store store.Store
	keys  *keyring.Ring
}

func newChallenge(who identity.Identity, a act, each bool, now time.Time) challenge {
	return challenge{ID: rand.Text(), User: userOf(who), At: now.UTC().Truncate(time.Second), Each: each, Act: a}
}

func (s tickets) seal(c challenge) (string, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("sealing a challenge: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.keys.Seal(challengePurpose, plain, nil)), nil
}

// open returns the challenge in the text, or errStale: too old, somebody else's, of another site, or none.
func (s tickets) open(text string, who identity.Identity, host string, now time.Time) (challenge, error) {
	if text == "" || len(text) > maxChallenge {
		return challenge{}, errStale
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return challenge{}, errStale
	}
	plain, err := s.keys.Open(challengePurpose, box, nil)
	if err != nil {
		return challenge{}, errStale
	}
	var c challenge
	if err := json.Unmarshal(plain, &c); err != nil {
		return challenge{}, errStale
	}
	if age := now.Sub(c.At); age > challengeFor || age < -time.Minute || c.Act.Host != host || c.User != userOf(who) {
		return challenge{}, errStale
	}
	return c, nil
}

// keep has the form wait, and notes in the challenge where. session makes the slots its own.
func (s tickets) keep(ctx context.Context, c *challenge, session, enctype string, fields []form.Field) error {
	value, err := json.Marshal(keptForm{ID: c.ID, Enctype: enctype, Fields: fields})
	if err != nil {
		return fmt.Errorf("keeping a form: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "kept\x00%s\x00%s\x00%d", c.User, session, int(c.Act.Sum[0])%keptSlots))
	key := store.Key{Bucket: keptBucket, ID: hex.EncodeToString(sum[:])}
	box := s.keys.Seal(keptPurpose, value, []byte(key.ID))
	if _, err := s.store.Put(ctx, key, box, store.PutOptions{TTL: challengeFor}); err != nil {
		return fmt.Errorf("keeping a form: %w", err)
	}
	c.Kept = key.ID
	return nil
}

// peek returns the form that waits for the challenge; nil when there is none, or no longer.
func (s tickets) peek(ctx context.Context, c challenge) (*keptForm, error) {
	return s.kept(ctx, c, s.store.Get)
}

// take is peek, for the last time.
func (s tickets) take(ctx context.Context, c challenge) (*keptForm, error) {
	return s.kept(ctx, c, s.store.Take)
}

func (s tickets) kept(ctx context.Context, c challenge, read func(context.Context, store.Key) (store.Item, error)) (*keptForm, error) {
	if c.Kept == "" {
		return nil, nil
	}
	item, err := read(ctx, store.Key{Bucket: keptBucket, ID: c.Kept})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a form that waits: %w", err)
	}
	value, err := s.keys.OpenStored(keptPurpose, item.Value, []byte(c.Kept))
	if err != nil {
		return nil, nil // sealed by another house
	}
	k := new(keptForm)
	if json.Unmarshal(value, k) != nil || k.ID != c.ID {
		return nil, nil // another form of the person's has taken its place
	}
	return k, nil
}

func ticketKey(id string) store.Key {
	sum := sha256.Sum256([]byte("ticket\x00" + id))
	return store.Key{Bucket: ticketBucket, ID: hex.EncodeToString(sum[:])}
}

// issue lets the challenge's request pass, once, in this session.
func (s tickets) issue(ctx context.Context, c challenge, t ticket) error {
	value, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("issuing a ticket: %w", err)
	}
	key := ticketKey(c.ID)
	box := s.keys.Seal(ticketPurpose, value, []byte(key.ID))
	if _, err := s.store.Put(ctx, key, box, store.PutOptions{TTL: ticketFor}); err != nil {
		return fmt.Errorf("issuing a ticket: %w", err)
	}
	return nil
}

// errOther says that a ticket is there, and for another request.
var errOther = errors.New("the ticket is for another request")

// redeem uses the ticket of this id up, if it is for this act of this person in this session. nil: there is none, or it was
// used. With errOther it stays.
func (s tickets) redeem(ctx context.Context, id, user, session string, a act) (*ticket, error) {
	key := ticketKey(id)
	item, err := s.store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading a ticket: %w", err)
	}
	value, err := s.keys.OpenStored(ticketPurpose, item.Value, []byte(key.ID))
	if err != nil {
		return nil, nil
	}
	t := new(ticket)
	if json.Unmarshal(value, t) != nil {
		return nil, nil
	}
	same := len(a.Sum) > 0 && subtle.ConstantTimeCompare(t.Act.Sum, a.Sum) == 1
	if !same || t.User != user || t.Session != session || t.Act.Host != a.Host || t.Act.Method != a.Method || t.Act.URI != a.URI {
		return nil, errOther
	}
	switch _, err := s.store.Take(ctx, key); {
	case errors.Is(err, store.ErrNotFound): // another request was faster
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("using a ticket: %w", err)
	}
	return t, nil
}

// void makes a ticket useless.
func (s tickets) void(ctx context.Context, id string) error {
	if err := s.store.Delete(ctx, ticketKey(id)); err != nil {
		return fmt.Errorf("voiding a ticket: %w", err)
	}
	return nil
}
