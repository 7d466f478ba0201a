package chain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// copiedPrefix begins the names of a copy's files of checkpoints: one a day, one checkpoint a line.
const copiedPrefix = "checkpoints-"

// overlap is how much of what was copied is compared before more is appended, in bytes.
const overlap = 64 << 10

// Publish publishes a checkpoint of what is there, if that can be written, and returns.
func (c *Chain) Publish() {
	published := make(chan struct{})
	select {
	case c.asked <- published:
		<-published
	case <-c.done: // the last one is published
	}
}

// Copy brings the directory to up to date with the chain in from: its segments up to their last checkpoint, the certificates of its
// keys, and its published checkpoint. It creates and appends, and changes or removes nothing, so that to may be a place where
// nobody else can either; what was pruned from the chain stays there. What stands in to and not in from is an error: one of them is
// not what it was. It returns the size of the chain that is in the copy. One caller at a time.
func Copy(from, to string, now time.Time) (size int64, err error) {
	published, err := os.ReadFile(filepath.Join(from, checkpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // nothing is to be shown yet
	}
	if err != nil {
		return 0, err
	}
	text, err := noteText(string(published))
	if err != nil {
		return 0, err
	}
	c, err := parseCheckpoint(text)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return 0, err
	}
	if err := appendMissing(from, to, epochsFile, 0, nil); err != nil {
		return 0, err
	}
	if err := copySegments(from, to); err != nil {
		return 0, err
	}
	if err := copyCheckpoint(to, string(published), now); err != nil {
		return 0, err
	}
	return c.Size, syncDir(to)
}

// copySegments copies what there is of segments, but for those that were pruned from the copy by whoever keeps it.
func copySegments(from, to string) error {
	firsts, err := segments(from)
	if err != nil {
		return err
	}
	copied, err := segments(to)
	if err != nil {
		return err
	}
	for i, first := range firsts {
		if len(copied) > 0 && first < copied[0] {
			continue
		}
		var most int64 // of one that is finished, all of it
		if i+1 < len(firsts) {
			info, err := os.Stat(filepath.Join(from, segmentName(first)))
			if errors.Is(err, fs.ErrNotExist) { // pruned just now
				continue
			}
			if err != nil {
				return err
			}
			most = info.Size()
		}
		if err := appendMissing(from, to, segmentName(first), most, untilCheckpoint); err != nil {
			return err
		}
	}
	return nil
}

// untilCheckpoint is what of the text may be copied: up to its last checkpoint, what follows may yet be taken back.
func untilCheckpoint(text []byte) []byte {
	at := bytes.LastIndex(text, []byte("\n"+checkpointHead))
	if at < 0 {
		return nil
	}
	end := bytes.IndexByte(text[at+1:], '\n')
	if end < 0 {
		return untilCheckpoint(text[:at])
	}
	return text[:at+1+end+1]
}

// appendMissing appends to the file in to what it lacks of that in from, or that part of it which cut returns. Of a file that is
// finished, done is the size; it is not read again when it is there.
func appendMissing(from, to, name string, done int64, cut func([]byte) []byte) error {
	have, err := os.Stat(filepath.Join(to, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case done > 0 && have.Size() == done:
		return nil
	}
	out, err := os.OpenFile(filepath.Join(to, name), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	err = appendTo(out, filepath.Join(from, name), cut)
	return errors.Join(err, out.Close())
}

// appendTo reads what out lacks, and the end of what it has, which must be the same.
func appendTo(out *os.File, source string, cut func([]byte) []byte) error {
	info, err := out.Stat()
	if err != nil {
		return err
	}
	in, err := os.Open(source)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // pruned just now
	}
	if err != nil {
		return err
	}
	defer in.Close()
	have := info.Size()
	if is, err := in.Stat(); err != nil || have > is.Size() {
		return errors.Join(err, fmt.Errorf("%s is shorter than its copy %s: something was cut off", source, out.Name()))
	}
	last := make([]byte, min(have, overlap))
	from := have - int64(len(last))
	if _, err := out.ReadAt(last, from); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	text, err := io.ReadAll(io.NewSectionReader(in, from, math.MaxInt64-from)) // a segment's size at most
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(text, last) {
		return fmt.Errorf("%s is not what its copy %s says: run `gatehouse audit verify` with --copy", source, out.Name())
	}
	if cut != nil {
		text = cut(text)
	}
	if len(text) <= len(last) {
		return nil
	}
	if _, err := out.Write(text[len(last):]); err != nil {
		return err
	}
	return out.Sync()
}

// copyCheckpoint appends the checkpoint to those of today, unless it is the last of them.
func copyCheckpoint(to, msg string, now time.Time) error {
	path := filepath.Join(to, copiedPrefix+now.UTC().Format(time.DateOnly))
	had, err := checkpointsIn(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(had) > 0 && string(had[len(had)-1]) == msg {
		return nil
	}
	return appendLine(path, checkpointLine{msg})
}

// checkpointsIn are the checkpoints in a file of a copy. One that a crash tore is left out.
func checkpointsIn(path string) (all [][]byte, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		if msg, ok := checkpointOf(bytes.TrimRight(line, "\n")); ok {
			all = append(all, []byte(msg))
		}
	}
	return all, nil
}

// Copied returns the checkpoints that a copy holds, to verify the chain against, and the public key of the chain that it is of: all
// of the last day, and of each day before the last one, which stands for those before it.
func Copied(dir string) (checkpoints [][]byte, root string, err error) {
	names, err := filepath.Glob(filepath.Join(dir, copiedPrefix+"*"))
	if err != nil {
		return nil, "", err
	}
	if len(names) == 0 {
		return nil, "", fmt.Errorf("%s is no copy of an audit log: there are no checkpoints in it", dir)
	}
	slices.Sort(names)
	for i, name := range names {
		had, err := checkpointsIn(name)
		if err != nil {
			return nil, "", err
		}
		if i+1 < len(names) && len(had) > 1 {
			had = had[len(had)-1:]
		}
		checkpoints = append(checkpoints, had...)
	}
	root, err = Root(dir)
	return checkpoints, root, err
}
