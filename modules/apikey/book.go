package apikey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/backoff"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/recent"
	"gatehouse.internal/modules/internal/roster"
	"gatehouse.internal/modules/internal/service"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/token"
)

const (
	keyBucket  store.Bucket = "apikey"
	usedBucket store.Bucket = "apikey.used"

	// MaxLife is the longest that a key may live.
	MaxLife = 2 * 366 * 24 * time.Hour
	// keptFor is how long an expired key is kept, so that its user is told what is wrong with it.
	keptFor = 30 * 24 * time.Hour

	maxOfOwner = 100  // keys of one owner
	maxNote    = 200  // bytes
	maxWords   = 64   // scopes, or workspaces
	copies     = 8192 // keys at hand
)

// Why a key does not count.
var (
	errNoKey   = errors.New("it is not a key of this gateway's, or was revoked")
	errExpired = errors.New("it has expired")
	errVoid    = errors.New("whose it is may not use the gateway any more, or what was issued to them by then is void")
	errTenant  = errors.New("it is another tenant's")
	errUnbound = errors.New("it is bound to a client certificate that this connection does not show")
)

// Book holds the keys and knows for whom they speak. Make one with [NewBook]; it is safe for concurrent use and must be closed
// before the store.
type Book struct {
	keys     *ledger.Ledger[Key]
	accounts service.Accounts
	people   roster.Roster
	owners   owner.Owners
	store    store.Store
	used     uses

	ring     *keyring.Ring
	pairings *Pairings
	guesses  *backoff.Table            // of user codes
	tokens   *recent.Map[*AccessToken] // what their signatures were found to say
}

// NewBook opens the keys. Accounts and people are somebody else's to close.
func NewBook(st store.Store, keys *keyring.Ring, accounts service.Accounts, people roster.Roster) (*Book, error) {
	l, err := ledger.Open(st, keys, ledger.Config[Key]{
		Bucket: keyBucket, Most: copies,
		Index: func(k *Key) []string { return []string{k.whose().Index()} },
		TTL:   func(k *Key) time.Duration { return max(time.Until(k.Expires)+keptFor, time.Minute) },
	})
	if err != nil {
		return nil, err
	}
	b := &Book{keys: l, accounts: accounts, people: people, owners: owner.Owners{Accounts: accounts, People: people}, store: st}
	b.ring, b.guesses = keys, backoff.New(maxPairStreaks, longestPairPause)
	b.tokens = recent.New[*AccessToken](maxTokensKnown)
	if b.pairings, err = NewPairings(b); err != nil {
		return nil, errors.Join(err, l.Destruct())
	}
	b.used.start(st)
	return b, nil
}

// Destruct stops, having written when keys were last used.
func (b *Book) Destruct() error {
	return errors.Join(b.used.stop(), b.pairings.Destruct(), b.keys.Destruct())
}

// Issue makes a key as the draft says, and returns its text, which is stored nowhere. The draft's owner must be there.
func (b *Book) Issue(ctx context.Context, draft *Key) (text string, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	if err := draft.check(now); err != nil {
		return "", err
	}
	if draft.Account != "" {
		a, err := b.accounts.Active(ctx, draft.Account, "")
		if err != nil {
			return "", fmt.Errorf("%s: %w", draft.Account, err)
		}
		draft.Serial = a.Serial
	}
	n := 0
	for k, err := range b.keys.All(ctx, draft.whose().Index()) {
		if err != nil {
			return "", err
		}
		if k.Expires.After(now) {
			n++
		}
	}
	if n >= maxOfOwner {
		return "", fmt.Errorf("%s has %d keys already: revoke those that are not needed", draft.Owner(), n)
	}
	text, draft.ID = keyText.New()
	draft.Hash, draft.Created = token.Hash(text), time.Now().UTC() // to the full: what was issued before a person's change is void
	return text, b.keys.Create(ctx, draft.ID, draft)
}

// check brings the draft into form, or says what is wrong with it.
func (k *Key) check(now time.Time) error {
	if (k.Account == "") == (k.Person == owner.Person{}) {
		return errors.New("a key speaks for a service account or for a person")
	}
	if err := k.Scope.Normalize(); err != nil {
		return err
	}
	if !k.Expires.After(now) || k.Expires.After(now.Add(MaxLife)) {
		return errors.New("a key expires, within two years at the most: say when, such as 90d")
	}
	for _, list := range []*[]string{&k.Scopes, &k.Workspaces} {
		if len(*list) > maxWords || slices.ContainsFunc(*list, func(s string) bool { return s == "" || len(s) > 255 || strings.ContainsAny(s, " \t\r\n") }) {
			return fmt.Errorf("scopes and workspaces are words, %d at the most", maxWords)
		}
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if k.Certificate != "" {
		k.Certificate = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(k.Certificate, "sha256:"), ":", ""))
		if raw, err := hex.DecodeString(k.Certificate); err != nil || len(raw) != sha256.Size {
			return errors.New("the certificate is named by its SHA-256, in 64 hexadecimal digits")
		}
	}
	if len(k.Note) > maxNote {
		return fmt.Errorf("the note has more than %d bytes", maxNote)
	}
	k.Expires = k.Expires.UTC().Truncate(time.Second)
	return nil
}

