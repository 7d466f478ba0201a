package chain

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// anchors reads the checkpoints from elsewhere.
func (v *verifier) anchors() (all []Checkpoint, err error) {
	keys := slices.Clone(v.o.Keys)
	for _, c := range v.certs {
		keys = append(keys, c.key)
	}
	known, err := verifiers(keys...)
	if err != nil {
		return nil, err
	}
	for _, msg := range v.o.Anchors {
		n, err := note.Open(msg, known)
		if err != nil {
			return nil, fmt.Errorf("a checkpoint from elsewhere: %w", err)
		}
		c, err := parseCheckpoint(n.Text)
		if err != nil {
			return nil, fmt.Errorf("a checkpoint from elsewhere: %w", err)
		}
		if err := checkWitnesses(msg, v.o.Witnesses); err != nil {
			return nil, fmt.Errorf("a checkpoint from elsewhere: %w", err)
		}
		if c.Origin != v.Origin {
			return nil, fmt.Errorf("a checkpoint from elsewhere is of %q, and this is %q", c.Origin, v.Origin)
		}
		if other, ok := v.wanted[c.Size]; ok && other != c.Root {
			return nil, v.fault(max(c.Size-1, 0), "two signed checkpoints of %d records differ: there are two histories", c.Size)
		}
		v.wanted[c.Size] = c.Root
		all = append(all, c)
	}
	return all, nil
}

// roots compares the tree with what certificates and checkpoints from elsewhere say of this size.
func (v *verifier) roots() error {
	if want, ok := v.wanted[v.t.size]; ok && want != v.t.root() {
		if err := v.settle(); err != nil {
			return err
		}
		return v.fault(v.good, "one of the records from here to %d was changed: a signed checkpoint of %d records has another root", v.t.size-1, v.t.size)
	}
	return nil
}

// settle verifies the last checkpoint's signature; if it is bad, those before it one by one, to say where it begins.
func (v *verifier) settle() error {
	if len(v.pending) == 0 {
		return nil
	}
	key, err := note.NewVerifier(v.certs[v.epoch].key)
	if err != nil {
		return err
	}
	known := note.VerifierList(key)
	v.Signatures++
	if _, err := note.Open([]byte(v.notes), known); err == nil {
		v.good, v.pending = v.pending[len(v.pending)-1].Size, v.pending[:0]
		return nil
	}
	f, err := os.Open(filepath.Join(v.dir, v.file))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, m := range v.pending {
		line, err := readLineAt(f, m.at)
		if err != nil {
			return err
		}
		v.line = int(m.line)
		msg, _ := checkpointOf(line)
		if _, err := note.Open([]byte(msg), known); err != nil {
			return v.fault(v.good, "the checkpoint of the records from here to %d is not signed by the key of epoch %d", m.Size-1, v.epoch)
		}
		v.good = m.Size
	}
	return errors.New("a checkpoint is signed and is not: the files change while they are read")
}

func readLineAt(f *os.File, at int64) ([]byte, error) {
	buf := make([]byte, 64<<10)
	n, err := f.ReadAt(buf, at)
	if end := bytes.IndexByte(buf[:n], '\n'); end >= 0 {
		return buf[:end], nil
	}
	return nil, fmt.Errorf("reading a checkpoint again: %w", err)
}

// finish compares what only the end shows.
func (v *verifier) finish(anchors []Checkpoint) error {
	v.file, v.line = "", 0
	if tail := v.t.size - v.good; tail > 0 {
		v.find(v.good, "%d records after the last checkpoint: being written, or never acknowledged", tail)
	}
	all := slices.Clone(anchors)
	for _, c := range v.certs {
		all = append(all, c.Checkpoint)
	}
	if msg, err := os.ReadFile(filepath.Join(v.dir, checkpointFile)); err == nil {
		if text, err := noteText(string(msg)); err == nil {
			if c, err := parseCheckpoint(text); err == nil && c.Size > v.t.size {
				all = append(all, c)
			}
		}
	}
	for _, c := range all {
		if c.Size > v.t.size {
			return v.fault(v.t.size, "it is missing: a signed checkpoint is of %d records, and here are %d; the end was cut off, or the files are old ones", c.Size, v.t.size)
		}
	}
	for _, c := range anchors {
		if c.Size >= v.First {
			v.Anchors++
		} else {
			v.find(v.First, "a checkpoint of %d records could not be compared: those are pruned", c.Size)
		}
	}
	if v.First > 0 && !slices.ContainsFunc(v.Pruned, func(s Span) bool { return s.To == v.First-1 }) {
		return v.fault(0, "the records before %d are missing, and none says that they were pruned", v.First)
	}
	return nil
}
