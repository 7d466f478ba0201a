package chain

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const proofHead = "c2sp.org/tlog-proof@v1"

// Prove returns the record of this sequence and a proof that it is in the chain (C2SP tlog-proof), having verified the chain.
// The proof's extra data is the record's personal part, if it has one and withPersonal says so.
func Prove(dir string, seq int64, withPersonal bool, o VerifyOptions) (*Record, string, error) {
	return ProveLast(dir, func(r *Record) bool { return r.Seq == seq }, withPersonal, o)
}

// ErrNoRecord: there is none like that.
var ErrNoRecord = errors.New("there is no such record")

// ProveLast is Prove for the last record that is meant.
func ProveLast(dir string, meant func(*Record) bool, withPersonal bool, o VerifyOptions) (*Record, string, error) {
	var found *Record
	var extra []byte
	tree, v, err := readTree(dir, o, func(r *Record) {
		if meant(r) {
			kept := *r
			kept.Line = bytes.Clone(r.Line)
			found, extra = &kept, bytes.Clone(r.aside)
			if r.key != nil { // of this record alone
				extra = append(append(extra, '\t'), hex.EncodeToString(r.key)...)
			}
		}
	})
	if err != nil {
		return nil, "", err
	}
	if found == nil {
		return nil, "", fmt.Errorf("%w: there are %d to %d", ErrNoRecord, v.First, v.Size-1)
	}
	c, size, seq := v.notes, v.good, found.Seq
	if seq >= size {
		return nil, "", fmt.Errorf("record %d is after the last checkpoint", seq)
	}
	proof, err := tlog.ProveRecord(size, seq, tree)
	if err != nil {
		return nil, "", err
	}
	var b strings.Builder
	b.WriteString(proofHead + "\n")
	if withPersonal && len(extra) > 0 {
		b.WriteString("extra " + base64.StdEncoding.EncodeToString(extra) + "\n")
	}
	fmt.Fprintf(&b, "index %d\n", seq)
	for _, h := range proof {
		b.WriteString(h.String() + "\n")
	}
	return found, b.String() + "\n" + c, nil
}

func startOf(dir string, first int64) (tip, error) {
	l, err := openLines(dir, first)
	if err != nil {
		return tip{}, err
	}
	defer l.close()
	line, err := l.next()
	if err != nil {
		return tip{}, fmt.Errorf("%s: %w", l.file, err)
	}
	_, t, err := parseHeader(line)
	return t, err
}

// CheckProof checks that a record, as the core of a line, is in the tree of the checkpoint that the proof ends with, and that
// this is signed with one of the keys. It returns the record, with its personal part if the proof carries it.
func CheckProof(core []byte, proof string, keys ...string) (*Record, Checkpoint, error) {
	c := Checkpoint{}
	top, msg, ok := strings.Cut(proof, "\n\n")
	lines := strings.Split(top, "\n")
	if !ok || lines[0] != proofHead {
		return nil, c, errors.New("it is no proof of the form " + proofHead)
	}
	lines = lines[1:]
	line, key := string(core), []byte(nil)
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		extra, err := base64.StdEncoding.DecodeString(lines[0][len("extra "):])
		if err != nil {
			return nil, c, fmt.Errorf("the proof's extra data: %w", err)
		}
		aside, text, sealed := strings.Cut(string(extra), "\t")
		if key, err = hex.DecodeString(text); sealed && err != nil {
			return nil, c, fmt.Errorf("the proof's extra data: %w", err)
		}
		line, lines = line+"\t"+aside, lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return nil, c, errors.New("the proof has no index")
	}
	index, err := strconv.ParseInt(lines[0][len("index "):], 10, 64)
	if err != nil {
		return nil, c, fmt.Errorf("the proof's index: %w", err)
	}
	hashes, err := parseHashes(lines[1:])
	if err != nil {
		return nil, c, err
	}
	if c, err = ParseCheckpoint([]byte(msg), keys...); err != nil {
		return nil, c, err
	}
	if err := tlog.CheckRecord(hashes, c.Size, c.Root, index, leaf(core)); err != nil {
		return nil, c, fmt.Errorf("the record is not in the chain of this checkpoint: %w", err)
	}
	r, err := parseRecord([]byte(line))
	if err == nil && r.Seq != index {
		err = errors.New("the record is of another sequence than the proof")
	}
	if err == nil && len(key) > 0 {
		err = r.unseal(key)
	}
	return &r, c, err
}

// KeyFrom is the public key that an operator says, or that the file holds which they name instead.
func KeyFrom(said string) string {
	if text, err := os.ReadFile(said); err == nil {
		said = string(text)
	}
	return strings.TrimSpace(said)
}

// EpochKeys returns the public keys of the chain's epochs, certified from the root on, which is compared unless it is empty.
func EpochKeys(dir, root string) ([]string, error) {
	certs, err := readEpochs(dir, root)
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(certs))
	for _, c := range certs {
		keys = append(keys, c.key)
	}
	return keys, nil
}
