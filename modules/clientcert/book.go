package clientcert

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/store"
)

const (
	bindingBucket store.Bucket = "clientcert"
	revokedBucket store.Bucket = "clientcert.revoked"

	// MaxLife is the longest that a binding may last.
	MaxLife = 2 * 366 * 24 * time.Hour

	maxBindings = 4096
	copies      = 16384 // bindings, revocations, and that there is none, at hand
)

var (
	errSeveral = errors.New("the certificate's names are bound to several owners")
	errOver    = errors.New("the certificate's binding has expired")
	errUnbound = errors.New("the certificate is bound to nobody any more")
)

// Revocation says that a certificate does not count on any site, whoever issued it.
type Revocation struct {
	Match   string    `json:"match"` // sha256:<sum>, or serial:<number>
	Created time.Time `json:"created"`
	By      string    `json:"by,omitempty"`
	Note    string    `json:"note,omitempty"`
}

// Book holds what certificates are bound to, and which are revoked. Make one with [NewBook]; it is safe for concurrent use
// and must be closed before the store.
type Book struct {
	bindings *ledger.Ledger[Binding]
	revoked  *ledger.Ledger[Revocation]
	owners   owner.Owners
}

// NewBook opens the book. The owners are somebody else's to close.
func NewBook(st store.Store, keys *keyring.Ring, owners owner.Owners) (*Book, error) {
	// What is looked for are names in certificates that an authority has signed, so that what is absent may be remembered.
	bindings, err := ledger.Open(st, keys, ledger.Config[Binding]{
		Bucket: bindingBucket, Most: copies, Absent: true,
		Index: func(b *Binding) []string { return []string{b.whose().Index()} },
		TTL:   func(b *Binding) time.Duration { return max(time.Until(b.Expires)+30*24*time.Hour, time.Minute) },
	})
	if err != nil {
		return nil, err
	}
	revoked, err := ledger.Open(st, keys, ledger.Config[Revocation]{Bucket: revokedBucket, Most: copies, Absent: true})
	if err != nil {
		return nil, errors.Join(err, bindings.Destruct())
	}
	return &Book{bindings: bindings, revoked: revoked, owners: owners}, nil
}

// Destruct stops following the store.
func (b *Book) Destruct() error { return errors.Join(b.bindings.Destruct(), b.revoked.Destruct()) }

// Bind makes the certificate speak for the draft's owner, who must be there. One that is bound already must be unbound first.
func (b *Book) Bind(ctx context.Context, draft *Binding) error {
	now := time.Now().UTC().Truncate(time.Second)
	if err := draft.check(now); err != nil {
		return err
	}
	if draft.Account != "" {
		a, err := b.owners.Accounts.Active(ctx, draft.Account, "")
		if err != nil {
			return fmt.Errorf("%s: %w", draft.Account, err)
		}
		draft.Serial = a.Serial
	} else if _, _, err := b.owners.Now(ctx, draft.whose(), now); err != nil {
		return err
	}
	n := 0
	for _, err := range b.bindings.All(ctx, "") {
		if err != nil {
			return err
		}
		n++
	}
	if n >= maxBindings {
		return fmt.Errorf("there are %d bindings already: remove those that are not needed", n)
	}
	draft.Created = now
	err := b.bindings.Create(ctx, draft.Match, draft)
	if errors.Is(err, ledger.ErrExists) {
		return fmt.Errorf("%s is bound already: unbind it first", draft.Match)
	}
	return err
}

// Unbind removes a binding and returns it, or ledger.ErrNotFound.
func (b *Book) Unbind(ctx context.Context, match string) (*Binding, error) {
	rec, _, err := b.bindings.Read(ctx, match)
	if err != nil {
		return nil, err
	}
	_, err = b.bindings.Delete(ctx, match)
	return rec, err
}

// List returns all bindings, the newest first.
func (b *Book) List(ctx context.Context) (list []*Binding, err error) {
	for rec, err := range b.bindings.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		list = append(list, rec)
	}
	slices.SortFunc(list, func(x, y *Binding) int { return y.Created.Compare(x.Created) })
	return list, nil
}

// Find returns the binding of a certificate by its names; nil: it is bound to nobody. The sum's binding counts before others;
// names that are bound to different owners speak for none.
func (b *Book) Find(ctx context.Context, names []string) (found *Binding, err error) {
	for _, name := range names {
		rec, err := b.bindings.Get(ctx, name)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		case strings.HasPrefix(name, sumPrefix):
			return rec, nil
		case found == nil:
			found = rec
		case found.whose() != rec.whose():
			return nil, errSeveral
		}
	}
	return found, nil
}

// Still returns why what a certificate was let in by does not count any more: the binding is another one, or its owner is, as
// [owner.Owners.Still] says, or the certificate was revoked.
func (b *Book) Still(was *Binding, c *x509.Certificate, sum string, record any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	now := time.Now()
	rec, err := b.bindings.Get(ctx, was.Match)
	switch {
	case errors.Is(err, ledger.ErrNotFound), err == nil && (rec.whose() != was.whose() || !rec.Created.Equal(was.Created)):
		return errUnbound
	case !now.Before(was.Expires):
		return errOver
	}
	if err := b.Revoked(ctx, c, sum); errors.Is(err, errRevoked) {
		return err
	}
	return b.owners.Still(ctx, was.whose(), record, now)
}

// Revoked returns errRevoked if an operator has revoked the certificate, which has this name by its sum.
func (b *Book) Revoked(ctx context.Context, c *x509.Certificate, sum string) error {
	for _, id := range [2]string{sum, serialPrefix + c.SerialNumber.Text(16)} {
		_, err := b.revoked.Get(ctx, id)
		if err == nil {
			return errRevoked
		}
		if !errors.Is(err, ledger.ErrNotFound) {
			return err
		}
	}
	return nil
}

// Revoke makes a certificate count nowhere.
func (b *Book) Revoke(ctx context.Context, r Revocation) (Revocation, error) {
	var err error
	if r.Match, err = parseRevoked(r.Match); err != nil {
		return r, err
	}
	if len(r.Note) > maxNote {
		return r, fmt.Errorf("the note has more than %d bytes", maxNote)
	}
	r.Created = time.Now().UTC().Truncate(time.Second)
	err = b.revoked.Create(ctx, r.Match, &r)
	if errors.Is(err, ledger.ErrExists) {
		return r, fmt.Errorf("%s is revoked already", r.Match)
	}
	return r, err
}

// Restore takes a revocation back.
func (b *Book) Restore(ctx context.Context, match string) (string, error) {
	match, err := parseRevoked(match)
	if err != nil {
		return "", err
	}
	there, err := b.revoked.Delete(ctx, match)
	if err == nil && !there {
		err = ledger.ErrNotFound
	}
	return match, err
}

// Revocations returns all of them, the newest first.
func (b *Book) Revocations(ctx context.Context) (list []*Revocation, err error) {
	for rec, err := range b.revoked.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		list = append(list, rec)
	}
	slices.SortFunc(list, func(x, y *Revocation) int { return y.Created.Compare(x.Created) })
	return list, nil
}

// parseRevoked reads what certificates are revoked by: sha256:<hexadecimal>, or serial:<hexadecimal>.
func parseRevoked(text string) (string, error) {
	kind, value, _ := strings.Cut(text, ":")
	switch kind {
	case "sha256":
		sum, err := parseSum(value)
		return sumPrefix + sum, err
	case "serial":
		serial, err := parseSerial(value)
		return serialPrefix + serial, err
	}
	return "", fmt.Errorf("%.80q: a certificate is revoked by sha256:<sum> or serial:<number>, or by its file", text)
}
