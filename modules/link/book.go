package link

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/token"
)

const (
	linkBucket    store.Bucket = "link"
	sessionBucket store.Bucket = "link.session"

	// keptFor is how long a link is kept after it has expired, so that lists and logs say what it was.
	keptFor = 30 * 24 * time.Hour

	copiesOfLinks    = 4096
	copiesOfSessions = 8192

	cookieBytes  = 32
	cookieLength = 43 // base64url without padding
)

// Book holds the links and their sessions. Make one with [NewBook]; it is safe for concurrent use and must be closed before the
// store.
type Book struct {
	links    *ledger.Ledger[Link]
	sessions *ledger.Ledger[Session]
	standing *standing.Book
}

// NewBook opens the links. Who may use the house is somebody else's to close.
func NewBook(st store.Store, keys *keyring.Ring, people *standing.Book) (*Book, error) {
	links, err := ledger.Open(st, keys, ledger.Config[Link]{
		Bucket: linkBucket, Most: copiesOfLinks,
		TTL: func(l *Link) time.Duration { return max(time.Until(l.Expires)+keptFor, time.Minute) },
	})
	if err != nil {
		return nil, err
	}
	sessions, err := ledger.Open(st, keys, ledger.Config[Session]{
		Bucket: sessionBucket, Most: copiesOfSessions,
		Index: func(s *Session) []string { return []string{indexOf(s.Link)} },
		TTL:   func(s *Session) time.Duration { return max(time.Until(s.Until), time.Second) },
	})
	if err != nil {
		return nil, errors.Join(err, links.Destruct())
	}
	return &Book{links, sessions, people}, nil
}

// Destruct stops following the store.
func (b *Book) Destruct() error { return errors.Join(b.sessions.Destruct(), b.links.Destruct()) }

func indexOf(link string) string { return "link:" + link }

// Create makes a link as the draft says, and returns its token, which is stored nowhere.
func (b *Book) Create(ctx context.Context, draft *Link) (text string, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	draft.Uses, draft.Pinned, draft.Revoked = 0, netip.Prefix{}, time.Time{}
	if err := draft.check(now); err != nil {
		return "", err
	}
	if s := draft.Owner; s.Subject != "" && !b.standing.Allows(s.Provider, s.Subject, now) {
		return "", fmt.Errorf("%s: %w", s, ErrOwner)
	}
	text, draft.ID = Text.New()
	draft.Hash, draft.Created = token.Hash(text), now
	return text, b.links.Create(ctx, draft.ID, draft)
}

// Where says from where, and on which site, a link is looked at or opened.
type Where struct {
	Host   string // may have a port
	Tenant string
	Client netip.Addr
}

