package siem

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/wholefile"
)

const (
	segmentSize   = 4 << 20  // a segment is closed when it is longer
	longestRecord = 64 << 10 // as written; formats bound their texts, so that none comes near it
	positionFile  = "position"
	spoolDay      = 24 * time.Hour // the longest that one segment is written
)

// entry is one record as a collector is to have it.
type entry struct {
	at     int64 // Unix nanoseconds
	stream string
	id     string
	text   []byte // one line
}

// spool keeps entries on the disk until a collector has taken them: in order, in segment files of a directory, as lines
// "at TAB stream TAB id TAB text". One goroutine puts, one takes.
type spool struct {
	dir   string
	limit int64         // bytes, of all segments
	keep  time.Duration // older segments go, taken or not

	more chan struct{} // has one element when there may be something new

	mu    sync.Mutex
	parts []part   // guarded by mu; oldest first; the last is written to
	out   *os.File // guarded by mu; the last segment
	dirty bool     // guarded by mu; something is not synced
	acked position // guarded by mu; everything before was taken

	room []byte // of put, from one call to the next

	// Only the goroutine that takes uses these.
	at position
	in *os.File // the segment at stands in; nil: not open
}

// part is one segment.
type part struct {
	n     int64 // its number; files sort by it
	size  int64
	lines int64
	began time.Time
}

// position is a place in the spool: a segment's number and an offset.
type position struct{ n, offset int64 }

// openSpool opens the spool in dir, which is made if it is missing. What a crash tore at its end is cut off.
func openSpool(dir string, limit int64, keep time.Duration) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := readSpool(dir)
	if err != nil {
		return nil, err
	}
	s.limit, s.keep = limit, keep
	if err := s.begin(); err != nil {
		return nil, err
	}
	s.at = s.acked
	s.wake()
	return s, nil
}

// readSpool finds what is in dir.
func readSpool(dir string) (*spool, error) {
	s := &spool{dir: dir, more: make(chan struct{}, 1)}
	names, err := filepath.Glob(filepath.Join(dir, "*.spool"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		p, err := openPart(name)
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, p)
	}
	return s, s.readPosition()
}

// openPart reads how long a segment is, up to its last whole line.
func openPart(name string) (p part, err error) {
	p.n, err = strconv.ParseInt(strings.TrimSuffix(filepath.Base(name), ".spool"), 10, 64)
	if err != nil {
		return p, fmt.Errorf("%s is no segment of a spool", name)
	}
	content, err := os.ReadFile(name) // a segment's size at the most
	if err != nil {
		return p, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return p, err
	}
	p.began, p.lines = info.ModTime(), int64(bytes.Count(content, []byte("\n")))
	p.size = int64(bytes.LastIndexByte(content, '\n') + 1)
	if p.size < int64(len(content)) {
		err = os.Truncate(name, p.size)
	}
	return p, err
}

func (s *spool) readPosition() error {
	text, err := os.ReadFile(filepath.Join(s.dir, positionFile))
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d %d", &s.acked.n, &s.acked.offset)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading %s: %w", filepath.Join(s.dir, positionFile), err)
	}
	s.forward()
	return nil
}

// forward moves acked onto a segment that is there. mu is held, or nobody else has s.
func (s *spool) forward() {
	for i, p := range s.parts {
		if p.n == s.acked.n {
			s.acked.offset = min(s.acked.offset, p.size)
			return
		}
		if p.n > s.acked.n {
			s.acked = position{n: s.parts[i].n}
			return
		}
	}
}

