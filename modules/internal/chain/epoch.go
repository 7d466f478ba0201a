package chain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gatehouse.internal/modules/internal/wholefile"
)

const (
	keyFile        = "key"
	epochsFile     = "epochs"
	checkpointFile = "checkpoint"
	holdsFile      = "holds"
)

// epochKey is the content of the key file. Next is there while one key takes over from the other.
type epochKey struct {
	Epoch int    `json:"epoch"`
	Seed  []byte `json:"seed"`
	Next  []byte `json:"next,omitempty"`
}

func (k epochKey) signer(origin string) *Signer {
	return signerOf(epochName(origin, k.Epoch), ed25519.NewKeyFromSeed(k.Seed))
}

func newSeed() []byte {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails: it ends the program instead
	return seed
}

func readKey(dir string) (k epochKey, err error) {
	text, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return k, err
	}
	if err = json.Unmarshal(text, &k); err == nil && len(k.Seed) != ed25519.SeedSize {
		err = errors.New("it holds no key")
	}
	if err != nil {
		return k, fmt.Errorf("%s: %w", filepath.Join(dir, keyFile), err)
	}
	return k, nil
}

// writeKey puts the key into its file, and overwrites what was there before where it stood. On file systems that never write
// to the same place twice, and on flash, traces may last: nobody can help that from here.
func writeKey(dir string, k epochKey) error {
	path := filepath.Join(dir, keyFile)
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	old, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := errors.Join(wholefile.Replace(path, append(text, '\n')), syncDir(dir)); err != nil {
		if old != nil {
			err = errors.Join(err, old.Close())
		}
		return err
	}
	if old == nil {
		return nil
	}
	info, err := old.Stat()
	if err == nil {
		_, err = old.WriteAt(bytes.Repeat([]byte{'0'}, int(info.Size())), 0)
	}
	return errors.Join(err, old.Sync(), old.Close())
}

// epochLine is one line of the file epochs.
type epochLine struct {
	Epoch string `json:"epoch"` // a signed note
}

// readEpochs returns the public keys of the epochs, from the root on. Each must be certified by the one before.
func readEpochs(dir, root string) ([]epochCert, error) {
	text, err := os.ReadFile(filepath.Join(dir, epochsFile))
	if err != nil {
		return nil, err
	}
	var certs []epochCert
	by := root
	for line := range bytes.Lines(text) {
		if line[len(line)-1] != '\n' {
			break // torn: written again when the chain is opened
		}
		var l epochLine
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", epochsFile, len(certs)+1, err)
		}
		c, err := openCert(l.Epoch, by, len(certs))
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", epochsFile, len(certs)+1, err)
		}
		certs, by = append(certs, c), c.key
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s is empty", epochsFile)
	}
	return certs, nil
}

// openCert returns the certificate in a signed note, which must be signed by the key by, and certify epoch n; that of the
// first epoch certifies itself.
func openCert(msg, by string, n int) (epochCert, error) {
	if by == "" { // the root is taken at its word
		text, err := noteText(msg)
		if err != nil {
			return epochCert{}, err
		}
		c, err := parseCert(text)
		if err != nil {
			return c, err
		}
		by = c.key
	}
	opened, err := openNote(msg, by)
	if err != nil {
		return epochCert{}, fmt.Errorf("the key of epoch %d is not certified by the one before: %w", n, err)
	}
	c, err := parseCert(opened.Text)
	switch {
	case err != nil:
		return c, err
	case c.epoch != n:
		return c, fmt.Errorf("epoch %d stands where epoch %d should", c.epoch, n)
	case n == 0 && c.key != by:
		return c, errors.New("the first epoch's key is not the root")
	}
	return c, nil
}

// Root returns the public key of the first epoch, as the directory has it: it proves nothing unless it is compared with what
// was kept elsewhere.
func Root(dir string) (string, error) {
	certs, err := readEpochs(dir, "")
	if err != nil {
		return "", err
	}
	return certs[0].key, nil
}

func appendLine(path string, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Origin returns what the chain in the directory is called.
func Origin(dir string) (string, error) {
	certs, err := readEpochs(dir, "")
	if err != nil {
		return "", err
	}
	return certs[0].Origin, nil
}
