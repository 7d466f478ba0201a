package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/event"
)

const origin = "test.internal/audit"

func open(t testing.TB, dir string, o Options) *Chain {
	t.Helper()
	o.Origin = origin
	c, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func closed(t testing.TB, c *Chain) {
	t.Helper()
	if err := c.Destruct(); err != nil {
		t.Fatal(err)
	}
}

func happened(n int) event.Event {
	return event.Event{
		Kind: event.UserDisabled, Time: time.Now(), RequestID: fmt.Sprint("r", n), User: "local:ada", Detail: "left \"us\"\n",
		ClientIP: netip.MustParseAddr("192.0.2.7"), Attrs: []event.Attr{{Key: "by", Value: "olga"}},
	}
}

func record(t testing.TB, c *Chain, n int) {
	t.Helper()
	for i := range n {
		if err := c.Record(happened(i)); err != nil {
			t.Fatal(err)
		}
	}
}

func verified(t testing.TB, dir string, o VerifyOptions) *Report {
	t.Helper()
	r, err := Verify(dir, o)
	if err != nil {
		t.Fatalf("a good chain: %v", err)
	}
	return r
}

func root(t testing.TB, dir string) string {
	t.Helper()
	key, err := Root(dir)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// What Record returned for is there, in order, over closing and opening, and is read again as it was.
func TestRecordAndVerify(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{Segment: 4096})
	record(t, c, 30)
	for i := range 100 {
		c.Keep(happened(i))
	}
	closed(t, c)
	c = open(t, dir, Options{Segment: 4096})
	record(t, c, 5)
	closed(t, c)

	var kinds []string
	r := verified(t, dir, VerifyOptions{Root: root(t, dir), Each: func(r *Record) error {
		kinds = append(kinds, r.Kind)
		if p := r.Personal; r.Kind == string(event.UserDisabled) && (p.User != "local:ada" || p.Detail != "left \"us\"\n" || p.Client != "192.0.2.7" || p.Attrs[0] != [2]string{"by", "olga"}) {
			t.Errorf("%d: %+v", r.Seq, p)
		}
		return nil
	}})
	if r.Size != 137 || len(kinds) != 137 || kinds[0] != string(Opened) || kinds[131] != string(Opened) || r.Segments < 3 || len(r.Findings) > 0 || r.Origin != origin {
		t.Errorf("%+v: %d records, %d segments", r, len(kinds), r.Segments)
	}
	if _, err := Verify(dir, VerifyOptions{Root: root(t, madeElsewhere(t))}); err == nil {
		t.Error("another chain's key verifies this one")
	}
}

func madeElsewhere(t *testing.T) string {
	dir := t.TempDir()
	closed(t, open(t, dir, Options{}))
	return dir
}

// tampered is a chain of 12 records and some, each in a group of its own but for the last ones.
func tampered(t *testing.T) (dir string, anchor []byte) {
	dir = t.TempDir()
	c := open(t, dir, Options{})
	record(t, c, 12)
	closed(t, c)
	anchor, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	return dir, anchor
}

func edit(t *testing.T, file string, change func(lines []string) []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := change(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// at returns the index of the line of the record.
func at(lines []string, seq int) int {
	for i, line := range lines {
		if strings.HasPrefix(line, fmt.Sprintf(`{"seq":%d,`, seq)) {
			return i
		}
	}
	panic("no such record")
}

// Whatever is done to the files, the first sequence that it was done to is named.
func TestTampering(t *testing.T) {
	swap := func(from, to string, seq int) func([]string) []string {
		return func(lines []string) []string {
			i := at(lines, seq)
			changed := strings.Replace(lines[i], from, to, 1)
			if changed == lines[i] {
				panic("nothing to change in " + changed)
			}
			lines[i] = changed
			return lines
		}
	}
	without := func(seqs ...int) func([]string) []string {
		return func(lines []string) []string {
			for _, seq := range seqs {
				i := at(lines, seq)
				lines = append(lines[:i:i], lines[i+1:]...)
			}
			return lines
		}
	}
	for name, test := range map[string]struct {
		change func([]string) []string
		seq    int64
	}{
		"a kind is changed":            {swap("user.disabled", "user.enabled_", 5), 5},
		"the first is changed":         {swap("audit.opened", "audit.Opened", 0), 0},
		"the last is changed":          {swap("user.disabled", "user.enabled_", 12), 12},
		"a person is changed":          {swap(`"sealed":"`, `"sealed":"A`, 7), 7},
		"a link is changed":            {swap(`"prev":"`, `"prev":"A`, 6), 6},
		"one is deleted":               {without(4), 4},
		"the first is deleted":         {without(0), 0},
		"several are deleted":          {without(4, 5, 9), 4},
		"the last is deleted":          {without(12), 12},
		"it is given another sequence": {swap(`"seq":8`, `"seq":9`, 8), 8},
		"two are exchanged": {func(lines []string) []string {
			a, b := at(lines, 3), at(lines, 4)
			lines[a], lines[b] = lines[b], lines[a]
			return lines
		}, 3},
		"one is repeated": {func(lines []string) []string {
			i := at(lines, 3)
			return append(lines[:i+1:i+1], lines[i:]...)
		}, 4},
		"one is put in": {func(lines []string) []string {
			i := at(lines, 3)
			return append(append(lines[:i:i], strings.Replace(lines[i], "user.disabled", "user.deleted_", 1)), lines[i:]...)
		}, 4},
		"the end is cut off": {func(lines []string) []string { return lines[:at(lines, 10)] }, 10},
		"everything is gone": {func(lines []string) []string { return lines[:1] }, 0},
		"a signature is changed": {func(lines []string) []string {
			i := at(lines, 12) + 1
			end := len(lines[i]) - 20
			lines[i] = lines[i][:end] + strings.Repeat("A", 10) + lines[i][end+10:]
			return lines
		}, 12},
		"the header is changed": {func(lines []string) []string {
			lines[0] = strings.Replace(lines[0], `"first":0`, `"first":3`, 1)
			return lines
		}, 0},
		"a line is no record": {func(lines []string) []string { lines[at(lines, 5)] = "{}"; return lines }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			dir, anchor := tampered(t)
			verified(t, dir, VerifyOptions{Root: root(t, dir), Anchors: [][]byte{anchor}})
			edit(t, filepath.Join(dir, segmentName(0)), test.change)
			_, err := Verify(dir, VerifyOptions{Root: root(t, dir), Anchors: [][]byte{anchor}})
			var fault *Fault
			if !errors.As(err, &fault) || fault.Seq != test.seq {
				t.Errorf("%v, want a fault at %d", err, test.seq)
			}
		})
	}
}

// An old copy of all files is found out by a checkpoint that was kept elsewhere, and by nothing else.
func TestReplayOfOldFiles(t *testing.T) {
	dir, _ := tampered(t)
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	c := open(t, dir, Options{})
	record(t, c, 3)
	closed(t, c)
	anchor, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		t.Fatal(err)
	}
	verified(t, old, VerifyOptions{Root: root(t, dir)})
	var fault *Fault
	if _, err := Verify(old, VerifyOptions{Root: root(t, dir), Anchors: [][]byte{anchor}}); !errors.As(err, &fault) || fault.Seq != 13 {
		t.Errorf("old files: %v, want a fault at 13", err)
	}
	// The old files go on, in another way: two histories.
	c = open(t, old, Options{})
	record(t, c, 9)
	closed(t, c)
	if _, err := Verify(old, VerifyOptions{Root: root(t, dir), Anchors: [][]byte{anchor}}); !errors.As(err, &fault) {
		t.Errorf("another history: %v, want a fault", err)
	}
}

// inEpochs makes a chain of five records in each of n epochs, and closes it.
func inEpochs(t *testing.T, dir string, n int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir, Options{})
		for range n - 1 {
			record(t, c, 5)
			time.Sleep(61 * time.Minute)
			synctest.Wait()
		}
		record(t, c, 5)
		closed(t, c)
	})
}

