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
)

// maxFile is far more than a key file ever holds.
const maxFile = 64 << 10

// ErrPermissions: others than the owner may read or write the key file.
var ErrPermissions = errors.New("keyring: key file lets others in")

const fileHead = "# Gatehouse master keys: id, created, key. The newest is active; the others still open what they sealed.\n" +
	"# To rotate: gatehouse keys rotate. To retire an old key: delete its line, once nothing made with it is needed.\n"

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

// Rotate adds a new active key to the key file and returns the new ring. Readers see the old file or the new one; comments are kept.
// Two rotations at once: one fails with fs.ErrExist. In a cluster, give every node the new file before any of them loads it.
func Rotate(path string) (*Ring, error) {
	ring, err := rotate(path)
	if err != nil {
		return nil, fmt.Errorf("rotating key file %q: %w", path, err)
	}
	return ring, nil
}

func rotate(path string) (*Ring, error) {
	// The rename must replace the file, not a link to it.
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	temp := path + ".rotating"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // also the lock against another rotation
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("another rotation is running, or was interrupted; if so, run: rm %s: %w", temp, err)
	}
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp) // after the rename there is nothing to remove
	old, text, err := load(path)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	k := Generate()
	if newest := old.Keys()[0].Created(); k.Created().Before(newest) {
		k.reveal().created = newest // made under a clock that was ahead; of two as old the later line is active
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	ring, err := old.Rotate(k)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := writeSync(f, append(text, k.line()...)); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, err
	}
	return ring, syncDir(filepath.Dir(path))
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
	if len(fields) != 3 {
		return Key{}, fmt.Errorf("%d fields, want id, created and key", len(fields))
	}
	created, err := time.Parse(time.RFC3339, fields[1])
	if err != nil {
		return Key{}, errors.New("created is not an RFC 3339 time")
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(fields[2])
	if err != nil {
		return Key{}, errors.New("key is not base64")
	}
	k, err := NewKey(secret, created)
	if err != nil {
		return Key{}, err
	}
	if k.ID() != fields[0] {
		return Key{}, errors.New("id is not that of the key: one of them is damaged")
	}
	return k, nil
}

func (k Key) line() string {
	return fmt.Sprintf("%s %s %s\n", k.ID(), k.Created().Format(time.RFC3339), base64.StdEncoding.EncodeToString(k.reveal().secret[:]))
}
