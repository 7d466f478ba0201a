package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"filippo.io/age"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/wholefile"
)

const (
	logbookName = "backup.json" // in the state directory
	sealPurpose = "backup"
	timeForm    = "20060102T150405Z"
)

// Source is what is backed up.
type Source struct {
	Store store.Store
	Ring  *keyring.Ring
	Keys  string // the file with Ring's keys; "": they are left out
	Audit string // its directory
	// Publish has the audit log publish a checkpoint of what is there. May be nil.
	Publish func()
	Host    string
	Version string
}

// Plan says what becomes of backups.
type Plan struct {
	Recipients []age.Recipient
	Dir        string // must exist
	Keep       int    // how many; zero: all
}

// Made is a backup that was made.
type Made struct {
	File   string               `json:"file"` // its name in the directory
	Time   time.Time            `json:"time"`
	SHA256 string               `json:"sha256"`
	Bytes  int64                `json:"bytes"`
	Store  bool                 `json:"store"`
	Keys   bool                 `json:"keys"`
	Items  map[store.Bucket]int `json:"items,omitempty"`
	Audit  int64                `json:"audit"`
	Took   time.Duration        `json:"took"` // nanoseconds
	// Carried is when a program has taken it elsewhere; zero: none has.
	Carried time.Time `json:"carried,omitzero"`
}

// Logbook is what a gateway remembers of its backups. It outlives restarts.
type Logbook struct {
	Since    time.Time `json:"since"` // when the gateway was first told to make any
	Made     *Made     `json:"made,omitempty"`
	Verified *Report   `json:"verified,omitempty"` // the last test restore that went well
	Failed   string    `json:"failed,omitempty"`   // why the last one could not be made; "": it could
	Tried    time.Time `json:"tried,omitzero"`
	// Last is the last backup that is elsewhere, where backups are carried; nil: none is.
	Last *Made `json:"last_carried,omitempty"`
	// Uncarried is why the last one could not be carried; "": it could, or nobody tried. CarryTried is when that was.
	Uncarried  string    `json:"uncarried,omitempty"`
	CarryTried time.Time `json:"carry_tried,omitzero"`
	// CarrySince is when the gateway was first told to have them carried; zero: it is not.
	CarrySince time.Time `json:"carry_since,omitzero"`
}

// Shelf makes backups, one at a time. Make one with [OpenShelf]; it is safe for concurrent use.
type Shelf struct {
	state string // the state directory

	making   sync.Mutex // held while one is made
	carrying sync.Mutex // held while one is carried, which may take long: others are made meanwhile
	mu       sync.Mutex
	book     Logbook // guarded by mu
}

// OpenShelf reads what a gateway with this state directory remembers.
func OpenShelf(state string, now time.Time) (*Shelf, error) {
	s := &Shelf{state: state}
	text, err := os.ReadFile(filepath.Join(state, logbookName))
	if err == nil {
		err = json.Unmarshal(text, &s.book)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: remove it, and verify a backup anew", logbookName, err)
	}
	if s.book.Since.IsZero() {
		s.book.Since = now.UTC()
	}
	return s, s.note(func(*Logbook) {})
}

// Destruct waits for a backup that is being made or carried.
func (s *Shelf) Destruct() error {
	s.making.Lock()
	defer s.making.Unlock()
	s.carrying.Lock()
	defer s.carrying.Unlock()
	return nil
}

// Book returns what is remembered.
func (s *Shelf) Book() Logbook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.book
}

func (s *Shelf) note(change func(*Logbook)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.book)
	text, err := json.Marshal(s.book)
	if err != nil {
		return err
	}
	return wholefile.Replace(filepath.Join(s.state, logbookName), text)
}

// Verified notes a test restore.
func (s *Shelf) Verified(r Report) error { return s.note(func(b *Logbook) { b.Verified = &r }) }

// Make makes a backup now, and then removes those that are too many.
func (s *Shelf) Make(ctx context.Context, from Source, p Plan, now time.Time) (Made, error) {
	s.making.Lock()
	defer s.making.Unlock()
	m, err := s.make(ctx, from, p, now)
	noted := s.note(func(b *Logbook) {
		b.Tried, b.Failed = now.UTC(), ""
		if err != nil {
			b.Failed = err.Error()
		} else {
			b.Made = &m
		}
	})
	if err == nil {
		err = prune(p, from.Host)
	}
	return m, errors.Join(err, noted)
}