// Look returns the link of a token if it could be opened there now. It uses nothing. An error that [IsVerdict] says why not; any
// other is the store's.
func (b *Book) Look(ctx context.Context, text string, at Where) (*Link, error) {
	id, ok := Text.Read(text)
	if !ok {
		return nil, ErrUnknown
	}
	l, err := b.links.Get(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	return l, b.opens(l, text, at, time.Now())
}

// opens returns why the token does not open the link there, or nil.
func (b *Book) opens(l *Link, text string, at Where, now time.Time) error {
	switch {
	case !token.Matches(text, l.Hash):
		return ErrUnknown
	case l.Tenant != at.Tenant || l.Host() != scope.Hostname(at.Host):
		return ErrOther
	case !l.from(at.Client) || !l.near(at.Client):
		return ErrNetwork
	}
	if err := b.counts(l, now); err != nil {
		return err
	}
	if l.Uses >= l.MaxUses { // last: see Open
		return ErrUsedUp
	}
	return nil
}

// near reports whether the link's scope lets in from the client's network.
func (l *Link) near(client netip.Addr) bool {
	return len(l.Scope.Networks) == 0 || slices.ContainsFunc(l.Scope.Networks, func(p netip.Prefix) bool { return p.Contains(client) })
}

// counts returns why nothing of the link counts any more, or nil.
func (b *Book) counts(l *Link, now time.Time) error {
	if err := l.alive(now); err != nil {
		return err
	}
	if s := l.Owner; s.Subject != "" && !b.standing.Allows(s.Provider, s.Subject, l.Created) {
		return ErrOwner
	}
	return nil
}

// NewSession returns the cookie's value of a session to come.
func NewSession() string {
	raw := make([]byte, cookieBytes)
	rand.Read(raw) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Open uses the link once, to begin the session of this cookie's value, and returns the session's name in logs. The same value
// within a moment is the same use. A use is counted before the session exists, so that it can be lost, and never be had twice.
func (b *Book) Open(ctx context.Context, text, value string, at Where) (name string, l *Link, err error) {
	id, ok := Text.Read(text)
	if !ok || len(value) != cookieLength {
		return "", nil, ErrUnknown
	}
	now, key := time.Now().UTC(), keyOf(value)
	began, again := now, false
	l, err = b.links.Update(ctx, id, func(l *Link) error {
		err := b.opens(l, text, at, now)
		if err != nil && !errors.Is(err, ErrUsedUp) {
			return err
		}
		if began, again = l.use(key, now); err != nil && !again {
			return err
		}
		if l.Pin && !l.Pinned.IsValid() {
			l.Pinned = clientip.Network(at.Client)
		}
		return nil
	})
	if errors.Is(err, ledger.ErrNotFound) {
		return "", nil, ErrUnknown
	}
	if err != nil {
		return "", nil, err
	}
	s := &Session{Link: l.ID, Host: l.Host(), Created: began, Until: began.Add(l.Lasts)}
	if s.Until.After(l.Expires) {
		s.Until = l.Expires
	}
	err = b.sessions.Create(ctx, key, s)
	if errors.Is(err, ledger.ErrExists) {
		err = nil
		if !again { // nobody's browser does that
			err = ErrUnknown
		}
	}
	return nameOf(key), l, err
}

// keyOf is what a session is kept under; the cookie's value is kept nowhere.
func keyOf(value string) string { return hex.EncodeToString(token.Hash(value)) }

// nameOf is what logs call a session: neither cookie nor key can be found from it.
func nameOf(key string) string {
	sum := sha256.Sum256([]byte("log " + key))
	return hex.EncodeToString(sum[:8])
}

// Session returns the link whose session the cookie's value stands for, and what it proves. An error that [IsVerdict] says why
// there is none; any other is the store's.
func (b *Book) Session(ctx context.Context, value string, at Where) (*Link, *testimony, error) {
	if len(value) != cookieLength {
		return nil, nil, ErrUnknown
	}
	key := keyOf(value)
	s, l, err := b.find(ctx, key, time.Now())
	switch {
	case err != nil:
		return nil, nil, err
	case s.Host != scope.Hostname(at.Host) || l.Tenant != at.Tenant:
		return nil, nil, ErrUnknown
	}
	if t := s.made.Load(); t != nil { // Fast path
		return l, t, nil
	}
	t := &testimony{
		Identity:   l.guest(),
		Credential: identity.Credential{Method: identity.ByLink, Name: nameOf(key), Since: s.Created, Until: s.Until},
		Check:      func() error { return b.still(key) },
	}
	s.made.Store(t)
	return l, t, nil
}

// find returns a session that counts, and its link.
func (b *Book) find(ctx context.Context, key string, now time.Time) (*Session, *Link, error) {
	s, err := b.sessions.Get(ctx, key)
	if err == nil && !now.Before(s.Until) {
		err = ledger.ErrNotFound
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil, ErrUnknown
	}
	if err != nil {
		return nil, nil, err
	}
	l, err := b.links.Get(ctx, s.Link)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil, ErrUnknown
	}
	if err != nil {
		return nil, nil, err
	}
	return s, l, b.counts(l, now)
}

// still returns why a session that was let in does not count any more.
func (b *Book) still(key string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, _, err := b.find(ctx, key, time.Now()); IsVerdict(err) {
		return err
	}
	return nil // or the store cannot be asked: what this node knew still counts
}

// IsVerdict reports whether the error says that a link does not count, rather than that nobody knows.
func IsVerdict(err error) bool {
	return slices.ContainsFunc([]error{ErrUnknown, ErrExpired, ErrUsedUp, ErrRevoked, ErrOwner, ErrNetwork, ErrOther}, func(v error) bool { return errors.Is(err, v) })
}

// Leave ends the session of a cookie's value, if there is one.
func (b *Book) Leave(ctx context.Context, value string) error {
	_, err := b.sessions.Delete(ctx, keyOf(value))
	return err
}

// Revoke has the link of this id count no more, and ends its sessions; ledger.ErrNotFound: there is none. It returns how many
// sessions there were.
func (b *Book) Revoke(ctx context.Context, id string) (l *Link, ended int, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	l, err = b.links.Update(ctx, id, func(l *Link) error {
		if !l.Revoked.IsZero() {
			return ErrRevoked
		}
		l.Revoked = now
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	gone, err := b.sessions.DeleteIndexed(ctx, indexOf(id))
	return l, len(gone), err
}

// Erase deletes the links that are meant, with their sessions, unless they are only counted, and returns how many there are.
func (b *Book) Erase(ctx context.Context, meant func(*Link) bool, count bool) (int, error) {
	ids, err := b.links.Erase(ctx, "", meant, count)
	for _, id := range ids {
		if err != nil || count {
			break
		}
		_, err = b.sessions.DeleteIndexed(ctx, indexOf(id))
	}
	return len(ids), err
}

// List returns up to limit links, the newest first, and whether there are more.
func (b *Book) List(ctx context.Context, limit int) (list []*Link, more bool, err error) {
	for l, err := range b.links.All(ctx, "") {
		if err != nil {
			return nil, false, err
		}
		if len(list) == limit {
			more = true
			break
		}
		l.Hash = nil
		list = append(list, l)
	}
	slices.SortFunc(list, func(x, y *Link) int { return y.Created.Compare(x.Created) })
	return list, more, nil
}
