package chain

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// segmentHeader is the first line of a segment: what is needed to go on where the one before ended, which may be pruned.
type segmentHeader struct {
	Segment    int      `json:"segment"` // the form's version
	Origin     string   `json:"origin"`
	First      int64    `json:"first"`
	Prev       string   `json:"prev"`
	Frontier   []string `json:"frontier"`
	Epoch      int      `json:"epoch"`
	Checkpoint string   `json:"checkpoint,omitempty"` // of the tree up to here, signed; empty at the very beginning
}

// checkpointLine is a line of a segment.
type checkpointLine struct {
	Checkpoint string `json:"checkpoint"`
}

func segmentName(first int64) string { return fmt.Sprintf("segment-%016d.log", first) }

// segments returns the first sequences of the segments in the directory, in order.
func segments(dir string) ([]int64, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var firsts []int64
	for _, e := range names {
		number, ok := strings.CutPrefix(e.Name(), "segment-")
		number, log := strings.CutSuffix(number, ".log")
		if !ok || !log {
			continue
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || segmentName(n) != e.Name() {
			return nil, fmt.Errorf("%s: a segment's name is segment-<16 digits>.log", e.Name())
		}
		firsts = append(firsts, n)
	}
	slices.Sort(firsts)
	return firsts, nil
}

// headerOf makes the header of a segment that begins here.
func headerOf(origin string, t *tip, epoch int, checkpoint string) ([]byte, error) {
	h := segmentHeader{Segment: 1, Origin: origin, First: t.size, Prev: t.prev.String(), Frontier: []string{}, Epoch: epoch, Checkpoint: checkpoint}
	for _, f := range t.frontier {
		h.Frontier = append(h.Frontier, f.String())
	}
	line, err := json.Marshal(h)
	return append(line, '\n'), err
}

// parseHeader returns a segment's header and where it lets go on. That the two agree with the checkpoint is checked, who
// signed that is not.
func parseHeader(line []byte) (h segmentHeader, t tip, err error) {
	if err := json.Unmarshal(line, &h); err != nil || !bytes.HasPrefix(line, []byte(segmentHead)) {
		return h, t, errors.New("it does not begin with a segment's header")
	}
	if h.Segment != 1 || h.First < 0 {
		return h, t, fmt.Errorf("a segment of version %d: this program knows version 1", h.Segment)
	}
	t.size = h.First
	if t.prev, err = parseHash(h.Prev); err != nil {
		return h, t, err
	}
	if t.frontier, err = parseHashes(h.Frontier); err != nil {
		return h, t, err
	}
	if at, _ := subtrees(h.First); len(at) != len(t.frontier) {
		return h, t, errors.New("its frontier is not that of a tree of its size")
	}
	if h.First == 0 {
		return h, t, nil
	}
	text, err := noteText(h.Checkpoint)
	if err != nil {
		return h, t, err
	}
	c, err := parseCheckpoint(text)
	if err == nil && (c.Size != h.First || c.Root != t.root() || c.Origin != h.Origin) {
		err = errors.New("its frontier is not that of the checkpoint in it")
	}
	return h, t, err
}

// lines reads a segment line by line.
type lines struct {
	file string
	f    *os.File
	r    *bufio.Reader
	at   int64 // where the next line begins
	n    int   // the line that was read last
	long []byte
}

func openLines(dir string, first int64) (*lines, error) {
	name := segmentName(first)
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	return &lines{file: name, f: f, r: bufio.NewReaderSize(f, 256<<10)}, nil
}

func (l *lines) close() { _ = l.f.Close() } // it was only read

var (
	errTorn = errors.New("the last line has no end")
	errLong = fmt.Errorf("a line is longer than %d bytes", maxLine)
)

// next returns the next line without its end, valid until the next call, or io.EOF.
func (l *lines) next() ([]byte, error) {
	l.long = l.long[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.long) == 0 && err == nil { // Fast path
			l.at += int64(len(part))
			l.n++
			return part[:len(part)-1], nil
		}
		l.long = append(l.long, part...)
		switch {
		case errors.Is(err, io.EOF) && len(l.long) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, errTorn
		case len(l.long) > maxLine+4096:
			return nil, errLong
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		}
		l.at += int64(len(l.long))
		l.n++
		return l.long[:len(l.long)-1], nil
	}
}