// Who steals the key of today can sign what comes, and can rewrite nothing of an earlier epoch.
func TestStolenKeyCannotRewriteEarlierEpochs(t *testing.T) {
	dir := t.TempDir()
	inEpochs(t, dir, 4)
	r := verified(t, dir, VerifyOptions{Root: root(t, dir)})
	if r.Epochs != 4 || len(r.Findings) > 0 {
		t.Fatalf("%+v", r)
	}
	stolen, err := readKey(dir)
	if err != nil || stolen.Epoch != 3 || stolen.Next != nil {
		t.Fatalf("the key: %+v, %v", stolen.Epoch, err)
	}
	thief := stolen.signer(origin)
	// The thief changes record 2 and everything that follows from it, and signs all of it anew.
	edit(t, filepath.Join(dir, segmentName(0)), func(lines []string) []string { return resign(t, lines, 2, func(int64) *Signer { return thief }) })
	var fault *Fault
	if _, err := Verify(dir, VerifyOptions{Root: root(t, dir)}); !errors.As(err, &fault) || fault.Seq > 2 {
		t.Errorf("%v, want a fault at 2 or before it", err)
	}
}

// resign changes a record and makes the rest of the segment consistent with it.
func resign(t *testing.T, lines []string, seq int64, by func(size int64) *Signer) []string {
	var tree tip
	for i, line := range lines[1:] {
		if _, ok := checkpointOf([]byte(line)); ok {
			if tree.size <= seq {
				continue
			}
			msg, err := signNote(Checkpoint{origin, tree.size, tree.root()}.text(), by(tree.size))
			if err != nil {
				t.Fatal(err)
			}
			lines[1+i] = fmt.Sprintf(`{"checkpoint":%q}`, msg)
			continue
		}
		hashed, aside, has := strings.Cut(line, "\t")
		h, _, err := cutHead([]byte(hashed))
		if err != nil {
			t.Fatal(err)
		}
		hashed = strings.Replace(hashed, string(h.prev), tree.prev.String(), 1)
		if h.seq == seq {
			hashed = strings.Replace(hashed, "user.disabled", "user.enabled_", 1)
		}
		tree.add(leaf([]byte(hashed)))
		if lines[1+i] = hashed; has {
			lines[1+i] += "\t" + aside
		}
	}
	return lines
}

