package ban

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// diary is a log that a test writes, and what was read of it.
type diary struct {
	t     *testing.T
	path  string
	of    *logFile
	clock time.Time
	lines []string
	lost  int64
}

func newDiary(t *testing.T, before string) *diary {
	t.Helper()
	d := &diary{t: t, path: filepath.Join(t.TempDir(), "auth.log"), clock: time.Now()}
	if before != "" {
		d.write(before)
	}
	d.of = &logFile{path: d.path}
	t.Cleanup(func() { d.of.close() })
	return d
}

func (d *diary) write(text string) { d.writeTo(d.path, text) }

func (d *diary) writeTo(path, text string) {
	d.t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// do calls f for what is done with the file's name.
func (d *diary) do(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// wants reads on, and compares what it found with the lines.
func (d *diary) wants(lines ...string) {
	d.t.Helper()
	if wrong := d.of.look(d.clock); wrong != "" {
		d.t.Errorf("what is wrong: %s", wrong)
	}
	d.lines = nil
	for more := true; more; {
		var err error
		var lost int64
		more, lost, err = d.of.read(make([]byte, 64), d.clock, func(line []byte) { d.lines = append(d.lines, string(line)) })
		d.do(err)
		d.lost += lost
	}
	d.clock = d.clock.Add(logEvery)
	if !slices.Equal(d.lines, lines) {
		d.t.Errorf("read %q, want %q", d.lines, lines)
	}
}

func TestLogIsReadFromItsEnd(t *testing.T) {
	d := newDiary(t, "old\nhalf of an old")
	d.wants()
	d.write(" one\nnew\nhal")
	d.wants("new")
	d.write("f\r\n\n")
	d.wants("half", "")
}

func TestLogThatIsNotThereYet(t *testing.T) {
	d := newDiary(t, "")
	if wrong := d.of.look(d.clock); !strings.Contains(wrong, "no such file") || d.of.readable() {
		t.Errorf("told: %q", wrong)
	}
	for range 100 {
		d.clock = d.clock.Add(logEvery)
		if wrong := d.of.look(d.clock); wrong != "" {
			t.Fatalf("told twice: %s", wrong)
		}
	}
	d.write("first\n")
	d.wants("first")
	if !d.of.readable() {
		t.Error("it is there, and said not to be")
	}
	d.do(os.Remove(d.path))
	told := 0
	for range 100 {
		d.clock = d.clock.Add(logEvery)
		if d.of.look(d.clock) != "" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("that it is gone was told %d times", told)
	}
	d.write("again\n")
	d.wants("again")
}

// Renamed, as logrotate does by default: the writer goes on with the old file for a while.
func TestLogIsRenamed(t *testing.T) {
	d := newDiary(t, "old\n")
	d.wants()
	d.write("one\n")
	d.do(os.Rename(d.path, d.path+".1"))
	d.writeTo(d.path+".1", "two\nthr")
	d.wants("one", "two")
	d.write("four\n")
	d.writeTo(d.path+".1", "ee\n")
	d.wants("three", "four")
	d.writeTo(d.path+".1", "five\n")
	d.wants("five")
	d.clock = d.clock.Add(logLingers)
	d.wants()
	if d.of.old != nil {
		t.Error("the renamed file is never let go")
	}
	d.do(os.Rename(d.path, d.path+".1"))
	d.write("six\n")
	d.wants("six")
	d.do(os.Rename(d.path, d.path+".1"))
	d.write("seven\n")
	d.wants("seven")
}

// Copied and emptied, as logrotate's copytruncate does; also when it has grown longer than before by the next look.
func TestLogIsEmptied(t *testing.T) {
	d := newDiary(t, "old\n")
	d.wants()
	d.write("one\nhalf")
	d.wants("one")
	d.do(os.Truncate(d.path, 0))
	d.write("two\n")
	d.wants("two")
	d.do(os.Truncate(d.path, 0))
	d.write("and this is longer\nthan what was there\n")
	d.wants("and this is longer", "than what was there")
	d.do(os.Truncate(d.path, 0))
	d.wants()
	d.write("three\n")
	d.wants("three")
}

// A line that is too long is none, wherever it is cut; and nobody is made to read for ever.
func TestLogIsBounded(t *testing.T) {
	d := newDiary(t, "old\n")
	d.wants()
	for _, n := range []int{maxLogLine + 1, maxLogLine + 1000, 3 * maxLogLine} {
		d.lost = 0
		d.write(strings.Repeat("x", n) + "\nnext\n")
		d.wants("next")
		if d.lost != int64(n) {
			t.Errorf("of %d bytes %d are said to be passed over", n, d.lost)
		}
	}
	d.write(strings.Repeat("y", maxLogLine) + "\n")
	d.wants(strings.Repeat("y", maxLogLine))
	d.lost = 0
	d.do(os.Truncate(d.path, 1<<30))
	d.wants()
	if d.lost < 1<<29 || cap(d.of.now.rest) > 2*maxLogLine {
		t.Errorf("%d bytes were passed over, %d are kept", d.lost, cap(d.of.now.rest))
	}
	d.write("rest of a line\nnext\n")
	d.wants("next")
}

// What is no file of text is said to be none, and does not stop the gateway.
func TestLogThatIsNoFile(t *testing.T) {
	for _, make := range []func(path string) error{
		func(path string) error { return os.Mkdir(path, 0o700) },
		func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		d := newDiary(t, "")
		d.do(make(d.path))
		if wrong := d.of.look(d.clock); !strings.Contains(wrong, "no file of text") {
			t.Errorf("told: %q", wrong)
		}
		d.do(os.Remove(d.path))
	}
}