// begin opens a new segment for what is put next. mu is held, or nobody else has s.
func (s *spool) begin() error {
	n := s.acked.n + 1
	if len(s.parts) > 0 {
		n = max(n, s.parts[len(s.parts)-1].n+1)
	}
	f, err := os.OpenFile(s.file(n), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if s.out != nil {
		err = errors.Join(s.out.Sync(), s.out.Close())
	}
	s.out, s.parts = f, append(s.parts, part{n: n, began: time.Now()})
	s.forward()
	return err
}

func (s *spool) file(n int64) string { return filepath.Join(s.dir, fmt.Sprintf("%016d.spool", n)) }

// put appends entries. dropped is how many of the oldest had to go for them.
func (s *spool) put(entries []entry) (dropped int64, err error) {
	b := s.room[:0]
	for _, e := range entries {
		b = strconv.AppendInt(b, e.at, 10)
		b = append(append(append(append(append(b, '\t'), e.stream...), '\t'), e.id...), '\t')
		b = append(append(b, e.text[:min(len(e.text), longestRecord)]...), '\n')
	}
	if s.room = b; cap(b) > batchBytes {
		s.room = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := &s.parts[len(s.parts)-1]
	n, err := s.out.Write(b)
	if err != nil {
		if n > 0 { // half a line must not be read as one
			err = errors.Join(err, s.out.Truncate(last.size))
		}
		return 0, err
	}
	last.size, last.lines, s.dirty = last.size+int64(n), last.lines+int64(len(entries)), true
	if last.size >= segmentSize {
		err = s.begin()
	}
	dropped = s.prune()
	s.wake()
	return dropped, err
}

// prune removes the oldest segments while the spool is too long or they are too old. mu is held.
func (s *spool) prune() (dropped int64) {
	var size int64
	for _, p := range s.parts {
		size += p.size
	}
	for len(s.parts) > 1 {
		first := s.parts[0]
		if first.n == s.acked.n && s.acked.offset >= first.size { // all of it was taken, and nothing more will stand in it
			s.acked = position{n: s.parts[1].n}
		}
		taken := first.n < s.acked.n
		if !taken && size <= s.limit && (s.keep <= 0 || time.Since(first.began) < s.keep) {
			break
		}
		if !taken {
			dropped += s.untaken(first)
		}
		size -= first.size
		_ = os.Remove(s.file(first.n)) // what cannot be removed is found again at the next start
		s.parts = s.parts[1:]
		s.forward()
	}
	return dropped
}

// untaken is how many lines of a segment that has not gone were not taken; all, where that cannot be read. mu is held.
func (s *spool) untaken(p part) int64 {
	if p.n != s.acked.n || s.acked.offset == 0 {
		return p.lines
	}
	content, err := os.ReadFile(s.file(p.n)) // a segment's size at the most
	if err != nil || s.acked.offset > int64(len(content)) {
		return p.lines
	}
	return int64(bytes.Count(content[s.acked.offset:], []byte("\n")))
}

// expire removes what waited for too long, though nothing is put and nothing taken. A segment is closed after a day, so that
// what is old in it does not stay for what is young.
func (s *spool) expire() (dropped int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.parts[len(s.parts)-1]
	if since := time.Since(last.began); last.size > 0 && (since >= spoolDay || s.keep > 0 && since >= s.keep) {
		err = s.begin()
	}
	return s.prune(), err
}

func (s *spool) wake() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// sync makes what was put durable.
func (s *spool) sync() error {
	s.mu.Lock()
	out, dirty := s.out, s.dirty
	s.dirty = false
	s.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := out.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // a closed segment was synced then
		return err
	}
	return nil
}

// take returns the next entries, at most so many and about so many bytes, and the position behind them; none when there
// are none yet. They are taken once ack has been called; rewind has them taken again.
func (s *spool) take(most, size int) (entries []entry, behind position, err error) {
	s.mu.Lock()
	parts := slices.Clone(s.parts)
	if s.at.n < s.acked.n { // pruned meanwhile
		s.at = s.acked
		s.closeIn()
	}
	s.mu.Unlock()
	for _, p := range parts {
		if p.n < s.at.n {
			continue
		}
		if p.n > s.at.n {
			s.at = position{n: p.n}
			s.closeIn()
		}
		if entries, err = s.read(p, entries, most, &size); err != nil || len(entries) >= most || size <= 0 {
			break
		}
	}
	return entries, s.at, err
}

// read appends entries of one segment from at on, and moves at behind them.
func (s *spool) read(p part, entries []entry, most int, size *int) ([]entry, error) {
	if s.at.offset >= p.size {
		return entries, nil
	}
	if s.in == nil {
		f, err := os.Open(s.file(p.n))
		if errors.Is(err, os.ErrNotExist) { // pruned just now
			return entries, nil
		}
		if err != nil {
			return entries, err
		}
		s.in = f
	}
	r := bufio.NewReaderSize(io.NewSectionReader(s.in, s.at.offset, p.size-s.at.offset), 64<<10)
	for len(entries) < most && *size > 0 {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return entries, nil
		}
		if err != nil {
			return entries, err
		}
		s.at.offset += int64(len(line))
		*size -= len(line)
		if e, ok := parseEntry(line); ok {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

func parseEntry(line []byte) (e entry, ok bool) {
	parts := bytes.SplitN(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"), 4)
	if len(parts) != 4 {
		return e, false
	}
	at, err := strconv.ParseInt(string(parts[0]), 10, 64)
	return entry{at: at, stream: string(parts[1]), id: string(parts[2]), text: parts[3]}, err == nil
}

// ack says that everything before p was taken, now and after a restart.
func (s *spool) ack(p position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.n < s.acked.n || p.n == s.acked.n && p.offset <= s.acked.offset {
		return nil
	}
	s.acked = p
	s.forward()
	err := wholefile.Replace(filepath.Join(s.dir, positionFile), fmt.Appendf(nil, "%d %d\n", p.n, p.offset))
	s.prune()
	return err
}

// rewind has everything taken again that was not acknowledged.
func (s *spool) rewind() {
	s.mu.Lock()
	s.at = s.acked
	s.mu.Unlock()
	s.closeIn()
	s.wake()
}

func (s *spool) closeIn() {
	if s.in != nil {
		_ = s.in.Close() // was only read
		s.in = nil
	}
}

// waiting is how many bytes have not been taken, and since when the oldest of them waits at the longest.
func (s *spool) waiting() (size int64, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.parts {
		left := p.size
		if p.n == s.acked.n {
			left -= s.acked.offset
		}
		if left > 0 && p.n >= s.acked.n {
			size += left
			if since.IsZero() {
				since = p.began
			}
		}
	}
	return size, since
}

// close ends both sides. Nobody may put or take any more.
func (s *spool) close() error {
	err := s.sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeIn()
	return errors.Join(err, s.out.Close())
}