// Whoever has no key at all and makes everything else right is found out by the signatures, and where they began is said.
func TestRewrittenWithoutKey(t *testing.T) {
	dir, _ := tampered(t)
	stranger := epochKey{Seed: newSeed()}.signer(origin)
	edit(t, filepath.Join(dir, segmentName(0)), func(lines []string) []string { return resign(t, lines, 6, func(int64) *Signer { return stranger }) })
	var fault *Fault
	if _, err := Verify(dir, VerifyOptions{Root: root(t, dir)}); !errors.As(err, &fault) || fault.Seq != 6 {
		t.Errorf("%v, want a fault at 6", err)
	}
}

// What stands after the last checkpoint was never acknowledged; whatever a crash leaves of it, the chain goes on.
func TestTornTail(t *testing.T) {
	dir, _ := tampered(t)
	file := filepath.Join(dir, segmentName(0))
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	last := bytes.LastIndex(whole, []byte(`{"seq":12,`))
	for _, end := range []int{last + 1, last + 100, len(whole) - 300, len(whole) - 1, len(whole)} {
		if err := os.WriteFile(file, whole[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		c := open(t, dir, Options{})
		record(t, c, 1)
		closed(t, c)
		r := verified(t, dir, VerifyOptions{Root: root(t, dir)})
		if want := int64(15); r.Size != want && end < len(whole) || r.Size != 15 && end == len(whole) { // opened, recovered, one more
			t.Errorf("cut at %d of %d: %d records", end, len(whole), r.Size)
		}
		if err := os.Remove(filepath.Join(dir, checkpointFile)); err != nil {
			t.Fatal(err)
		}
	}
}

// While the disk takes nothing, what must be on record is refused, the rest waits, and what does not fit is counted; then all
// of it is written, and how much was lost.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	told := make(chan error, 4)
	c := open(t, dir, Options{Notify: func(err error) { told <- err }})
	record(t, c, 3)
	away := dir + ".away"
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	c.file.Close()
	c.file = full // nothing is being written: Record has returned
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.Record(event.Event{Kind: event.UserDeleted}); !errors.Is(err, ErrDown) {
			t.Fatalf("a full disk: %v", err)
		}
	}
	if err := <-told; err == nil || c.Status().Down == "" {
		t.Error("nobody is told")
	}
	for i := range 2*maxWaiting + 100 { // one queue full may be on its way to the disk
		c.Keep(happened(i))
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	for c.Record(happened(1)) != nil { // the queue may be full for a moment
	}
	if err := <-told; err != nil || c.Status().Down != "" {
		t.Errorf("it is still down: %v %q", err, c.Status().Down)
	}
	closed(t, c)
	lost, deleted, n := "", 0, 0
	verified(t, dir, VerifyOptions{Root: root(t, dir), Each: func(r *Record) error {
		switch r.Kind {
		case string(Lost):
			lost += r.Personal.Detail
		case string(event.UserDeleted):
			deleted++
		case string(event.UserDisabled):
			n++
		}
		return nil
	}})
	if deleted > 0 {
		t.Error("what was refused is on record as done")
	}
	if !strings.Contains(lost, "events could not be kept") || n < maxWaiting {
		t.Errorf("lost: %q, kept: %d", lost, n)
	}
}

// Pruning is recorded, the rest verifies, and a hold prevents it. Without the record, records that are missing are.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, dir, Options{Segment: 2000, Keep: 48 * time.Hour})
		for range 6 {
			record(t, c, 4)
			time.Sleep(12 * time.Hour)
		}
		if err := SetHolds(dir, []Hold{{Name: "case-7"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		if first := c.Status().First; first != 0 && first > 20 {
			t.Errorf("a hold holds nothing: %d", first)
		}
		before := c.Status().First
		if err := SetHolds(dir, nil); err != nil {
			t.Fatal(err)
		}
		record(t, c, 4)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if c.Status().First <= before {
			t.Errorf("nothing is pruned: %d", c.Status().First)
		}
		record(t, c, 1)
		closed(t, c)
	})
	r := verified(t, dir, VerifyOptions{Root: root(t, dir)})
	if r.First == 0 || len(r.Pruned) == 0 || r.Pruned[len(r.Pruned)-1].To != r.First-1 {
		t.Fatalf("%+v", r)
	}
	if _, proof, err := Prove(dir, r.Size-2, false, VerifyOptions{}); err != nil || !strings.HasPrefix(proof, proofHead) {
		t.Errorf("a proof after pruning: %v", err)
	}
	firsts, _ := segments(dir)
	if err := os.Remove(filepath.Join(dir, segmentName(firsts[0]))); err != nil {
		t.Fatal(err)
	}
	var fault *Fault
	if _, err := Verify(dir, VerifyOptions{Root: root(t, dir)}); !errors.As(err, &fault) || fault.Seq != 0 {
		t.Errorf("a segment was taken away: %v", err)
	}
}

// The wall clock is compared with the one that nobody can set.
func TestClock(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{})
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(-time.Hour), now.Add(time.Hour)} {
		e := happened(0)
		e.Time = at
		if err := c.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, c)
	rolled := 0
	r := verified(t, dir, VerifyOptions{Each: func(r *Record) error {
		if r.Kind == string(event.ClockRolledBack) {
			rolled++
		}
		return nil
	}})
	if rolled != 1 || len(r.Findings) < 2 {
		t.Errorf("%d events, findings %v", rolled, r.Findings)
	}
}

