package chain

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"gatehouse.internal/modules/internal/event"
)

// seeded is a small chain with everything in it that files may hold: people, one of whom is erased, and a change of keys. It returns
// the records that were written, too.
func seeded(f *testing.F) (dir, key string, written map[string]bool) {
	f.Helper()
	dir = f.TempDir()
	c := open(f, dir, Options{})
	record(f, c, 3)
	if err := c.Record(event.Event{Kind: event.UserDisabled, User: "local:eve", Detail: "left"}); err != nil {
		f.Fatal(err)
	}
	if _, err := c.EraseSubject("local:eve"); err != nil {
		f.Fatal(err)
	}
	closed(f, c)
	var err error
	if c.file, err = os.OpenFile(filepath.Join(dir, segmentName(0)), os.O_RDWR, 0o600); err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(c.rotate(), c.file.Close()); err != nil {
		f.Fatal(err)
	}
	c = open(f, dir, Options{})
	record(f, c, 2)
	closed(f, c)
	key, written = root(f, dir), map[string]bool{}
	if r := verified(f, dir, VerifyOptions{Root: key, Each: func(r *Record) error { written[string(r.Line)] = true; return nil }}); r.Epochs != 2 || r.Erased != 1 {
		f.Fatalf("%+v", r)
	}
	return dir, key, written
}

func content(t testing.TB, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// with is a copy of the directory in which the file is this.
func with(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	there := t.TempDir()
	if err := errors.Join(os.CopyFS(there, os.DirFS(dir)), os.WriteFile(filepath.Join(there, name), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return there
}

// damaged are the text, and what becomes of it when a bit of it is another, and when it ends early.
func damaged(text []byte) [][]byte {
	all := [][]byte{nil, text}
	for _, at := range []int{1, len(text) / 3, len(text) / 2, len(text) - 2} {
		changed := bytes.Clone(text)
		changed[at] ^= 1
		all = append(all, changed, text[:at])
	}
	return all
}

// FuzzSegment: whatever stands in a segment, what verifies up to its last checkpoint was recorded, and what is proven was.
func FuzzSegment(f *testing.F) {
	dir, key, written := seeded(f)
	for _, text := range damaged(content(f, dir, segmentName(0))) {
		f.Add(text)
	}
	f.Add([]byte(`{"segment":1,"origin":"test.internal/audit","first":0,"prev":"","frontier":[],"epoch":0}` + "\n"))
	f.Add([]byte(recordHead + "0\n" + checkpointHead + "\"\\n\\n\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, segmentName(0)), text, 0o600); err != nil { // of this process alone
			t.Fatal(err)
		}
		var read []string
		people, err := readSubjects(dir)
		if err != nil {
			t.Fatal(err)
		}
		v := &verifier{dir: dir, people: people, wanted: map[int64]tlog.Hash{}, o: VerifyOptions{Root: key, Each: func(r *Record) error {
			read = append(read, string(r.Line))
			return nil
		}}}
		err = v.run()
		if fault := (*Fault)(nil); errors.As(err, &fault) && fault.Seq < 0 {
			t.Fatalf("the first bad sequence is %d", fault.Seq)
		}
		for i, line := range read {
			if err == nil && int64(i) < v.good && !written[line] {
				t.Fatalf("%q was never recorded, and verifies", line)
			}
		}
		if r, _, err := Prove(dir, 1, true, VerifyOptions{Root: key}); err == nil && !written[string(r.Line)] {
			t.Fatalf("%q was never recorded, and is proven", r.Line)
		}
		_, _ = newestOf(dir, 0)
	})
}

// FuzzOpen: a chain whose last segment is damaged is opened or not; what is recorded in one that was is there.
func FuzzOpen(f *testing.F) {
	dir, _, _ := seeded(f)
	for _, text := range damaged(content(f, dir, segmentName(0))) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		there := with(t, dir, segmentName(0), text)
		c, err := Open(there, Options{Origin: origin})
		if err != nil {
			return
		}
		if err := c.Record(event.Event{Kind: event.UserDeleted, RequestID: "the-last"}); err != nil {
			t.Fatalf("it is open, and does not record: %v", err)
		}
		closed(t, c)
		if !bytes.Contains(content(t, there, segmentName(c.fileFirst)), []byte(`"request":"the-last"`)) {
			t.Fatal("what was recorded is not there")
		}
		if c, err = Open(there, Options{Origin: origin}); err != nil {
			t.Fatalf("it was open, and cannot be opened again: %v", err)
		}
		closed(t, c)
	})
}

