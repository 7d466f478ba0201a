package pseudonym

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/store"
)

const (
	bucket  store.Bucket = "pseudonym"
	keySize              = 32
	domain               = "gatehouse/v1/pseudonym/"

	// Epoch is how long a person keeps a pseudonym, unless the house says otherwise.
	Epoch = 90 * 24 * time.Hour
)

// ErrDestroyed: the tenant was off-boarded, and nobody can tell its pseudonyms any more.
var ErrDestroyed = errors.New("the tenant's key was destroyed: nobody can tell its pseudonyms any more")

// tenantKey is a tenant's, or what is left of it.
type tenantKey struct {
	Key  []byte    `json:"key,omitempty"` // none: destroyed
	Made time.Time `json:"made,omitzero"`
	// When it was destroyed, be there another one now or not.
	Destroyed time.Time `json:"destroyed,omitzero"`
	Sealed    string    `json:"sealed,omitempty"` // the id of the master key that it was sealed with
}

// Keys are the tenants' keys. Make them with [Open]; they are safe for concurrent use.
type Keys struct {
	ledger *ledger.Ledger[tenantKey]
	ring   *keyring.Ring
	spare  []byte // of those that have none
}

// Open follows the keys from now on. They must be closed before the store.
func Open(st store.Store, ring *keyring.Ring) (*Keys, error) {
	l, err := ledger.Open(st, ring, ledger.Config[tenantKey]{Bucket: bucket, Most: 4096, Absent: true})
	return &Keys{ledger: l, ring: ring, spare: newKey()}, err
}

// Destruct stops following.
func (k *Keys) Destruct() error { return k.ledger.Destruct() }

func newKey() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails: it ends the program instead
	return key
}

func idOf(tenant string) string { return "tenant:" + tenant }

// Make has the tenant's key be there, sealed with the newest master key: of one that was destroyed, a new one.
func (k *Keys) Make(ctx context.Context, tenant string) error {
	now, sealed := time.Now().UTC().Truncate(time.Second), k.ring.ActiveID()
	fresh := &tenantKey{Key: newKey(), Made: now, Sealed: sealed}
	rec, _, err := k.ledger.Read(ctx, idOf(tenant))
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		if err = k.ledger.Create(ctx, idOf(tenant), fresh); !errors.Is(err, ledger.ErrExists) {
			return err
		}
		// Another gateway was faster; or it is damaged, which is as good as destroyed.
		if _, _, err = k.ledger.Read(ctx, idOf(tenant)); errors.Is(err, ledger.ErrNotFound) {
			fresh.Destroyed = now
			return k.ledger.Put(ctx, idOf(tenant), fresh)
		}
		return err
	case err != nil, len(rec.Key) > 0 && rec.Sealed == sealed:
		return err
	}
	_, err = k.ledger.Update(ctx, idOf(tenant), func(rec *tenantKey) error {
		if len(rec.Key) == 0 {
			rec.Key, rec.Made = fresh.Key, now
		}
		rec.Sealed = sealed
		return nil
	})
	return err
}

// Has reports whether the tenant has a key.
func (k *Keys) Has(ctx context.Context, tenant string) (bool, error) {
	rec, err := k.ledger.Get(ctx, idOf(tenant))
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	return err == nil && len(rec.Key) > 0, err
}

// Destroy destroys the tenant's key, for all gateways on the store, and reports whether there was one.
func (k *Keys) Destroy(ctx context.Context, tenant string) (there bool, err error) {
	now := time.Now().UTC().Truncate(time.Second)
	_, err = k.ledger.Update(ctx, idOf(tenant), func(rec *tenantKey) error {
		there = len(rec.Key) > 0
		rec.Key, rec.Destroyed = nil, now
		return nil
	})
	if errors.Is(err, ledger.ErrNotFound) { // so that nobody is told what gateways before this one made of the master key
		err = k.ledger.Put(ctx, idOf(tenant), &tenantKey{Destroyed: now})
	}
	return there, err
}

// derived is a key of an epoch, and of what it was derived.
type derived struct {
	from  *tenantKey // nil: the spare key
	epoch int64
	key   []byte
}

// Namer gives the tenant's pseudonyms, of epochs that are counted from 1970.
func (k *Keys) Namer(tenant string, epoch time.Duration) *Namer {
	var last atomic.Pointer[derived]
	return &Namer{len: epoch, mac: func(epoch int64, text string) []byte {
		was := last.Load()
		from := k.current(tenant, was)
		if was == nil || was.from != from || was.epoch != epoch {
			was = k.derive(from, tenant, epoch)
			last.Store(was)
		}
		mac := hmac.New(sha256.New, was.key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}}
}

// current is the tenant's key, or nil where it has none.
func (k *Keys) current(tenant string, was *derived) *tenantKey {
	rec, err := k.ledger.Get(context.Background(), idOf(tenant))
	switch {
	case err == nil && len(rec.Key) > 0:
		return rec
	case err != nil && !errors.Is(err, ledger.ErrNotFound) && was != nil: // nobody knows
		return was.from
	}
	return nil
}

func (k *Keys) derive(from *tenantKey, tenant string, epoch int64) *derived {
	secret := k.spare
	if from != nil {
		secret = from.Key
	}
	key, err := hkdf.Key(sha256.New, secret, nil, domain+tenant+"/"+strconv.FormatInt(epoch, 10), keySize)
	if err != nil {
		panic("pseudonym: HKDF: " + err.Error()) // lengths are constant: cannot happen
	}
	return &derived{from, epoch, key}
}

// Nobodys gives pseudonyms by which nobody is found, here or anywhere else: for when the keys cannot be had.
func Nobodys() *Namer {
	key := newKey()
	return &Namer{mac: func(_ int64, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}}
}

// On returns who gave the tenant's pseudonyms on the day that begins then: for asking under which somebody is found. Before
// tenants had keys of their own, the newest master key gave them. The error is ErrDestroyed, or the store's.
func (k *Keys) On(ctx context.Context, tenant string, epoch time.Duration, day time.Time) (*Namer, error) {
	rec, err := k.ledger.Get(ctx, idOf(tenant))
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, fmt.Errorf("there is no tenant %q whose records hold pseudonyms", tenant)
	}
	if err != nil {
		return nil, err
	}
	before := day.Before(rec.Made.Truncate(24 * time.Hour))
	switch {
	case len(rec.Key) == 0, before && !rec.Destroyed.IsZero():
		return nil, ErrDestroyed
	case !before:
		return k.Namer(tenant, epoch), nil
	}
	return &Namer{len: epoch, mac: func(epoch int64, text string) []byte {
		return k.ring.MAC("pseudonym/"+tenant+"/"+strconv.FormatInt(epoch, 10), []byte(text))
	}}, nil
}
