package chain

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// aWitness is one that follows C2SP tlog-witness, as far as a log meets it: it knows the log's key that does not change.
type aWitness struct {
	t    *testing.T
	key  ed25519.PrivateKey
	log  string // its public key
	seen Checkpoint
}

const witnessName = "witness.test/w1"

func (w *aWitness) raw() []byte {
	return append([]byte{cosigned}, w.key.Public().(ed25519.PublicKey)...)
}

func (w *aWitness) id() [4]byte {
	sum := sha256.Sum256(append([]byte(witnessName+"\n"), w.raw()...))
	return [4]byte(sum[:4])
}

func (w *aWitness) verifier() string {
	return fmt.Sprintf("%s+%x+%s", witnessName, w.id(), base64.StdEncoding.EncodeToString(w.raw()))
}

// addCheckpoint checks the request and returns the signature line.
func (w *aWitness) addCheckpoint(body string) string {
	w.t.Helper()
	top, msg, _ := strings.Cut(body, "\n\n")
	lines := strings.Split(top, "\n")
	old, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "old "), 10, 64)
	if err != nil || old != w.seen.Size {
		w.t.Fatalf("the request begins %q, seen were %d", lines[0], w.seen.Size)
	}
	known, err := note.NewVerifier(w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	opened, err := note.Open([]byte(msg), note.VerifierList(known))
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := parseCheckpoint(opened.Text)
	if err != nil || c.Origin != known.Name() {
		w.t.Fatalf("%+v, %v", c, err)
	}
	proof, err := parseHashes(lines[1:])
	if err != nil {
		w.t.Fatal(err)
	}
	if old > 0 && old < c.Size {
		if err := tlog.CheckTree(proof, c.Size, c.Root, old, w.seen.Root); err != nil {
			w.t.Fatalf("it has not only grown: %v", err)
		}
	}
	w.seen = c
	sig := binary.BigEndian.AppendUint64(nil, 1795890606)
	sig = append(sig, ed25519.Sign(w.key, []byte("cosignature/v1\ntime 1795890606\n"+opened.Text))...)
	id := w.id()
	return "— " + witnessName + " " + base64.StdEncoding.EncodeToString(append(id[:], sig...)) + "\n"
}

// A standard witness cosigns one checkpoint after another, and verify asks for its word.
func TestWitness(t *testing.T) {
	dir := t.TempDir()
	identity := signerOf(origin, ed25519.NewKeyFromSeed(newSeed()))
	w := &aWitness{t: t, key: ed25519.NewKeyFromSeed(newSeed()), log: identity.Verifier()}
	for range 4 {
		c := open(t, dir, Options{Identity: func() *Signer { return identity }})
		record(t, c, 7)
		closed(t, c)
		body, err := WitnessRequest(dir, w.seen.Size, VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		line := w.addCheckpoint(body)
		msg, err := os.ReadFile(filepath.Join(dir, checkpointFile))
		if err != nil {
			t.Fatal(err)
		}
		o := VerifyOptions{Root: root(t, dir), Witnesses: []string{w.verifier()}, Anchors: [][]byte{append(msg, line...)}}
		if r := verified(t, dir, o); r.Anchors != 1 {
			t.Errorf("%d anchors", r.Anchors)
		}
		for name, anchor := range map[string][]byte{
			"without the witness":                msg,
			"the witness's word of another time": append(msg[:len(msg):len(msg)], strings.Replace(line, line[len(line)-20:], strings.Repeat("A", 17)+"==\n", 1)...),
		} {
			o.Anchors = [][]byte{anchor}
			if _, err := Verify(dir, o); err == nil || !strings.Contains(err.Error(), "has not signed it") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := WitnessRequest(dir, w.seen.Size+1, VerifyOptions{}); err == nil {
		t.Error("the witness has seen more than there is, and nobody minds")
	}
	for _, key := range []string{"", "x", identity.Verifier(), strings.Replace(w.verifier(), "w1+", "w2+", 1)} {
		if _, err := newWitness(key); err == nil {
			t.Errorf("%q is taken for a witness's key", key)
		}
	}
}
