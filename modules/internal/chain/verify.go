package chain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Fault is why a chain is not what it should be. Seq is the first sequence that is bad.
type Fault struct {
	Seq  int64
	File string
	Line int
	Why  string
}

// Error implements error.
func (f *Fault) Error() string {
	where := ""
	if f.File != "" {
		where = fmt.Sprintf(" (%s, line %d)", f.File, f.Line)
	}
	return fmt.Sprintf("sequence %d%s: %s", f.Seq, where, f.Why)
}

// Finding is something that is no fault, and that an auditor should look at.
type Finding struct {
	Seq int64
	Why string
}

// Report is what was found. Records are First to Size-1.
type Report struct {
	Origin      string
	First, Size int64
	Root        tlog.Hash
	From, To    time.Time
	Segments    int
	Epochs      int
	Signatures  int
	Anchors     int // checkpoints from elsewhere that were compared
	Pruned      []Span
	Erased      int64
	Findings    []Finding
}

// VerifyOptions say what to verify with.
type VerifyOptions struct {
	// Root is the public key of the first epoch, as it was kept elsewhere. Empty: what the directory says, which proves that
	// the records agree with each other and no more.
	Root string
	// Keys are further public keys, such as that of the identity, that anchors may be signed with.
	Keys []string
	// Anchors are checkpoints that were kept elsewhere. Each must be signed by one of the keys or by an epoch's.
	Anchors [][]byte
	// Witnesses are the public keys of witnesses (cosignature/v1), all of which must have cosigned each anchor.
	Witnesses []string
	// Progress is told now and then how many bytes of how many have been read. May be nil.
	Progress func(read, of int64)
	// Each is called with each record, if it is not nil; an error ends it. The record is valid during the call only.
	Each func(*Record) error
}

const maxFindings = 100

// Verify reads the chain in the directory. An error that is a *Fault says where it was tampered with.
func Verify(dir string, o VerifyOptions) (*Report, error) {
	people, err := readSubjects(dir)
	if err != nil {
		return nil, err
	}
	v := &verifier{dir: dir, o: o, people: people, wanted: map[int64]tlog.Hash{}}
	err = v.run()
	return &v.Report, err
}

type mark struct { // a checkpoint whose signature is not verified yet
	Checkpoint
	at, line int64
}

type verifier struct {
	Report
	dir string
	o   VerifyOptions

	people   *subjects
	certs    []epochCert
	wanted   map[int64]tlog.Hash // the roots that the tree must have at these sizes
	t        tip
	epoch    int
	next     int // the epoch from the next checkpoint on
	good     int64
	pending  []mark
	notes    string // the last checkpoint's
	read, of int64
	told     int64
	clock    clock
	file     string
	line     int
}

func (v *verifier) fault(seq int64, format string, args ...any) error {
	return &Fault{seq, v.file, v.line, fmt.Sprintf(format, args...)}
}

func (v *verifier) run() (err error) {
	if v.certs, err = readEpochs(v.dir, v.o.Root); err != nil {
		return fmt.Errorf("the keys of the chain: %w", err)
	}
	v.Origin, v.Epochs = v.certs[0].Origin, len(v.certs)
	v.Signatures = len(v.certs)
	firsts, err := segments(v.dir)
	if err != nil {
		return err
	}
	if len(firsts) == 0 {
		return v.fault(0, "there are no segments")
	}
	for _, first := range firsts {
		if info, err := os.Stat(filepath.Join(v.dir, segmentName(first))); err == nil {
			v.of += info.Size()
		}
	}
	for _, c := range v.certs {
		v.wanted[c.Size] = c.Root
	}
	v.First = firsts[0]
	anchors, err := v.anchors()
	if err != nil {
		return err
	}
	for i, first := range firsts {
		if err := v.segment(first, i == 0); err != nil {
			return err
		}
		v.Segments++
	}
	v.Size, v.Root = v.t.size, v.t.root()
	return v.finish(anchors)
}

