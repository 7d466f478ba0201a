package breakglass

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

const (
	sealBucket store.Bucket = "seal"
	usedBucket store.Bucket = "seal.used"
	linkBucket store.Bucket = "seal.link"
	purpose                 = "break_glass"

	codeLength = 25 // characters of 5 bits
	codeGroup  = 5
	nameLength = 4

	usedFor  = 400 * 24 * time.Hour
	linkLife = 5 * time.Minute

	// MaxSeals is how many codes there may be at one time.
	MaxSeals = 100
)

// ErrSeal says that a code is wrong, or was used.
var ErrSeal = errors.New("the code is wrong, or was used before")

// alphabet is Crockford's base 32: no letter looks like a digit.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Seal is what is known of a code that nobody has used. It does not hold the code.
type Seal struct {
	Name  string    `json:"name"` // printed beside the code, so that people can say which envelope was opened
	Roles []string  `json:"roles"`
	Made  time.Time `json:"made"`
	By    string    `json:"by,omitempty"`
}

// Sealed is a new code, to be printed.
type Sealed struct {
	Seal
	Code string `json:"code"`
}

// Use is what is known of a code that was used.
type Use struct {
	Seal    string    `json:"seal"`
	When    time.Time `json:"when"`
	Purpose string    `json:"purpose"`
	From    string    `json:"from"` // client address, or who ran the command
}

// Seals keeps the codes. It is safe for concurrent use, on any number of nodes.
type Seals struct {
	Store store.Store
	Keys  *keyring.Ring
}

// canonicalCode reads a code as people type it: without regard to case, dashes and spaces, and with the letters that
// look like digits taken for these. "" when it can be none.
func canonicalCode(typed string) string {
	if len(typed) > 4*codeLength {
		return ""
	}
	var b strings.Builder
	for _, c := range strings.ToUpper(typed) {
		switch c {
		case '-', ' ', '\t', '\u2010', '\u2011', '\u2013', '\u00a0': // dashes that editors and printers make of one
			continue
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		if !strings.ContainsRune(alphabet, c) {
			return ""
		}
		b.WriteRune(c)
	}
	if b.Len() != codeLength {
		return ""
	}
	return b.String()
}

// newCode returns random characters of the alphabet.
func newCode(n int) string {
	raw := make([]byte, n)
	rand.Read(raw) // never fails (crypto/rand)
	for i := range raw {
		raw[i] = alphabet[raw[i]%byte(len(alphabet))] // 256 is a multiple of 32
	}
	return string(raw)
}

// printed groups a code for people.
func printed(code string) string {
	var groups []string
	for group := range slices.Chunk([]byte(code), codeGroup) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, "-")
}

func keyOf(bucket store.Bucket, secret string) store.Key {
	sum := sha256.Sum256([]byte(string(bucket) + "\x00" + secret))
	return store.Key{Bucket: bucket, ID: hex.EncodeToString(sum[:])}
}

// Make makes n codes with these roles. Unless keep is given, the ones there are become worthless; voided is how many.
func (s Seals) Make(ctx context.Context, n int, roles []string, by string, keep bool) (made []Sealed, voided int, err error) {
	old, err := s.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	if n < 1 || n > MaxSeals || keep && n+len(old) > MaxSeals {
		return nil, 0, fmt.Errorf("there can be 1 to %d codes at a time", MaxSeals)
	}
	if !keep {
		gone, err := s.Store.DeleteIndexed(ctx, sealBucket, allSeals)
		if err != nil {
			return nil, 0, fmt.Errorf("voiding the codes: %w", err)
		}
		voided = len(gone)
	}
	for range n {
		one := Sealed{Seal{newCode(nameLength), roles, time.Now().UTC().Truncate(time.Second), by}, newCode(codeLength)}
		if err := s.put(ctx, keyOf(sealBucket, one.Code), one.Seal, store.PutOptions{Match: store.Absent, Index: []string{allSeals}}); err != nil {
			return nil, voided, err
		}
		one.Code = printed(one.Code)
		made = append(made, one)
	}
	return made, voided, nil
}

const allSeals = "all"

// List returns the codes that nobody has used, by name.
func (s Seals) List(ctx context.Context) ([]Seal, error) {
	var all []Seal
	for item, err := range s.Store.Scan(ctx, sealBucket, "") {
		if err != nil {
			return nil, fmt.Errorf("listing the codes: %w", err)
		}
		var one Seal
		if err := s.open(item, &one); err == nil { // of keys that are no more, it cannot be used either
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Seal) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Break uses a code up, and returns what it was, or ErrSeal. Of any number of callers one gets it.
func (s Seals) Break(ctx context.Context, typed string) (Seal, error) {
	code := canonicalCode(typed)
	if code == "" {
		return Seal{}, ErrSeal
	}
	return s.take(ctx, keyOf(sealBucket, code))
}

func (s Seals) take(ctx context.Context, k store.Key) (one Seal, err error) {
	item, err := s.Store.Take(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return Seal{}, ErrSeal
	}
	if err != nil {
		return Seal{}, fmt.Errorf("breaking a seal: %w", err)
	}
	if err := s.open(item, &one); err != nil {
		return Seal{}, ErrSeal
	}
	return one, nil
}

// Note remembers that a code was used.
func (s Seals) Note(ctx context.Context, u Use) error {
	id := fmt.Sprintf("%d.%s", u.When.UnixNano(), u.Seal)
	return s.put(ctx, store.Key{Bucket: usedBucket, ID: id}, u, store.PutOptions{TTL: usedFor})
}

// Uses returns which codes were used, the last one first.
func (s Seals) Uses(ctx context.Context) ([]Use, error) {
	var all []Use
	for item, err := range s.Store.Scan(ctx, usedBucket, "") {
		if err != nil {
			return nil, fmt.Errorf("listing used codes: %w", err)
		}
		var u Use
		if err := s.open(item, &u); err == nil {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b Use) int { return b.When.Compare(a.When) })
	return all, nil
}

// Link returns a token with which the seal, which was broken, opens a session within five minutes, once.
func (s Seals) Link(ctx context.Context, broken Seal) (string, error) {
	token := newCode(2 * codeLength)
	return token, s.put(ctx, keyOf(linkBucket, token), broken, store.PutOptions{Match: store.Absent, TTL: linkLife})
}

// Linked reports whether the token would work now.
func (s Seals) Linked(ctx context.Context, token string) (bool, error) {
	_, err := s.Store.Get(ctx, keyOf(linkBucket, token))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Follow uses the token up and returns its seal, or ErrSeal.
func (s Seals) Follow(ctx context.Context, token string) (Seal, error) {
	return s.take(ctx, keyOf(linkBucket, token))
}

func (s Seals) put(ctx context.Context, k store.Key, v any, o store.PutOptions) error {
	plain, err := json.Marshal(v)
	if err == nil {
		_, err = s.Store.Put(ctx, k, s.Keys.Seal(purpose, plain, []byte(string(k.Bucket)+"\x00"+k.ID)), o)
	}
	if err != nil {
		return fmt.Errorf("writing to %s: %w", k.Bucket, err)
	}
	return nil
}

func (s Seals) open(item store.Item, v any) error {
	plain, err := s.Keys.OpenStored(purpose, item.Value, []byte(string(item.Key.Bucket)+"\x00"+item.Key.ID))
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}