// FuzzEpochs: no key counts that the root does not lead to.
func FuzzEpochs(f *testing.F) {
	dir, key, _ := seeded(f)
	keys, err := EpochKeys(dir, key)
	if err != nil {
		f.Fatal(err)
	}
	text := content(f, dir, epochsFile)
	for _, text := range damaged(text) {
		f.Add(text)
	}
	f.Add(append(bytes.Clone(text), text...))
	at := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(at, epochsFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := EpochKeys(at, key)
		if err == nil && !slices.Equal(got, keys[:min(len(got), len(keys))]) {
			t.Fatalf("%q are no keys of the chain", got)
		}
		_, _ = Root(at)
		_, _ = Origin(at)
	})
}

// FuzzCheckpoint: what is read as a checkpoint is what it says, and only what was signed counts as signed.
func FuzzCheckpoint(f *testing.F) {
	dir, key, _ := seeded(f)
	keys, err := EpochKeys(dir, key)
	if err != nil {
		f.Fatal(err)
	}
	msg := content(f, dir, checkpointFile)
	signed, err := ParseCheckpoint(msg, keys...)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range damaged(msg) {
		f.Add(text)
	}
	f.Add([]byte("o\n-0\n\n\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if c, err := ParseCheckpoint(msg, keys...); err == nil && c != signed {
			t.Fatalf("%+v was never signed", c)
		}
		text, err := noteText(string(msg))
		if err != nil {
			return
		}
		if c, err := parseCheckpoint(text); err == nil {
			if again, err := parseCheckpoint(c.text()); err != nil || again != c || !bytes.HasPrefix(msg, []byte(c.text())) {
				t.Fatalf("%q is read as %+v", text, c)
			}
		}
		if c, err := parseCert(text); err == nil {
			if again, err := parseCert(c.text()); err != nil || again != c {
				t.Fatalf("%q is read as %+v", text, c)
			}
		}
		_, _ = checkpointOf(msg)
		_ = checkWitnesses(msg, []string{string(msg)})
	})
}

// FuzzProof: only what was recorded can be proven.
func FuzzProof(f *testing.F) {
	dir, key, written := seeded(f)
	keys, err := EpochKeys(dir, key)
	if err != nil {
		f.Fatal(err)
	}
	for seq := range int64(len(written)) {
		r, proof, err := Prove(dir, seq, true, VerifyOptions{Root: key})
		if err != nil {
			f.Fatal(err)
		}
		for _, text := range damaged([]byte(proof)) {
			f.Add(r.Line, string(text))
		}
	}
	f.Add([]byte("{}"), proofHead+"\nextra =\nindex 0\n\n")
	f.Fuzz(func(t *testing.T, core []byte, proof string) {
		if _, _, err := CheckProof(core, proof, keys...); err == nil && !written[string(core)] {
			t.Fatalf("%q was never recorded, and is proven", core)
		}
	})
}

// FuzzSubjects: whatever becomes of the file of people's keys, the chain verifies, and what it says of people is what was written or
// nothing; it can be opened, and people get keys.
func FuzzSubjects(f *testing.F) {
	dir, key, _ := seeded(f)
	for _, text := range damaged(content(f, dir, subjectsFile)) {
		f.Add(text)
	}
	f.Add(make([]byte, 3*slotSize+1))
	f.Fuzz(func(t *testing.T, text []byte) {
		there := with(t, dir, subjectsFile, text)
		if _, err := Verify(there, VerifyOptions{Root: key}); err != nil {
			t.Fatal(err)
		}
		_, err := Verify(there, VerifyOptions{Root: key, Each: func(r *Record) error {
			if p := r.Personal; p != nil && p.User != "" && p.User != "local:ada" {
				t.Errorf("it is about %q", p.User)
			}
			return nil
		}})
		if err != nil {
			t.Fatalf("what is sealed is read as something else, or as tampered with: %v", err)
		}
		s, err := openSubjects(there)
		if err != nil {
			t.Fatal(err)
		}
		one, err := s.of("local:new")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := readSubjects(there); err != nil || !bytes.Equal(again.byID[one.id], one.key) {
			t.Fatalf("a new key is not there: %v", err)
		}
		if ok, err := s.destroy("local:new"); err != nil || !ok {
			t.Fatal(err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	})
}
