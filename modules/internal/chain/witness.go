package chain

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// cosigned is the key type of witnesses (C2SP tlog-cosignature).
const cosigned = 4

// witness verifies a witness's cosignatures: it says that it saw the checkpoint at a time, and nothing that contradicts it.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// newWitness reads a witness's public key: name+hash+key.
func newWitness(text string) (*witness, error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(text), "+")
	number, key, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil || name == "" || len(raw) != 1+ed25519.PublicKeySize || raw[0] != cosigned {
		return nil, fmt.Errorf("%.64q is no public key of a witness (cosignature/v1)", text)
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	w := &witness{name, binary.BigEndian.Uint32(sum[:]), raw[1:]}
	if fmt.Sprintf("%08x", w.hash) != number {
		return nil, fmt.Errorf("%.64q: its name and its key do not belong together", text)
	}
	return w, nil
}

// Name implements note.Verifier.
func (w *witness) Name() string { return w.name }

// KeyHash implements note.Verifier.
func (w *witness) KeyHash() uint32 { return w.hash }

// Verify implements note.Verifier.
func (w *witness) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	said := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(w.key, []byte(said), sig[8:])
}

// checkWitnesses reports whether all of the witnesses have cosigned the checkpoint.
func checkWitnesses(msg []byte, keys []string) error {
	for _, key := range keys {
		w, err := newWitness(key)
		if err != nil {
			return err
		}
		if _, err := note.Open(msg, note.VerifierList(w)); err != nil {
			return fmt.Errorf("the witness %s has not signed it: %w", w.name, err)
		}
	}
	return nil
}

// WitnessRequest returns what a witness is asked with to cosign the published checkpoint (the body of add-checkpoint, C2SP
// tlog-witness): it last saw old records, and is shown that the chain has only grown since.
func WitnessRequest(dir string, old int64, o VerifyOptions) (string, error) {
	msg, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		return "", fmt.Errorf("no checkpoint is published yet: %w", err)
	}
	text, err := noteText(string(msg))
	if err != nil {
		return "", err
	}
	c, err := parseCheckpoint(text)
	if err != nil {
		return "", err
	}
	if old < 0 || old > c.Size {
		return "", fmt.Errorf("the witness has seen %d records, and the checkpoint is of %d: these are old files", old, c.Size)
	}
	o.Anchors = append(o.Anchors, msg)
	tree, _, err := readTree(dir, o, nil)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", old)
	if old > 0 && old < c.Size {
		proof, err := tlog.ProveTree(c.Size, old, tree)
		if err != nil {
			return "", err
		}
		for _, h := range proof {
			b.WriteString(h.String() + "\n")
		}
	}
	return b.String() + "\n" + string(msg), nil
}

// readTree verifies the chain and returns its tree; each is called with each record, if it is not nil.
func readTree(dir string, o VerifyOptions, each func(*Record)) (*partial, *verifier, error) {
	firsts, err := segments(dir)
	if err != nil {
		return nil, nil, err
	}
	if len(firsts) == 0 {
		return nil, nil, errors.New("there are no segments")
	}
	start, err := startOf(dir, firsts[0])
	if err != nil {
		return nil, nil, err
	}
	tree := newPartial(start)
	o.Each = func(r *Record) error {
		tree.leaves = append(tree.leaves, leaf(r.Line))
		if each != nil {
			each(r)
		}
		return nil
	}
	people, err := readSubjects(dir)
	if err != nil {
		return nil, nil, err
	}
	v := &verifier{dir: dir, o: o, people: people, wanted: map[int64]tlog.Hash{}}
	return tree, v, v.run()
}
