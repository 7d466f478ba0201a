package chain

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is the state of a tree, as tlog-checkpoint has it.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// parseCheckpoint reads the text of a note. Extension lines are allowed, and ignored.
func parseCheckpoint(text string) (c Checkpoint, err error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return c, errors.New("no checkpoint: want origin, size and root, a line each")
	}
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return c, fmt.Errorf("no checkpoint: %.32q is no size", lines[1])
	}
	c.Origin = lines[0]
	c.Root, err = parseHash(lines[2])
	return c, err
}

// noteText is the signed part of a note, unverified.
func noteText(msg string) (string, error) {
	at := strings.LastIndex(msg, "\n\n")
	if at < 0 {
		return "", errors.New("no signed note: there is no signature")
	}
	return msg[:at+1], nil
}

// Signer signs notes in a name. Sign may be called by several goroutines.
type Signer struct {
	name   string
	public ed25519.PublicKey
	sign   func(msg []byte) ([]byte, error)
}

// NewSigner returns the signer that signs with sign what public verifies.
func NewSigner(name string, public ed25519.PublicKey, sign func(msg []byte) []byte) *Signer {
	return &Signer{name, public, func(msg []byte) ([]byte, error) { return sign(msg), nil }}
}

func signerOf(name string, key ed25519.PrivateKey) *Signer {
	return NewSigner(name, key.Public().(ed25519.PublicKey), func(msg []byte) []byte { return ed25519.Sign(key, msg) })
}

// Name implements note.Signer.
func (s *Signer) Name() string { return s.name }

// KeyHash implements note.Signer.
func (s *Signer) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(s.name+"\n\x01"), s.public...))
	return binary.BigEndian.Uint32(sum[:])
}

// Sign implements note.Signer.
func (s *Signer) Sign(msg []byte) ([]byte, error) { return s.sign(msg) }

// Verifier is the public key in the form of signed notes: name+hash+key.
func (s *Signer) Verifier() string {
	text, err := note.NewEd25519VerifierKey(s.name, s.public)
	if err != nil {
		panic("chain: " + err.Error()) // the key's length is constant: cannot happen
	}
	return text
}

// epochName is what the key of an epoch signs as.
func epochName(origin string, n int) string { return origin + "/epoch/" + strconv.Itoa(n) }

// ParseCheckpoint reads a checkpoint that one of the public keys has signed. Keys of witnesses are none of them.
func ParseCheckpoint(msg []byte, keys ...string) (Checkpoint, error) {
	n, err := openNote(string(msg), keys...)
	if err != nil {
		return Checkpoint{}, err
	}
	return parseCheckpoint(n.Text)
}

func openNote(msg string, keys ...string) (*note.Note, error) {
	known, err := verifiers(keys...)
	if err != nil {
		return nil, err
	}
	return note.Open([]byte(msg), known)
}

func verifiers(keys ...string) (note.Verifiers, error) {
	var known []note.Verifier
	for i, key := range keys {
		if slices.Contains(keys[:i], key) { // to a note's reader it would be ambiguous
			continue
		}
		v, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("the public key %.64q: %w", key, err)
		}
		known = append(known, v)
	}
	return note.VerifierList(known...), nil
}

// epochCert certifies the key of an epoch: who comes next, and over what.
type epochCert struct {
	Checkpoint     // the tree when the epoch began
	epoch      int // from 0 on
	key        string
}

const certHead = "gatehouse audit epoch"

func (c epochCert) text() string {
	return certHead + " " + strconv.Itoa(c.epoch) + "\n" + c.key + "\n" + c.Checkpoint.text()
}

func parseCert(text string) (c epochCert, err error) {
	head, rest, _ := strings.Cut(text, "\n")
	number, ok := strings.CutPrefix(head, certHead+" ")
	if !ok {
		return c, errors.New("no certificate of an epoch")
	}
	if c.epoch, err = strconv.Atoi(number); err != nil || c.epoch < 0 {
		return c, fmt.Errorf("no certificate of an epoch: %.32q is no number", number)
	}
	c.key, rest, _ = strings.Cut(rest, "\n")
	c.Checkpoint, err = parseCheckpoint(rest)
	return c, err
}

// signNote signs a text in the name of all signers.
func signNote(text string, signers ...*Signer) (string, error) {
	all := make([]note.Signer, 0, len(signers))
	for _, s := range signers {
		all = append(all, s)
	}
	msg, err := note.Sign(&note.Note{Text: text}, all...)
	return string(msg), err
}

// checkpointOf returns the checkpoint that a line of a segment is.
func checkpointOf(line []byte) (string, bool) {
	if len(line) < len(checkpointHead) || string(line[:len(checkpointHead)]) != checkpointHead {
		return "", false
	}
	var l checkpointLine
	if json.Unmarshal(line, &l) != nil {
		return "", false
	}
	return l.Checkpoint, true
}
