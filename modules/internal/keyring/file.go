package keyring

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/wholefile"
)

// maxFile is far more than a key file ever holds.
const maxFile = 64 << 10

// ErrPermissions: others than the owner may read or write the key file.
var ErrPermissions = errors.New("keyring: key file lets others in")

const (
	// Lead is how long a new key is known before it is used: by then every gateway has it, and every application has asked for the
	// keys that verify what it is told.
	Lead = 10 * time.Minute
	// Overlap is how long the newest key must have been in use before older ones may be retired: twice as long as a login lasts,
	// unless the house says otherwise.
	Overlap = 24 * time.Hour
)

const (
	fileHead = "# Gatehouse master keys: id, the time from which it seals and signs, key. Older ones still open and verify; with the\n" +
		"# word retired behind it, one only opens what is in the store. See gatehouse keys.\n"
	retiredWord = "retired"
)

// ErrNotYet: a key may not be retired yet.
var ErrNotYet = errors.New("keyring: too early to retire a key")

// Load reads the key file. The errors are those of the file system, ErrPermissions, ErrNoKeys, ErrDuplicate, or name a line.
func Load(path string) (*Ring, error) {
	ring, _, err := load(path)
	return ring, err
}

// Create writes a key file with one new key, 0600, in a directory that must exist. It never overwrites: errors.Is(err, fs.ErrExist).
func Create(path string) (*Ring, error) {
	k := Generate()
	if err := create(path, k); err != nil {
		return nil, fmt.Errorf("creating key file %q: %w", path, err)
	}
	return New(k)
}

// LoadOrCreate loads the key file, or creates it if there is none; created says so. The caller should tell the operator: where a key file was
// expected, as on a volume that is not mounted, nothing sealed before will open. Of processes that race to create it, all get the same ring.
func LoadOrCreate(path string) (ring *Ring, created bool, err error) {
	ring, err = Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, false, err
	}
	ring, err = Create(path)
	if errors.Is(err, fs.ErrExist) {
		ring, err = Load(path)
		return ring, false, err
	}
	return ring, err == nil, err
}

// Rotate adds a new key to the key file, active from then on, and returns the new ring. Readers see the old file or the new one;
// comments are kept. Two changes at once: one fails with fs.ErrExist. Every gateway needs the new file before it is active.
func Rotate(path string, from time.Time) (*Ring, error) {
	ring, err := rewrite(path, func(old *Ring, text []byte) ([]byte, error) {
		k := generate(from)
		for _, w := range old.Keys()[1:] {
			if w.From().After(k.From()) && !w.Retired() {
				return nil, fmt.Errorf("%w: key %s waits, and would take over from one that is made now: retire it first", ErrNotYet, w.ID())
			}
		}
		if active := old.Keys()[0].From(); k.From().Before(active) {
			k.reveal().from = active // made under a clock that was ahead; of two as old the later line is active
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		return append(text, k.line()...), nil
	})
	if err != nil {
		return nil, fmt.Errorf("rotating key file %q: %w", path, err)
	}
	return ring, nil
}

// Retire has the key of that id open stored boxes alone, and returns the new ring. It refuses while the key is active or the one
// before was not active for Overlap, by ErrNotYet; atOnce: only while the key is active.
func Retire(path, id string, atOnce bool) (*Ring, error) {
	ring, err := rewrite(path, func(old *Ring, text []byte) ([]byte, error) {
		active := old.Keys()[0]
		if active.ID() == id {
			return nil, fmt.Errorf("%w: key %s is the one that seals and signs: rotate first", ErrNotYet, id)
		}
		if until := active.From().Add(Overlap); !atOnce && time.Now().Before(until) {
			return nil, fmt.Errorf("%w: what key %s made is honoured until %s", ErrNotYet, id, until.Format(time.DateTime))
		}
		return retireLine(text, id)
	})
	if err != nil {
		return nil, fmt.Errorf("retiring a key of %q: %w", path, err)
	}
	return ring, nil
}

// retireLine marks the line of the key.
func retireLine(text []byte, id string) (changed []byte, err error) {
	found := false
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) == 3 && fields[0] == id {
			found = true
			line = []byte(strings.TrimRight(string(line), "\r\n") + " " + retiredWord + "\n")
		}
		changed = append(changed, line...)
	}
	if !found {
		return nil, fmt.Errorf("%w: %q is not one of the keys that are in use", ErrUnknownKey, id)
	}
	return changed, nil
}

// rewrite has change make the file's new text, which is put in its place whole, and returns the ring of it.
func rewrite(path string, change func(old *Ring, text []byte) ([]byte, error)) (*Ring, error) {
	// The rename must replace the file, not a link to it.
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	temp := path + ".rotating"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // also the lock against another change
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("another rotation is running, or was interrupted; if so, run: rm %s: %w", temp, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if temp != "" {
			_ = os.Remove(temp)
		}
	}()
	old, text, err := load(path)
	if err == nil {
		text, err = change(old, text)
	}
	var ring *Ring
	if err == nil {
		ring, err = parse(text)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := likeBefore(f, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := writeSync(f, text); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, err
	}
	temp = "" // from here on the name may be another change's
	return ring, syncDir(filepath.Dir(path))
}

// likeBefore has the new file belong to whom the old one does, with its mode: the service must read what root has rotated.
func likeBefore(f *os.File, path string) error {
	old, err := os.Stat(path)
	if err == nil {
		err = errors.Join(wholefile.Give(f, old), f.Chmod(old.Mode().Perm()))
	}
	return err
}

// create writes the file aside and links it into place: it is there whole or not at all, and never in the place of another.
func create(path string, k Key) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".gatehouse-keys-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := writeSync(f, []byte(fileHead+k.line())); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSync(f *os.File, b []byte) error {
	_, err := f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func load(path string) (*Ring, []byte, error) {
	text, err := read(path)
	if err != nil {
		return nil, nil, fmt.Errorf("loading key file %q: %w", path, err)
	}
	ring, err := parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("loading key file %q: %w", path, err)
	}
	return ring, text, nil
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // before it is opened: opening a pipe would wait
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil { // what was opened is what counts
		return nil, err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%w: mode %04o; run: chmod 600 %s", ErrPermissions, perm, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	return text, err
}

// parse reads a key file's text. Its errors name lines, and hold nothing of them.
func parse(text []byte) (*Ring, error) {
	var keys []Key
	n := 0
	for line := range bytes.Lines(text) {
		n++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		k, err := parseLine(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		keys = append(keys, k)
	}
	return New(keys...)
}

func parseLine(fields []string) (Key, error) {
	retired := len(fields) == 4 && fields[3] == retiredWord
	if len(fields) != 3 && !retired {
		return Key{}, fmt.Errorf("%d fields, want id, time and key, and the word %s or nothing", len(fields), retiredWord)
	}
	from, err := time.Parse(time.RFC3339, fields[1])
	if err != nil {
		return Key{}, errors.New("the time is not an RFC 3339 one")
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(fields[2])
	if err != nil {
		return Key{}, errors.New("key is not base64")
	}
	k, err := NewKey(secret, from)
	if err != nil {
		return Key{}, err
	}
	if k.ID() != fields[0] {
		return Key{}, errors.New("id is not that of the key: one of them is damaged")
	}
	if retired {
		k = k.retire()
	}
	return k, nil
}

func (k Key) line() string {
	return fmt.Sprintf("%s %s %s\n", k.ID(), k.From().Format(time.RFC3339), base64.StdEncoding.EncodeToString(k.reveal().secret[:]))
}