// A proof holds for its record and no other, and without the chain.
func TestProofs(t *testing.T) {
	dir, _ := tampered(t)
	keys, err := EpochKeys(dir, root(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	for seq := range int64(13) {
		r, proof, err := Prove(dir, seq, true, VerifyOptions{})
		if err != nil {
			t.Fatalf("%d: %v", seq, err)
		}
		got, c, err := CheckProof(r.Line, proof, append(keys, keys...)...) // the root is said, and is among the certified keys
		if err != nil || got.Seq != seq || c.Size != 13 {
			t.Fatalf("%d: %v", seq, err)
		}
		if seq > 0 && got.Personal.User != "local:ada" {
			t.Errorf("%d: its personal part is gone", seq)
		}
		if _, _, err := CheckProof(bytes.Replace(r.Line, []byte(`"kind":"`), []byte(`"kind":"x`), 1), proof, keys...); err == nil {
			t.Errorf("%d: another record is proven", seq)
		}
		if _, _, err := CheckProof(r.Line, proof, root(t, madeElsewhere(t))); err == nil {
			t.Errorf("%d: proven by a stranger's key", seq)
		}
	}
	if _, _, err := Prove(dir, 99, true, VerifyOptions{}); err == nil {
		t.Error("a record that is not there is proven")
	}
}

// The personal part can be taken away, and everything else still verifies.
func TestErased(t *testing.T) {
	dir, anchor := tampered(t)
	edit(t, filepath.Join(dir, segmentName(0)), func(lines []string) []string {
		i := at(lines, 5)
		lines[i], _, _ = strings.Cut(lines[i], "\t")
		return lines
	})
	if r := verified(t, dir, VerifyOptions{Root: root(t, dir), Anchors: [][]byte{anchor}}); r.Erased != 1 {
		t.Errorf("%d erased", r.Erased)
	}
}

// When a person's key is destroyed, nobody can read what the records say of them, in copies neither; who did it stays, other
// people's records do, and everything verifies. Where it stood in the file there is nothing.
func TestErasedSubject(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, Options{Origin: "test"})
	for _, e := range []event.Event{
		{Kind: event.UserDisabled, User: "local:ada", Detail: "SECRETADA"}, {Kind: event.UserDisabled, User: "local:bob", Detail: "about bob"},
		{Kind: event.AdminRequested, Attrs: []event.Attr{{Key: "operator", Value: "olga"}, {Key: "user", Value: "local:ada"}, {Key: "note", Value: "SECRETADA"}}},
	} {
		if err := c.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	segment, _ := os.ReadFile(filepath.Join(dir, segmentName(0)))
	if bytes.Contains(segment, []byte("SECRETADA")) || bytes.Contains(segment, []byte("local:ada")) {
		t.Fatalf("in the clear:\n%s", segment)
	}
	keys, _ := os.ReadFile(filepath.Join(dir, subjectsFile))
	read := func() (text string, erased int64) {
		r, err := Verify(dir, VerifyOptions{Each: func(r *Record) error {
			all, err := json.Marshal(r.Personal)
			text += string(all) + "\n"
			return err
		}})
		if err != nil {
			t.Fatal(err)
		}
		return text, r.Erased
	}
	if text, erased := read(); strings.Count(text, "SECRETADA") != 2 || erased != 0 {
		t.Errorf("before: %d erased\n%s", erased, text)
	}
	if done, err := c.EraseSubject("local:ada"); !done || err != nil {
		t.Fatal(done, err)
	}
	if done, err := c.EraseSubject("local:ada"); done || err != nil {
		t.Errorf("twice: %v, %v", done, err)
	}
	if text, erased := read(); strings.Contains(text, "SECRETADA") || !strings.Contains(text, "about bob") || !strings.Contains(text, "olga") || erased != 2 {
		t.Errorf("after: %d erased\n%s", erased, text)
	}
	now, _ := os.ReadFile(filepath.Join(dir, subjectsFile))
	for at := 0; at+slotSize <= len(keys); at += slotSize {
		if h := nameHash("local:ada"); bytes.Equal(keys[at:at+hashSize], h[:]) && bytes.Count(now[at:at+slotSize], []byte{0}) != slotSize {
			t.Error("the key is still in the file")
		}
	}
	if err := c.Record(event.Event{Kind: event.UserCreated, User: "local:ada", Detail: "another one"}); err != nil { // of the same name
		t.Fatal(err)
	}
	if err := c.Destruct(); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir, Options{Origin: "test"})
	if text, erased := read(); !strings.Contains(text, "another one") || erased != 2 || !c.HasSubject("local:ada") {
		t.Errorf("later: %d erased\n%s", erased, text)
	}
}

// A change of keys that is interrupted anywhere is finished or taken back when the chain is opened.
func TestInterruptedRotation(t *testing.T) {
	for name, interrupt := range map[string]func(t *testing.T, dir string, c *Chain){
		"before the certificate": func(t *testing.T, dir string, c *Chain) {
			if err := writeKey(dir, epochKey{c.key.Epoch, c.key.Seed, newSeed()}); err != nil {
				t.Fatal(err)
			}
		},
		"before the record": func(t *testing.T, dir string, c *Chain) {
			next := epochKey{Epoch: 1, Seed: newSeed()}
			if err := writeKey(dir, epochKey{c.key.Epoch, c.key.Seed, next.Seed}); err != nil {
				t.Fatal(err)
			}
			msg, err := signNote(epochCert{Checkpoint{origin, c.tip.size, c.tip.root()}, 1, next.signer(origin).Verifier()}.text(), c.signer)
			if err == nil {
				err = appendLine(filepath.Join(dir, epochsFile), epochLine{msg})
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"before the key": func(t *testing.T, dir string, c *Chain) {
			before := c.key
			if err := c.rotate(); err != nil {
				t.Fatal(err)
			}
			if err := writeKey(dir, epochKey{before.Epoch, before.Seed, c.key.Seed}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := open(t, dir, Options{})
			record(t, c, 3)
			closed(t, c)
			c.file, _ = os.OpenFile(filepath.Join(dir, segmentName(0)), os.O_RDWR, 0o600)
			interrupt(t, dir, c)
			c.file.Close()
			for range 2 {
				c = open(t, dir, Options{})
				record(t, c, 2)
				closed(t, c)
			}
			verified(t, dir, VerifyOptions{Root: root(t, dir)})
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	c := open(b, b.TempDir(), Options{})
	defer c.Destruct()
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			if err := c.Record(happened(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("64 at once", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := c.Record(happened(1)); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	c := open(b, dir, Options{})
	const n = 200_000
	for i := range n {
		for c.Status().Size < int64(i-4000) {
			time.Sleep(time.Millisecond)
		}
		c.Keep(happened(i))
	}
	closed(b, c)
	for b.Loop() {
		r, err := Verify(dir, VerifyOptions{})
		if err != nil || r.Size < n {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
}