func (s *Shelf) make(ctx context.Context, from Source, p Plan, now time.Time) (m Made, err error) {
	began := time.Now()
	if info, err := os.Stat(p.Dir); err != nil {
		return m, err // it is not made: a file system that is not mounted would be taken for one that is
	} else if !info.IsDir() {
		return m, fmt.Errorf("%s is no directory", p.Dir)
	}
	scratch, err := os.MkdirTemp(s.state, ".backup-*") // mode 0700
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(scratch)
	a := Archive{Time: now.UTC().Truncate(time.Second), Host: from.Host, Version: from.Version, Seal: from.Ring.Seal(sealPurpose, []byte(from.Host), nil)}
	if a.Store, err = snapshot(ctx, from.Store, filepath.Join(scratch, storeName)); err != nil {
		return m, fmt.Errorf("copying the store: %w", err)
	}
	if a.Store {
		if a.Items, err = store.Inspect(filepath.Join(scratch, storeName)); err != nil {
			return m, fmt.Errorf("reading the copy of the store: %w", err)
		}
	}
	if from.Keys != "" {
		text, err := os.ReadFile(from.Keys)
		if err == nil {
			err = os.WriteFile(filepath.Join(scratch, keysName), text, 0o600)
		}
		if err != nil {
			return m, fmt.Errorf("copying the keys: %w", err)
		}
		a.Keys = true
	}
	if from.Publish != nil {
		from.Publish()
	}
	if a.Audit, err = chain.Copy(from.Audit, filepath.Join(scratch, auditName), now); err != nil {
		return m, fmt.Errorf("copying the audit log: %w", err)
	}
	m = Made{File: nameOf(from.Host, a.Time), Time: a.Time, Store: a.Store, Keys: a.Keys, Items: a.Items, Audit: a.Audit}
	sum := sha256.New()
	err = wholefile.Write(filepath.Join(p.Dir, m.File), func(w io.Writer) error {
		size := &counted{}
		err := Pack(io.MultiWriter(w, sum, size), scratch, a, p.Recipients...)
		m.Bytes = size.n
		return err
	})
	m.SHA256, m.Took = hex.EncodeToString(sum.Sum(nil)), time.Since(began)
	return m, err
}

// snapshot copies the store into a file; false: it cannot be, because it is on a server.
func snapshot(ctx context.Context, st store.Store, path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	err = st.Snapshot(ctx, f)
	closed := f.Close()
	if errors.Is(err, errors.ErrUnsupported) {
		return false, os.Remove(path)
	}
	return true, errors.Join(err, closed)
}

type counted struct{ n int64 }

func (c *counted) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

var (
	hostForm = regexp.MustCompile(`[^a-zA-Z0-9.]+`)
	nameForm = regexp.MustCompile(`^gatehouse-([a-zA-Z0-9.]*)-([0-9]{8}T[0-9]{6}Z)\.age$`)
)

func nameOf(host string, at time.Time) string {
	return "gatehouse-" + hostForm.ReplaceAllString(host, "") + "-" + at.UTC().Format(timeForm) + ".age"
}

// Entry is a file in the directory of backups.
type Entry struct {
	File  string    `json:"file"`
	Host  string    `json:"host"`
	Time  time.Time `json:"time"`
	Bytes int64     `json:"bytes"`
}

// List returns the backups in a directory, of all hosts, the oldest first. Other files are left out.
func List(dir string) (all []Entry, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		m := nameForm.FindStringSubmatch(f.Name())
		if m == nil || !f.Type().IsRegular() {
			continue
		}
		at, err := time.Parse(timeForm, m[2])
		info, infoErr := f.Info()
		if err == nil && infoErr == nil {
			all = append(all, Entry{f.Name(), m[1], at, info.Size()})
		}
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	return all, nil
}

// prune removes the oldest backups of the host beyond those that are kept.
func prune(p Plan, host string) error {
	all, err := List(p.Dir)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(e Entry) bool { return e.Host != hostForm.ReplaceAllString(host, "") })
	for n := len(all) - p.Keep; p.Keep > 0 && n > 0; n-- {
		err = errors.Join(err, os.Remove(filepath.Join(p.Dir, all[0].File)))
		all = all[1:]
	}
	return err
}
