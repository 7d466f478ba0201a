package chain

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"gatehouse.internal/modules/internal/event"
)

// What records say of a person is sealed under a key of that person's. The keys are in one file, in slots of equal size, so that
// one can be destroyed where it stands. A record names its key by a random id: when the key is gone, nothing leads from a name to
// the records.

const (
	subjectsFile = "subjects"
	hashSize     = 16
	idSize       = 8
	slotSize     = hashSize + idSize + chacha20poly1305.KeySize
	userAttr     = "user"
)

// doers are the facts that say who did it, which stay readable when whom it was done to is erased.
var doers = []string{"operator", "peer", "peer_process"}

// subject is one slot.
type subject struct {
	id  string
	key []byte
	at  int64 // in the file
}

// subjects are the keys of a chain's people. It is safe for concurrent use.
type subjects struct {
	mu     sync.Mutex
	file   *os.File                   // guarded by mu; nil: it is only read, or cannot be written
	size   int64                      // guarded by mu
	byName map[[hashSize]byte]subject // guarded by mu
	byID   map[string][]byte          // guarded by mu
}

func nameHash(name string) (h [hashSize]byte) {
	sum := sha256.Sum256([]byte("subject\x00" + name))
	return [hashSize]byte(sum[:hashSize])
}

// readSubjects reads the keys that are there: none, where there is no file.
func readSubjects(dir string) (*subjects, error) {
	s := &subjects{byName: map[[hashSize]byte]subject{}, byID: map[string][]byte{}}
	text, err := os.ReadFile(filepath.Join(dir, subjectsFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for ; int64(len(text))-s.size >= slotSize; s.size += slotSize { // a torn slot at the end was never used
		slot := text[s.size : s.size+slotSize]
		if name := [hashSize]byte(slot[:hashSize]); name != ([hashSize]byte{}) {
			one := subject{hex.EncodeToString(slot[hashSize : hashSize+idSize]), slot[hashSize+idSize:], s.size}
			s.byName[name], s.byID[one.id] = one, one.key
		}
	}
	return s, nil
}

// openSubjects is readSubjects, to write as well.
func openSubjects(dir string) (*subjects, error) {
	s, err := readSubjects(dir)
	if err != nil {
		return nil, err
	}
	return s, s.reopen(dir)
}

// reopen opens the file anew. After an error it stays closed.
func (s *subjects) reopen(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.Close() // what it says of earlier writes is known to be bad
		s.file = nil
	}
	f, err := os.OpenFile(filepath.Join(dir, subjectsFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(s.size), syncDir(dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	s.file = f
	return nil
}

// of returns the person's key, made and on the disk.
func (s *subjects) of(name string) (subject, error) {
	h := nameHash(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.byName[h]; ok {
		return one, nil
	}
	slot := make([]byte, slotSize)
	copy(slot, h[:])
	_, _ = rand.Read(slot[hashSize:]) // never fails: it ends the program instead
	if _, err := s.file.WriteAt(slot, s.size); err != nil {
		return subject{}, fmt.Errorf("keeping a person's key: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return subject{}, fmt.Errorf("keeping a person's key: %w", err)
	}
	one := subject{hex.EncodeToString(slot[hashSize : hashSize+idSize]), slot[hashSize+idSize:], s.size}
	s.byName[h], s.byID[one.id], s.size = one, one.key, s.size+slotSize
	return one, nil
}

// destroy overwrites the person's key, and reports whether there was one.
func (s *subjects) destroy(name string) (bool, error) {
	h := nameHash(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.byName[h]
	if !ok {
		return false, nil
	}
	if _, err := s.file.WriteAt(make([]byte, slotSize), one.at); err != nil {
		return false, fmt.Errorf("destroying a person's key: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return false, fmt.Errorf("destroying a person's key: %w", err)
	}
	clear(one.key)
	delete(s.byName, h)
	delete(s.byID, one.id)
	return true, nil
}

func (s *subjects) close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// subjectOf returns whom an event is about: its user, or whom an administrator names. "" is nobody.
func subjectOf(e *event.Event) string {
	if e.User != "" {
		return e.User
	}
	for _, a := range e.Attrs {
		if provider, subject, ok := strings.Cut(a.Value, ":"); ok && a.Key == userAttr && provider != "" && subject != "" {
			return a.Value
		}
	}
	return ""
}

// seal returns what is kept of p in the clear, which is who did it, with the rest sealed for the person.
func (s *subjects) seal(p personal, name string, seq int64) (personal, error) {
	one, err := s.of(name)
	if err != nil {
		return p, err
	}
	outer := personal{Salt: p.Salt, Subject: one.id}
	var inside [][2]string
	for _, a := range p.Attrs {
		if slices.Contains(doers, a[0]) {
			outer.Attrs = append(outer.Attrs, a)
		} else {
			inside = append(inside, a)
		}
	}
	p.Salt, p.Attrs = "", inside
	plain, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	box, err := chacha20poly1305.NewX(recordKey(one.key, seq))
	if err != nil {
		return p, err
	}
	nonce := make([]byte, box.NonceSize(), box.NonceSize()+len(plain)+box.Overhead())
	_, _ = rand.Read(nonce) // never fails
	outer.Sealed = box.Seal(nonce, nonce, plain, nil)
	return outer, nil
}

// recordKey is the key of one record: it can be told without the person's.
func recordKey(key []byte, seq int64) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(strconv.AppendInt([]byte("record "), seq, 10))
	return h.Sum(nil)
}

// keyOf returns the record's key; nil when nothing is sealed in it, or its person's key is not here.
func (s *subjects) keyOf(r *Record) []byte {
	if r.Personal == nil || r.Personal.Subject == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, ok := s.byID[r.Personal.Subject]; ok {
		return recordKey(key, r.Seq)
	}
	return nil
}

// open replaces what is sealed in the record by what it says, or says that it is erased: that the key is not here. It reports whether
// there is a key that is another one. Nobody vouches for the file of keys: what is damaged there is no fault of the record.
func (s *subjects) open(r *Record) (damaged bool) {
	if r.Personal == nil || r.Personal.Subject == "" {
		return false
	}
	r.key = s.keyOf(r)
	damaged = r.key != nil && r.unseal(r.key) != nil
	if r.key == nil || damaged {
		r.key, r.Erased = nil, true
	}
	return damaged
}

// unseal opens the record with its key.
func (r *Record) unseal(key []byte) error {
	box, err := chacha20poly1305.NewX(key)
	p := r.Personal
	if err != nil || p == nil || len(p.Sealed) < chacha20poly1305.NonceSizeX {
		return errPersonal
	}
	plain, err := box.Open(nil, p.Sealed[:chacha20poly1305.NonceSizeX], p.Sealed[chacha20poly1305.NonceSizeX:], nil)
	if err != nil {
		return errPersonal
	}
	inner := personal{}
	if err := json.Unmarshal(plain, &inner); err != nil {
		return errPersonal
	}
	inner.Salt, inner.Attrs = p.Salt, append(inner.Attrs, p.Attrs...)
	r.Personal = &inner
	return nil
}

// gone reports whether a personal part is sealed with a key that is not here. It is read without a JSON parser, as others verify.
func (s *subjects) gone(aside []byte) bool {
	_, after, ok := bytes.Cut(aside, []byte(`,"subject":"`))
	id, rest, whole := bytes.Cut(after, []byte{'"'})
	if !ok || !whole || !bytes.HasPrefix(rest, []byte(`,"sealed":"`)) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, here := s.byID[string(id)]
	return !here
}

// EraseSubject destroys the key of a person's, so that nobody can read any more what the records before say of them. What is
// recorded later has another key. It reports whether there was one.
func (c *Chain) EraseSubject(name string) (bool, error) { return c.people.destroy(name) }

// HasSubject reports whether there is such a key.
func (c *Chain) HasSubject(name string) bool {
	h := nameHash(name)
	c.people.mu.Lock()
	defer c.people.mu.Unlock()
	_, ok := c.people.byName[h]
	return ok
}
