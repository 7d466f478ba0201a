package standing

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"gatehouse.internal/modules/internal/store"
)

// State is what was decided about a person.
type State string

// The states. Unknown is the zero value: nobody has decided anything.
const (
	Unknown  State = ""
	Pending  State = "pending"  // waits for an administrator
	Approved State = "approved" // may log in
	Rejected State = "rejected" // was not approved
	Disabled State = "disabled" // was approved, and may not now
	Deleted  State = "deleted"  // had an account once; its name may not be somebody else's by accident
)

// Allows reports whether people in this state may use the house.
func (s State) Allows() bool { return s == Unknown || s == Approved }

// Person is somebody as an identity provider knows them; see identity.Identity.
type Person struct {
	Provider string `json:"provider"`
	Subject  string `json:"subject"`
}

// String names the person as logs do.
func (p Person) String() string { return p.Provider + ":" + p.Subject }

// Record is what is known of a person's standing.
type Record struct {
	Person
	State State `json:"state,omitempty"`
	// NotBefore voids what was issued to the person before; zero: nothing.
	NotBefore time.Time `json:"not_before,omitzero"`

	Asked   time.Time `json:"asked,omitzero"`   // when they first wanted to log in, or the account was made
	Changed time.Time `json:"changed,omitzero"` // when State was set
	By      string    `json:"by,omitempty"`     // who set it: an operator's name, "" for the gateway itself
	Note    string    `json:"note,omitempty"`   // why

	// What the provider called them when they asked, for administrators to decide by.
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// Allows reports whether what was issued to the person at that time counts.
func (r Record) Allows(issued time.Time) bool {
	return r.State.Allows() && !issued.Before(r.NotBefore)
}

// id names a person in the store and in memory.
type id [sha256.Size]byte

func idOf(provider, subject string) id {
	var buf [256]byte // on the stack, for names of usual length
	b := append(append(append(buf[:0], provider...), 0), subject...)
	return sha256.Sum256(b)
}

func (i id) key() store.Key { return store.Key{Bucket: bucket, ID: hex.EncodeToString(i[:])} }

// idIn is key's inverse.
func idIn(key string) (i id, ok bool) {
	if len(key) != 2*len(i) {
		return i, false
	}
	_, err := hex.Decode(i[:], []byte(key))
	return i, err == nil
}

func (b *Book) open(item store.Item) (Record, error) {
	plain, err := b.keys.OpenStored(purpose, item.Value, []byte(item.Key.ID))
	if err != nil {
		return Record{}, fmt.Errorf("opening the record of somebody's standing: %w", err)
	}
	var r Record
	if err := json.Unmarshal(plain, &r); err != nil {
		return Record{}, fmt.Errorf("the record of somebody's standing: %w", store.ErrCorrupt)
	}
	return r, nil
}