func (v *verifier) segment(first int64, oldest bool) error {
	l, err := openLines(v.dir, first)
	if err != nil {
		return err
	}
	defer l.close()
	v.file, v.line = l.file, 1
	line, err := l.next()
	if err != nil {
		return v.fault(first, "the segment has no header: %v", err)
	}
	h, t, err := parseHeader(line)
	if err == nil && h.First != first {
		err = errors.New("its header is of another segment")
	}
	if err != nil {
		return v.fault(first, "%v", err)
	}
	if oldest {
		err = v.beginAt(h, t)
	} else {
		err = v.goOn(h, t)
	}
	if err != nil {
		return err
	}
	for {
		line, err := l.next()
		if v.line = l.n; errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errTorn) {
			v.find(v.t.size, "what follows has no end: it was never acknowledged")
			break
		}
		if err != nil {
			return v.fault(v.t.size, "%v", err)
		}
		if err := v.one(line, l.at); err != nil {
			return v.earliest(err)
		}
		v.progress(int64(len(line)) + 1)
	}
	return v.settle()
}

// earliest is the fault that was found, or an earlier one that a signature tells of.
func (v *verifier) earliest(err error) error {
	found, earlier := new(Fault), new(Fault)
	if errors.As(err, &found) && errors.As(v.settle(), &earlier) && earlier.Seq < found.Seq {
		return earlier
	}
	return err
}

func (v *verifier) progress(n int64) {
	v.read += n
	if v.o.Progress != nil && v.read-v.told > 4<<20 {
		v.told = v.read
		v.o.Progress(v.read, v.of)
	}
}

// beginAt takes the oldest segment's word for what is pruned, if that was signed.
func (v *verifier) beginAt(h segmentHeader, t tip) error {
	if h.Origin != v.Origin {
		return v.fault(h.First, "the segment is of %q, and the keys are of %q", h.Origin, v.Origin)
	}
	if h.Epoch < 0 || h.Epoch >= len(v.certs) {
		return v.fault(h.First, "it says that it begins in epoch %d, and there are certificates of %d", h.Epoch, len(v.certs))
	}
	v.t, v.epoch, v.next, v.good = t, h.Epoch, h.Epoch, h.First
	if h.First == 0 {
		return nil
	}
	// The key that signed is this epoch's, or of the one before when a key had just been changed.
	for _, epoch := range []int{h.Epoch, h.Epoch - 1} {
		if epoch < 0 {
			continue
		}
		if n, err := openNote(h.Checkpoint, v.certs[epoch].key); err == nil {
			v.Signatures++
			if text, _ := noteText(h.Checkpoint); n.Text == text {
				return v.roots()
			}
		}
	}
	return v.fault(h.First, "the checkpoint in the oldest segment's header is not signed by its epoch's key: what was before it is not what it says")
}

// goOn checks that a segment begins where the one before ended.
func (v *verifier) goOn(h segmentHeader, t tip) error {
	switch {
	case h.First > v.t.size:
		return v.fault(v.t.size, "the records %d to %d are missing", v.t.size, h.First-1)
	case h.First < v.t.size:
		return v.fault(h.First, "the segment repeats records")
	case h.Origin != v.Origin || h.Epoch != v.epoch || t.prev != v.t.prev || t.root() != v.t.root():
		return v.fault(max(h.First-1, 0), "the segment's header is not what the records before it make")
	}
	return nil
}

