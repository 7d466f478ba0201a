package ban

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	logPart    = 16 << 10         // is read at one time
	maxLogLine = 8 << 10          // a longer one is none: a part of it could say anything
	maxBehind  = 16 << 20         // bytes that wait to be read; more are passed over
	logLingers = 10 * time.Second // whoever writes may go on for a while with a file that was renamed
	logMark    = 64               // bytes by which a file is known that was emptied and filled anew
)

// logFile follows one log over its rotations, whether it is renamed or copied and emptied. Its first file is read from its
// end on, as the counts of jails begin anew with each start too; one that was not there yet, or comes after another, from
// its beginning. It is for one goroutine at a time.
type logFile struct {
	path     string
	now, old *spool // old was renamed, and its writer may not know
	awaited  bool   // it was not there: when it comes, all of it is new
	gone     time.Time
	failing  string // what was told last of what is wrong
}

// look opens the file, or the one that has taken its place. It returns what is newly wrong, in a sentence, or "".
func (f *logFile) look(now time.Time) string {
	err := f.open(now)
	switch {
	case err == nil:
		f.gone, f.failing = time.Time{}, ""
		return ""
	case f.gone.IsZero():
		f.gone = now
	}
	if f.now != nil && now.Sub(f.gone) < logLingers { // being rotated
		return ""
	}
	text := err.Error()
	if text == f.failing {
		return ""
	}
	f.failing = text
	return text
}

// readable reports whether there is nothing wrong that was told of.
func (f *logFile) readable() bool { return f.failing == "" }

func (f *logFile) open(now time.Time) error {
	info, err := os.Stat(f.path)
	if err != nil {
		f.awaited = f.awaited || errors.Is(err, fs.ErrNotExist)
		return err
	}
	if f.now != nil && os.SameFile(info, f.now.info) {
		return nil
	}
	s, err := openSpool(f.path)
	if err != nil {
		return err
	}
	if f.now == nil && !f.awaited {
		s.toEnd(s.info.Size())
	}
	f.old.close()
	if f.old = f.now; f.old != nil {
		f.old.grew = now
	}
	f.now = s
	return nil
}

// read gives the next lines to line, without their ends, and reports whether there may be more already. Skipped is how many
// bytes were passed over.
func (f *logFile) read(part []byte, now time.Time, line func([]byte)) (more bool, skipped int64, err error) {
	if f.old != nil {
		more, skipped, err = f.old.read(part, now, line)
		if err != nil || !more && now.Sub(f.old.grew) >= logLingers {
			f.old.close()
			f.old = nil
		}
		if more {
			return true, skipped, nil
		}
	}
	if f.now == nil {
		return false, skipped, nil
	}
	more, s, err := f.now.read(part, now, line)
	return more, skipped + s, err
}

func (f *logFile) close() {
	f.old.close()
	f.now.close()
}

// spool is an open file, and how far it was read.
type spool struct {
	file *os.File
	info os.FileInfo // when it was opened
	at   int64
	mark []byte    // what is before at, as far as it is remembered
	rest []byte    // of a line whose end is not there yet
	skip bool      // what comes up to the next line's end is no line
	grew time.Time // when there was last something to read
}

func openSpool(path string) (*spool, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would keep us waiting
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file of text, but %s", path, info.Mode().Type())
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &spool{file: file, info: info}, nil
}

func (s *spool) close() {
	if s != nil {
		_ = s.file.Close()
	}
}

// toEnd passes over what there is. What is left of a line whose beginning was passed over is none.
func (s *spool) toEnd(size int64) {
	s.mark = make([]byte, min(size, logMark))
	if _, err := s.file.ReadAt(s.mark, size-int64(len(s.mark))); err != nil {
		s.mark = nil
	}
	s.at, s.rest, s.skip = size, s.rest[:0], size > 0 && !bytes.HasSuffix(s.mark, []byte("\n"))
}

// same reports whether what was read last is still there.
func (s *spool) same() bool {
	var space [logMark]byte
	there := space[:len(s.mark)]
	_, err := s.file.ReadAt(there, s.at-int64(len(there)))
	return err == nil && bytes.Equal(there, s.mark)
}

func (s *spool) read(part []byte, now time.Time, line func([]byte)) (more bool, skipped int64, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return false, 0, err
	}
	size := info.Size()
	if size < s.at || size > s.at && !s.same() { // it was emptied
		s.at, s.mark, s.rest, s.skip = 0, nil, s.rest[:0], false
	}
	if behind := size - s.at; behind > maxBehind {
		s.toEnd(size)
		return false, behind, nil
	}
	if size == s.at {
		return false, 0, nil
	}
	n, err := s.file.ReadAt(part, s.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, 0, err
	}
	s.at += int64(n)
	s.grew = now
	s.mark = append(s.mark, part[max(0, n-logMark):n]...)
	s.mark = s.mark[max(0, len(s.mark)-logMark):]
	return s.at < size, s.split(part[:n], line), nil
}

// split gives the lines that end in text to line, and keeps the rest.
func (s *spool) split(text []byte, line func([]byte)) (skipped int64) {
	for len(text) > 0 {
		first, after, ended := bytes.Cut(text, []byte("\n"))
		text = after
		if s.skip = s.skip || len(s.rest)+len(first) > maxLogLine; s.skip {
			skipped += int64(len(s.rest) + len(first))
			s.rest = s.rest[:0]
			s.skip = !ended
			continue
		}
		switch {
		case !ended:
			s.rest = append(s.rest, first...)
		case len(s.rest) > 0:
			line(bytes.TrimSuffix(append(s.rest, first...), []byte("\r")))
			s.rest = s.rest[:0]
		default:
			line(bytes.TrimSuffix(first, []byte("\r")))
		}
	}
	return skipped
}
