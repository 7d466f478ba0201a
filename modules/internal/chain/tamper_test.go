package chain

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/event"
)

// longer is a chain of at least four segments, with the checkpoint that was kept elsewhere.
func longer(t *testing.T) (dir string, firsts []int64, anchor []byte) {
	t.Helper()
	dir = t.TempDir()
	c := open(t, dir, Options{Segment: 3000})
	record(t, c, 20)
	closed(t, c)
	firsts, err := segments(dir)
	if err != nil || len(firsts) < 4 {
		t.Fatalf("%d segments, %v", len(firsts), err)
	}
	anchor, err = os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	return dir, firsts, anchor
}

// What is done to whole files is found out, with a root and a checkpoint that were kept elsewhere, and it is said where that begins.
func TestTamperingWithFiles(t *testing.T) {
	for name, test := range map[string]struct {
		change func(dir string, at []string) error // at are the segments
		first  func(firsts []int64, size int64) int64
	}{
		"a segment is deleted": {
			func(_ string, at []string) error { return os.Remove(at[1]) },
			func(firsts []int64, _ int64) int64 { return firsts[1] },
		},
		"the first is deleted": {
			func(_ string, at []string) error { return os.Remove(at[0]) },
			func([]int64, int64) int64 { return 0 },
		},
		"the last is deleted": {
			func(_ string, at []string) error { return os.Remove(at[len(at)-1]) },
			func(firsts []int64, _ int64) int64 { return firsts[len(firsts)-1] },
		},
		"all are deleted": {
			func(_ string, at []string) error {
				var err error
				for _, one := range at {
					err = errors.Join(err, os.Remove(one))
				}
				return err
			},
			func([]int64, int64) int64 { return 0 },
		},
		"a segment is emptied": {
			func(_ string, at []string) error { return os.Truncate(at[2], 0) },
			func(firsts []int64, _ int64) int64 { return firsts[2] },
		},
		"two are exchanged": {
			func(dir string, at []string) error {
				away := filepath.Join(dir, "away")
				return errors.Join(os.Rename(at[1], away), os.Rename(at[2], at[1]), os.Rename(away, at[2]))
			},
			func(firsts []int64, _ int64) int64 { return firsts[1] },
		},
		"one stands there twice": {
			func(_ string, at []string) error {
				text, err := os.ReadFile(at[1])
				return errors.Join(err, os.WriteFile(at[2], text, 0o600))
			},
			func(firsts []int64, _ int64) int64 { return firsts[2] },
		},
		"the records are reversed": {
			func(_ string, at []string) error {
				text, err := os.ReadFile(at[0])
				lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
				slices.Reverse(lines[1:])
				return errors.Join(err, os.WriteFile(at[0], []byte(strings.Join(lines, "\n")+"\n"), 0o600))
			},
			func(firsts []int64, _ int64) int64 { return 0 },
		},
		"the published checkpoint is deleted, and the end cut off": {
			func(dir string, at []string) error {
				return errors.Join(os.Remove(filepath.Join(dir, checkpointFile)), os.Remove(at[len(at)-1]))
			},
			func(firsts []int64, _ int64) int64 { return firsts[len(firsts)-1] },
		},
		"the certificates are deleted": {
			func(dir string, _ []string) error { return os.Remove(filepath.Join(dir, epochsFile)) }, nil,
		},
		"the certificates are emptied": {
			func(dir string, _ []string) error { return os.Truncate(filepath.Join(dir, epochsFile), 0) }, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, firsts, anchor := longer(t)
			o := VerifyOptions{Root: root(t, dir), Anchors: [][]byte{anchor}}
			size := verified(t, dir, o).Size
			var at []string
			for _, first := range firsts {
				at = append(at, filepath.Join(dir, segmentName(first)))
			}
			if err := test.change(dir, at); err != nil {
				t.Fatal(err)
			}
			_, err := Verify(dir, o)
			fault := (*Fault)(nil)
			switch {
			case test.first == nil:
				if err == nil {
					t.Error("nobody notices")
				}
			case !errors.As(err, &fault) || fault.Seq != test.first(firsts, size):
				t.Errorf("%v, want a fault at %d", err, test.first(firsts, size))
			}
		})
	}
}

