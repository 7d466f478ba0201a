package backup

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"gatehouse.internal/modules/internal/store"
)

// The entries of an archive, and the files of what was unpacked.
const (
	manifestName = "manifest.json"
	storeName    = "store.db"
	keysName     = "keys"
	auditName    = "audit"

	formatNow   = 1
	maxManifest = 1 << 20
)

// Archive is what an archive says of itself: its first entry. Whoever has the recipient can make one: that it is the gateway's own
// is said by its SHA-256, which is on the gateway's record.
type Archive struct {
	Format  int                  `json:"format"`
	Time    time.Time            `json:"time"`
	Host    string               `json:"host"`
	Version string               `json:"version"`         // of the program that made it
	Store   bool                 `json:"store"`           // whether it has the store; on a server, that keeps its own backups
	Keys    bool                 `json:"keys"`            // whether it has the master keys
	Items   map[store.Bucket]int `json:"items,omitempty"` // how many there are in the store
	Audit   int64                `json:"audit"`           // records in its copy of the audit log
	Seal    []byte               `json:"seal"`            // something that the gateway sealed: its keys, and no others, open it
}

// Pack writes an archive of the files in dir (store.db, keys, audit, of which each may be missing), encrypted to the recipients.
func Pack(w io.Writer, dir string, a Archive, recipients ...age.Recipient) error {
	sealed, err := age.Encrypt(w, recipients...)
	if err != nil {
		return fmt.Errorf("encrypting: %w", err)
	}
	t := tar.NewWriter(sealed)
	a.Format = formatNow
	text, err := json.Marshal(a)
	if err == nil {
		err = t.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(text)), ModTime: a.Time})
	}
	if err == nil {
		_, err = t.Write(text)
	}
	if err == nil {
		err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(dir, name)
			if err != nil {
				return err
			}
			return packFile(t, name, filepath.ToSlash(rel))
		})
	}
	if err != nil {
		return err
	}
	return errors.Join(t.Close(), sealed.Close())
}

func packFile(t *tar.Writer, name, as string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: as, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime()}); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

// ErrDamaged says that a file is not a whole backup: it was cut off, or changed.
var ErrDamaged = errors.New("the backup is damaged")

// Unpack writes what is in an archive into dir, which must be empty, and returns what it says of itself. It reads to the end: what
// is returned without an error is whole, and nobody without the recipient has made it. On an error dir holds what must not be used.
func Unpack(r io.Reader, dir string, identities ...age.Identity) (a Archive, err error) {
	plain, err := age.Decrypt(r, identities...)
	if noMatch := (*age.NoIdentityMatchError)(nil); errors.As(err, &noMatch) {
		return a, errors.New("the backup was made for another recipient: this identity does not open it")
	}
	if err != nil {
		return a, fmt.Errorf("%w: it does not begin as an age file does: %w", ErrDamaged, err)
	}
	t := tar.NewReader(plain)
	for first := true; ; first = false {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			if _, err := io.Copy(io.Discard, plain); err != nil { // only its end vouches for it
				return a, fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			return a, a.check()
		}
		if err != nil {
			return a, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if first {
			if err := a.read(h, t); err != nil {
				return a, err
			}
			continue
		}
		if err := unpackFile(dir, h, t); err != nil {
			return a, err
		}
	}
}

func (a *Archive) read(h *tar.Header, r io.Reader) error {
	if h.Name != manifestName || h.Size > maxManifest {
		return errors.New("it is an age file, and not a backup of a gateway")
	}
	if err := json.NewDecoder(r).Decode(a); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return a.check()
}

func (a *Archive) check() error {
	if a.Format != formatNow {
		return fmt.Errorf("the backup is of format %d, and this program reads %d: use the version that made it (%s)", a.Format, formatNow, a.Version)
	}
	return nil
}

// unpackFile writes one entry. What no gateway packs is refused: names lead nowhere else.
func unpackFile(dir string, h *tar.Header, r io.Reader) error {
	in, name := path.Split(h.Name)
	known := in == "" && (name == storeName || name == keysName) || in == auditName+"/" && name != "" && !strings.HasPrefix(name, ".")
	if !known || h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) || strings.ContainsRune(h.Name, '\\') {
		return fmt.Errorf("%w: no gateway packs %q", ErrDamaged, h.Name)
	}
	to := filepath.Join(dir, filepath.FromSlash(h.Name))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	out := &failing{w: f}
	_, err = io.Copy(out, r)
	if err != nil && out.err == nil { // reading failed, not the disk
		err = fmt.Errorf("%w: %s: %w", ErrDamaged, h.Name, err)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// failing remembers that writing failed.
type failing struct {
	w   io.Writer
	err error
}

func (f *failing) Write(p []byte) (n int, err error) {
	n, f.err = f.w.Write(p)
	return n, f.err
}