// Find returns the key of this text, if it counts at all: not revoked, not expired, its owner in good standing. Every other
// error than those above is the store's: then nothing is known.
func (b *Book) Find(ctx context.Context, text string, now time.Time) (*Key, *testimony, error) {
	id, ok := keyText.Read(text)
	if !ok {
		return nil, nil, errNoKey
	}
	k, t, err := b.alive(ctx, id, now)
	if k != nil && !token.Matches(text, k.Hash) {
		return nil, nil, errNoKey
	}
	return k, t, err
}

// alive returns the key of this id, which somebody has or has had, if it counts. Of one that does not, the key comes with the error.
func (b *Book) alive(ctx context.Context, id string, now time.Time) (*Key, *testimony, error) {
	k, err := b.keys.Get(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil, errNoKey
	}
	if err != nil {
		return nil, nil, err
	}
	if !now.Before(k.Expires) {
		return k, nil, errExpired
	}
	t, err := b.speaksFor(ctx, k, now)
	return k, t, err
}

// speaksFor returns what the key proves, made of what its owner is now.
func (b *Book) speaksFor(ctx context.Context, k *Key, now time.Time) (*testimony, error) {
	who, record, err := b.owners.Now(ctx, k.whose(), now)
	if err != nil {
		return nil, err
	}
	if m := k.made.Load(); m != nil && m.owner == record { // Fast path
		return m.testimony, nil
	}
	m := &made{owner: record, testimony: &testimony{Identity: who(), Credential: k.credential()}}
	m.testimony.Check = func() error { return b.still(k.ID, record) }
	k.made.Store(m)
	return m.testimony, nil
}

// still returns why a key that was let in does not count any more.
func (b *Book) still(id string, then any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	k, err := b.keys.Get(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return errNoKey
	}
	if err != nil {
		return nil // the store cannot be asked: what this node knew still counts
	}
	now := time.Now()
	if !now.Before(k.Expires) {
		return errExpired
	}
	return b.owners.Still(ctx, k.whose(), then, now)
}

// Revoke removes the key of this id, if it is that owner's ("": whoever's), and returns it; ledger.ErrNotFound: there is none.
func (b *Book) Revoke(ctx context.Context, id, of string) (*Key, error) {
	k, _, err := b.keys.Read(ctx, id)
	if err != nil {
		return nil, err
	}
	if of != "" && k.Owner() != of {
		return nil, ledger.ErrNotFound
	}
	_, err = b.keys.Delete(ctx, id)
	return k, err
}

// RevokeAll removes every key of an owner, and returns their ids.
func (b *Book) RevokeAll(ctx context.Context, provider, subject string) ([]string, error) {
	return b.keys.DeleteIndexed(ctx, owner.Index(provider, subject))
}

// DeleteAccount removes a service account with its keys, and says whether there was one and which keys it had.
func (b *Book) DeleteAccount(ctx context.Context, name string) (there bool, keys []string, err error) {
	if there, err = b.accounts.Delete(ctx, name); err != nil {
		return false, nil, err
	}
	keys, err = b.RevokeAll(ctx, identity.HouseServices, name)
	return there, keys, err
}

// Listed is a key in a list.
type Listed struct {
	*Key
	Owner    string    `json:"owner"`
	LastUsed time.Time `json:"last_used,omitzero"`
}

// List returns up to limit keys of the owner ("": of everybody), those the newest first, and whether there are more.
func (b *Book) List(ctx context.Context, of string, limit int) (list []Listed, more bool, err error) {
	ix := ""
	if provider, subject, ok := strings.Cut(of, ":"); ok {
		ix = owner.Index(provider, subject)
	}
	for k, err := range b.keys.All(ctx, ix) {
		if err != nil {
			return nil, false, err
		}
		if len(list) == limit {
			more = true
			break
		}
		last, err := b.used.last(ctx, k.ID)
		if err != nil {
			return nil, false, err
		}
		k.Hash = nil
		list = append(list, Listed{Key: k, Owner: k.Owner(), LastUsed: last})
	}
	slices.SortFunc(list, func(x, y Listed) int { return y.Created.Compare(x.Created) })
	return list, more, nil
}