func (v *verifier) one(line []byte, end int64) error {
	if checkpoint, ok := checkpointOf(line); ok {
		return v.checkpoint(checkpoint, end-int64(len(line))-1)
	}
	hashed, aside, has := bytes.Cut(line, []byte{'\t'})
	h, rest, err := cutHead(hashed)
	seq := v.t.size
	switch {
	case err != nil:
		return v.fault(seq, "%v", err)
	case h.seq > seq:
		return v.fault(seq, "it is missing: sequence %d stands in its place", h.seq)
	case h.seq < seq:
		return v.fault(seq, "sequence %d stands in its place: the records are out of order, or repeated", h.seq)
	case string(h.prev) != v.t.prev.String() && seq != v.First:
		if err := v.settle(); err != nil {
			return err
		}
		if seq-1 < v.good { // that one is signed for
			return v.fault(seq, "it was not made after the record before it: it was changed")
		}
		return v.fault(seq-1, "it is not the record that the next one was made after: it was changed")
	}
	if has && !bytes.HasSuffix(hashed, []byte(`"personal":"`+hashText(aside)+`"}`)) {
		return v.fault(seq, "its personal part was changed")
	}
	if !has && bytes.Contains(rest, []byte(`,"personal":"`)) || has && v.people.gone(aside) {
		v.Erased++
	}
	if bytes.Contains(rest, []byte(`,"epoch":"`)) || bytes.Contains(rest, []byte(`,"gone":{`)) {
		if err := v.special(line); err != nil {
			return err
		}
	}
	v.clock.look(v, seq, h)
	v.t.add(leaf(hashed))
	if err := v.roots(); err != nil {
		return err
	}
	if v.o.Each != nil {
		r, err := parseRecord(line)
		if err != nil {
			return v.fault(seq, "%v", err)
		}
		if v.people.open(&r) {
			v.find(seq, "the key that it is sealed with is damaged in the file %s: what it says of a person cannot be read", subjectsFile)
		}
		return v.o.Each(&r)
	}
	return nil
}

// special looks at a record that says something about the chain.
func (v *verifier) special(line []byte) error {
	r, err := parseRecord(line)
	if err != nil {
		return v.fault(v.t.size, "%v", err)
	}
	if r.Gone != nil && r.Kind == string(Pruned) {
		v.Pruned = append(v.Pruned, *r.Gone)
	}
	if r.Epoch == "" {
		return nil
	}
	if v.next++; v.next >= len(v.certs) {
		return v.fault(v.t.size, "the key changes here, and the file %s has no certificate of epoch %d", epochsFile, v.next)
	}
	text, err := noteText(r.Epoch)
	if err != nil || text != v.certs[v.next].text() || v.certs[v.next].Size != v.t.size {
		return v.fault(v.t.size, "the certificate of epoch %d in it is not the one of the file %s", v.next, epochsFile)
	}
	return nil
}

// checkpoint compares the tree; the signature is verified when the epoch or the segment ends, since a good one there is good
// for all that it covers.
func (v *verifier) checkpoint(msg string, at int64) error {
	seq := max(v.t.size-1, v.good)
	text, err := noteText(msg)
	if err != nil {
		return v.fault(seq, "%v", err)
	}
	c, err := parseCheckpoint(text)
	switch {
	case err != nil:
		return v.fault(seq, "%v", err)
	case c.Origin != v.Origin:
		return v.fault(seq, "the checkpoint is of %q", c.Origin)
	case c.Size > v.t.size:
		return v.fault(v.t.size, "it is missing: the checkpoint is of %d records", c.Size)
	case c.Size < v.t.size:
		return v.fault(c.Size, "the checkpoint here is of %d records: this one was put in", c.Size)
	case c.Root != v.t.root():
		return v.fault(seq, "it was changed: the tree is not the one that the checkpoint after it is of")
	}
	v.pending, v.notes = append(v.pending, mark{c, at, int64(v.line)}), msg
	if v.next != v.epoch {
		if err := v.settle(); err != nil {
			return err
		}
		v.epoch = v.next
	}
	return nil
}

func (v *verifier) find(seq int64, format string, args ...any) {
	if len(v.Findings) < maxFindings {
		v.Findings = append(v.Findings, Finding{seq, fmt.Sprintf(format, args...)})
	}
}
