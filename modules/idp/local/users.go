package local

import (
	"context"
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

const userBucket store.Bucket = "user"

const userPurpose = "local.user"

var (
	// ErrName says that a text is no user name.
	ErrName = errors.New("not a user name: use 1 to 64 of a-z, 0-9 and . _ @ -")
	// ErrExists says that the user name is taken.
	ErrExists = errors.New("the user exists")
	// ErrNoUser says that there is no such user.
	ErrNoUser = errors.New("no such user")
	// ErrWrong says that a name and a password do not belong together, whichever of them is wrong.
	ErrWrong = errors.New("wrong user name or password")
)

// User is an account. Name is canonical and is the subject of its identity: it names the same person as long as the
// account exists. Who deletes an account must end its sessions, since the name may then be given to somebody else.
type User struct {
	Name            string    `json:"name"`
	Roles           []string  `json:"roles,omitempty"`
	Hash            string    `json:"hash"` // PHC, or bcrypt when imported; "": nobody's, until a link was used
	Created         time.Time `json:"created"`
	PasswordChanged time.Time `json:"password_changed"`

	Title     string    `json:"title,omitempty"` // what people call them
	Email     string    `json:"email,omitempty"` // as the administrator says
	Change    Change    `json:"change,omitempty"`
	LastLogin time.Time `json:"last_login,omitzero"` // to the hour

	version uint64 // of the record it was read from
}

// Change is why a person must choose a new password before they get in; "": they need not.
type Change string

// The reasons.
const (
	Compromised Change = "compromised" // an administrator suspects that somebody else knows it
	Leaked      Change = "leaked"      // it stands in the list of known ones by now
	TooWeak     Change = "too_weak"    // it was imported, and would not be accepted if it were new
)

// String names the user, so that no stray verb prints the hash.
func (u User) String() string { return u.Name }

// GoString names the user.
func (u User) GoString() string { return u.Name }

// Users keeps the accounts of one provider. It is safe for concurrent use, on any number of nodes.
type Users struct {
	Store       store.Store
	Keys        *keyring.Ring
	Hasher      *Hasher
	Provider    string
	MinPassword int
	Cost        params    // of new hashes
	Breached    *Breached // nil: no list
}

// key is a hash, so that the store's file does not list who has an account. Records are sealed to their key.
func (s *Users) key(name string) store.Key {
	sum := sha256.Sum256([]byte(s.Provider + "\x00" + name))
	return store.Key{Bucket: userBucket, ID: hex.EncodeToString(sum[:])}
}

func (s *Users) index() string { return "provider:" + s.Provider }

// New returns an account that is not stored yet, or ErrName, ErrPasswordShort, ErrPasswordLong, ErrPasswordWeak or ErrBusy.
func (s *Users) New(ctx context.Context, typedName, password string, roles []string) (User, error) {
	name, ok := CanonicalName(typedName)
	if !ok {
		return User{}, ErrName
	}
	hash, err := s.newHash(ctx, name, password)
	if err != nil {
		return User{}, err
	}
	now := now()
	return User{Name: name, Roles: slices.Clone(roles), Hash: hash, Created: now, PasswordChanged: now}, nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

func (s *Users) newHash(ctx context.Context, name, password string) (string, error) {
	password, err := canonicalPassword(password)
	if err != nil {
		return "", err
	}
	if err := s.judge(password, name); err != nil {
		return "", err
	}
	return s.Hasher.Hash(ctx, s.Cost, password)
}

// judge says whether a canonical password may be used from now on.
func (s *Users) judge(password, name string) error {
	if err := checkPassword(password, name, s.MinPassword); err != nil {
		return err
	}
	if s.Breached == nil {
		return nil
	}
	known, err := s.Breached.Has(password)
	switch {
	case err != nil:
		return err
	case known:
		return ErrPasswordLeaked
	}
	return nil
}

// Create stores a new account, or returns ErrExists.
func (s *Users) Create(ctx context.Context, u User) error {
	err := s.put(ctx, u, store.PutOptions{Match: store.Absent})
	if errors.Is(err, store.ErrConflict) {
		return ErrExists
	}
	return err
}

// Get returns the account, or ErrNoUser.
func (s *Users) Get(ctx context.Context, typedName string) (User, error) {
	name, ok := CanonicalName(typedName)
	if !ok {
		return User{}, ErrNoUser
	}
	item, err := s.Store.Get(ctx, s.key(name))
	if errors.Is(err, store.ErrNotFound) {
		return User{}, ErrNoUser
	}
	if err != nil {
		return User{}, fmt.Errorf("reading a user: %w", err)
	}
	return s.open(item)
}

// SetPassword changes the password of an account, or returns ErrNoUser, ErrPasswordSame or what New does. It is for whoever
// has proven that the account is theirs: what made a change necessary is over.
func (s *Users) SetPassword(ctx context.Context, typedName, password string) error {
	u, err := s.Get(ctx, typedName)
	if err != nil {
		return err
	}
	hash, err := s.newHash(ctx, u.Name, password)
	if err != nil {
		return err
	}
	if u.Hash != "" {
		canonical, _ := canonicalPassword(password) // newHash has accepted it
		same, err := s.Hasher.Same(ctx, canonical, u.Hash)
		if err != nil {
			return fmt.Errorf("checking a password: %w", err)
		}
		if same {
			return ErrPasswordSame
		}
	}
	_, err = s.Update(ctx, u.Name, func(u *User) error {
		u.Hash, u.PasswordChanged, u.Change = hash, now(), ""
		return nil
	})
	return err
}

// updates bound how often a change is tried against others.
const updates = 8

// Update has change alter the account, and stores it; change may be called more than once, and must not touch the name.
// When it returns an error, nothing is written and Update returns that error.
func (s *Users) Update(ctx context.Context, typedName string, change func(*User) error) (User, error) {
	for range updates {
		u, err := s.Get(ctx, typedName)
		if err != nil {
			return User{}, err
		}
		if err := change(&u); err != nil {
			return u, err
		}
		err = s.put(ctx, u, store.PutOptions{Match: store.Version, Version: u.version})
		if !errors.Is(err, store.ErrConflict) {
			return u, err
		}
	}
	return User{}, fmt.Errorf("writing a user: %w", store.ErrConflict)
}

// Delete removes an account; one that is not there is no error.
func (s *Users) Delete(ctx context.Context, typedName string) error {
	name, ok := CanonicalName(typedName)
	if !ok {
		return nil
	}
	if err := s.Store.Delete(ctx, s.key(name)); err != nil {
		return fmt.Errorf("deleting a user: %w", err)
	}
	return nil
}

// List returns all accounts by name.
func (s *Users) List(ctx context.Context) ([]User, error) {
	var all []User
	for item, err := range s.Store.Scan(ctx, userBucket, s.index()) {
		if err != nil {
			return nil, fmt.Errorf("listing users: %w", err)
		}
		u, err := s.open(item)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Count returns how many accounts there are, readable or not: records under a lost key still mean that the house has users.
func (s *Users) Count(ctx context.Context) (n int, err error) {
	for _, err := range s.Store.Scan(ctx, userBucket, s.index()) {
		if err != nil {
			return 0, fmt.Errorf("counting users: %w", err)
		}
		n++
	}
	return n, nil
}

// Any reports whether there is an account. It reads one.
func (s *Users) Any(ctx context.Context) (bool, error) {
	for _, err := range s.Store.Scan(ctx, userBucket, s.index()) {
		if err != nil {
			return false, fmt.Errorf("looking for users: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// Authenticate returns the account that the name and the password belong to, or ErrWrong, or ErrBusy. Whether the name
// is unknown, malformed or right, it makes one hash; and one more when the right password has an outdated one. The account
// says in Change whether the password must be changed before anything else.
func (s *Users) Authenticate(ctx context.Context, typedName, password string) (User, error) {
	u, err := s.Get(ctx, typedName)
	if err != nil && !errors.Is(err, ErrNoUser) {
		return User{}, err
	}
	canonical, badPassword := canonicalPassword(password)
	ok, outdated, err := s.Hasher.Verify(ctx, s.Cost, canonical, u.Hash)
	if err != nil {
		return User{}, fmt.Errorf("checking a password: %w", err)
	}
	if !ok || badPassword != nil {
		return User{}, ErrWrong
	}
	changed := time.Since(u.LastLogin) > time.Hour
	if changed {
		u.LastLogin = now()
	}
	if outdated {
		if hash, err := s.Hasher.Hash(ctx, s.Cost, canonical); err == nil {
			u.Hash, changed = hash, true
		}
	}
	if changed { // as good as done: what is there serves until a later login, also when another one was faster
		_ = s.put(ctx, u, store.PutOptions{Match: store.Version, Version: u.version})
	}
	if u.Change == "" {
		u.Change = s.needs(canonical, u.Name)
	}
	return u, nil
}

// needs says whether a password that is right should not be used any longer. That the list of leaked ones cannot be read
// keeps nobody out: it is said where a new password is chosen.
func (s *Users) needs(canonical, name string) Change {
	switch err := s.judge(canonical, name); {
	case errors.Is(err, ErrPasswordLeaked):
		return Leaked
	case errors.Is(err, ErrPasswordShort), errors.Is(err, ErrPasswordWeak):
		return TooWeak
	}
	return ""
}

func (s *Users) put(ctx context.Context, u User, o store.PutOptions) error {
	plain, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("writing a user: %w", err)
	}
	key := s.key(u.Name)
	o.Index = []string{s.index()}
	if _, err := s.Store.Put(ctx, key, s.Keys.Seal(userPurpose, plain, []byte(key.ID)), o); err != nil {
		return fmt.Errorf("writing a user: %w", err)
	}
	return nil
}

func (s *Users) open(item store.Item) (User, error) {
	plain, err := s.Keys.OpenStored(userPurpose, item.Value, []byte(item.Key.ID))
	if err != nil {
		return User{}, fmt.Errorf("opening a user's record: %w", err)
	}
	u := User{version: item.Version}
	if err := json.Unmarshal(plain, &u); err != nil {
		return User{}, fmt.Errorf("a user's record: %w", store.ErrCorrupt)
	}
	return u, nil
}