// Nothing of another gateway's chain passes for this one's: the whole of it, a segment, a record, its certificates.
func TestAnothersChain(t *testing.T) {
	for name, splice := range map[string]func(t *testing.T, dir, other string){
		"all of it": func(t *testing.T, dir, other string) {
			if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(other))); err != nil {
				t.Fatal(err)
			}
		},
		"all but the certificates": func(t *testing.T, dir, other string) {
			certs, err := os.ReadFile(filepath.Join(dir, epochsFile))
			if err = errors.Join(err, os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(other)), os.WriteFile(filepath.Join(dir, epochsFile), certs, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
		"the certificates": func(t *testing.T, dir, other string) {
			certs, err := os.ReadFile(filepath.Join(other, epochsFile))
			if err = errors.Join(err, os.WriteFile(filepath.Join(dir, epochsFile), certs, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
		"its end": func(t *testing.T, dir, other string) {
			text, err := os.ReadFile(filepath.Join(other, segmentName(0)))
			if err != nil {
				t.Fatal(err)
			}
			theirs := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			edit(t, filepath.Join(dir, segmentName(0)), func(lines []string) []string {
				return append(lines[:at(lines, 6)], theirs[at(theirs, 6):]...)
			})
		},
		"a record": func(t *testing.T, dir, other string) {
			text, err := os.ReadFile(filepath.Join(other, segmentName(0)))
			if err != nil {
				t.Fatal(err)
			}
			theirs := strings.Split(string(text), "\n")
			edit(t, filepath.Join(dir, segmentName(0)), func(lines []string) []string {
				lines[at(lines, 6)] = theirs[at(theirs, 6)]
				return lines
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, anchor := tampered(t)
			other, _ := tampered(t)
			key := root(t, dir)
			splice(t, dir, other)
			if _, err := Verify(dir, VerifyOptions{Root: key, Anchors: [][]byte{anchor}}); err == nil {
				t.Error("nobody notices, with a checkpoint from elsewhere")
			}
			if _, err := Verify(dir, VerifyOptions{Root: key}); err == nil {
				t.Error("nobody notices, with the public key alone")
			}
		})
	}
}

// Who has today's key can neither go back to an earlier epoch nor begin another one there, and what they make of today's records
// differs from a checkpoint that is elsewhere.
func TestStolenKeyForksNothing(t *testing.T) {
	dir := t.TempDir()
	inEpochs(t, dir, 3)
	key := root(t, dir)
	anchor, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := readKey(dir)
	if err != nil || stolen.Epoch != 2 {
		t.Fatalf("%v %v", stolen.Epoch, err)
	}
	certs, err := readEpochs(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	thief := stolen.signer(origin)

	t.Run("another second epoch", func(t *testing.T) {
		there := t.TempDir()
		if err := os.CopyFS(there, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		forged := certs[1]
		forged.key = thief.Verifier()
		msg, err := signNote(forged.text(), thief)
		if err != nil {
			t.Fatal(err)
		}
		edit(t, filepath.Join(there, epochsFile), func(lines []string) []string {
			return append(lines[:1], fmt.Sprintf(`{"epoch":%q}`, msg))
		})
		if _, err := Verify(there, VerifyOptions{Root: key}); err == nil {
			t.Error("the thief certifies a key of the past")
		}
	})
	t.Run("back to the first epoch", func(t *testing.T) {
		there := t.TempDir()
		if err := os.CopyFS(there, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		seq := certs[1].Size - 2 // a record of the first epoch, and the end of the chain now
		edit(t, filepath.Join(there, epochsFile), func(lines []string) []string { return lines[:1] })
		edit(t, filepath.Join(there, segmentName(0)), func(lines []string) []string {
			return resign(t, lines[:at(lines, int(seq)+2)], seq, func(int64) *Signer { return thief })
		})
		_ = os.Remove(filepath.Join(there, checkpointFile))
		if _, err := Verify(there, VerifyOptions{Root: key}); err == nil {
			t.Error("the thief signs for the first epoch")
		}
		// With what that epoch had signed by itself, the files are old ones.
		if err := os.WriteFile(filepath.Join(there, segmentName(0)), cutBefore(t, dir, int(seq)), 0o600); err != nil {
			t.Fatal(err)
		}
		verified(t, there, VerifyOptions{Root: key})
		fault := (*Fault)(nil)
		if _, err := Verify(there, VerifyOptions{Root: key, Anchors: [][]byte{anchor}}); !errors.As(err, &fault) && err == nil {
			t.Error("old files pass beside a checkpoint from elsewhere")
		}
	})
	t.Run("today", func(t *testing.T) {
		seq := certs[2].Size + 2
		edit(t, filepath.Join(dir, segmentName(0)), func(lines []string) []string { return resignFrom(t, lines, seq, certs[2].Size, thief) })
		_ = os.Remove(filepath.Join(dir, checkpointFile))
		verified(t, dir, VerifyOptions{Root: key}) // as ADR 0012 says: nothing protects what is nowhere else
		fault := (*Fault)(nil)
		if _, err := Verify(dir, VerifyOptions{Root: key, Anchors: [][]byte{anchor}}); !errors.As(err, &fault) {
			t.Errorf("%v, want a fault: the checkpoint from elsewhere is of other records", err)
		}
	})
}

func cutBefore(t *testing.T, dir string, seq int) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, segmentName(0)))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	return []byte(strings.Join(lines[:at(lines, seq)], ""))
}

// resignFrom is resign, which leaves the checkpoints before as they are.
func resignFrom(t *testing.T, lines []string, seq, from int64, by *Signer) []string {
	t.Helper()
	before := slices.Clone(lines)
	lines = resign(t, lines, seq, func(int64) *Signer { return by })
	for i, line := range before {
		msg, ok := checkpointOf([]byte(line))
		if !ok {
			continue
		}
		text, err := noteText(msg)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := parseCheckpoint(text); err != nil || c.Size <= from {
			lines[i] = line
		}
	}
	return lines
}

// Verifying while records are written finds nothing wrong, ever.
func TestVerifyWhileWriting(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{Segment: 8000})
	record(t, c, 1)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if err := c.Record(happened(i)); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	key, size := root(t, dir), int64(0)
	for round := 0; round < 50 || c.Status().Size < 60; round++ {
		r := verified(t, dir, VerifyOptions{Root: key})
		if r.Size < size {
			t.Errorf("%d records after %d", r.Size, size)
		}
		size = r.Size
	}
	close(stop)
	<-ended
	closed(t, c)
	if r := verified(t, dir, VerifyOptions{Root: key}); r.Segments < 2 {
		t.Errorf("%d records in %d segments: the test tests nothing", r.Size, r.Segments)
	}
}

// Whatever a text holds, it makes no record but its own, and is read as it was, where that is possible at all.
func TestTextsMakeNoRecords(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{})
	texts := []string{
		"a\r\nb", "\x1b[31mred", "\u2028\u2029", "\xff\xfe", "a\tb", strings.Repeat("x", 1<<20), strings.Repeat("\x01", 1<<20), "\x00", `","kind":"x`,
		"\n" + `{"seq":1,"time":"2026-01-01T00:00:00.000000000Z","mono":1,"run":"","prev":"","kind":"user.deleted"}` + "\n",
		"\n" + `{"checkpoint":"x\n\n"}` + "\n", `,"subject":"","sealed":"`, `,"epoch":"`, `,"gone":{`,
	}
	for _, text := range texts {
		e := event.Event{
			Kind: event.Kind(text), RequestID: text, Site: text, Method: text, User: "local:" + text, Session: text, Path: text, Detail: text,
		}
		for range 40 {
			e.Attrs = append(e.Attrs, event.Attr{Key: text, Value: text})
		}
		if err := c.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, c)
	read := 0
	r := verified(t, dir, VerifyOptions{Root: root(t, dir), Each: func(r *Record) error {
		if r.Seq == 0 {
			return nil
		}
		if want := strings.ToValidUTF8(clip(texts[read]), "\ufffd"); r.Personal == nil || r.Personal.Detail != want && !strings.Contains(texts[read], "\xff") {
			t.Errorf("%.40q is read as %.60q", texts[read], r.Personal.Detail)
		}
		read++
		return nil
	}})
	if int(r.Size) != len(texts)+1 || read != len(texts) || len(r.Findings) > 0 || len(r.Pruned) > 0 {
		t.Errorf("%d texts made %d records; %v", len(texts), r.Size, r.Findings)
	}
}

// A change of keys that failed, the disk being full in the middle of it, is done later, and nothing of the attempt is in the way.
func TestRotationOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir, Options{})
		record(t, c, 3)
		f, err := os.OpenFile(filepath.Join(dir, epochsFile), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.WriteString(`{"epoch":"gatehouse audit epo`); errors.Join(err, f.Close()) != nil {
			t.Fatal(err)
		}
		for range 2 {
			time.Sleep(61 * time.Minute)
			synctest.Wait()
			record(t, c, 2)
		}
		closed(t, c)
	})
	if r := verified(t, dir, VerifyOptions{Root: root(t, dir)}); r.Epochs != 3 || len(r.Findings) > 0 {
		t.Errorf("%+v", r)
	}
}
