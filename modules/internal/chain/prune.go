package chain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gatehouse.internal/modules/internal/wholefile"
)

// Hold is somebody's word that nothing may be pruned.
type Hold struct {
	Name  string    `json:"name"`
	Why   string    `json:"why"`
	By    string    `json:"by"`
	Since time.Time `json:"since"`
}

// Holds returns the holds of a chain's directory.
func Holds(dir string) ([]Hold, error) {
	text, err := os.ReadFile(filepath.Join(dir, holdsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var holds []Hold
	if err == nil {
		err = json.Unmarshal(text, &holds)
	}
	return holds, err
}

// SetHolds writes them.
func SetHolds(dir string, holds []Hold) error {
	text, err := json.MarshalIndent(holds, "", "\t")
	if err != nil {
		return err
	}
	return errors.Join(wholefile.Replace(filepath.Join(dir, holdsFile), text), syncDir(dir))
}

// prune removes the segments in which everything is older, having recorded it. The last is never removed. What cannot be read
// is kept.
func (c *Chain) prune(before time.Time) error {
	holds, err := Holds(c.dir)
	if err != nil || len(holds) > 0 {
		return err
	}
	firsts, err := segments(c.dir)
	if err != nil {
		return err
	}
	var gone []int64
	for i := 0; i+1 < len(firsts); i++ {
		newest, err := newestOf(c.dir, firsts[i])
		if err != nil {
			return err
		}
		if !newest.Before(before) {
			break
		}
		gone = append(gone, firsts[i])
	}
	if len(gone) == 0 {
		return nil
	}
	e := c.own(Pruned, "older than "+before.UTC().Format(time.RFC3339))
	e.gone = &Span{gone[0], firsts[len(gone)] - 1}
	if err := c.commit([]waiting{{entry: e}}); err != nil {
		return err
	}
	for _, first := range gone {
		if err := os.Remove(filepath.Join(c.dir, segmentName(first))); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.status.First = firsts[len(gone)]
	c.mu.Unlock()
	return syncDir(c.dir)
}

// newestOf returns the time of the newest record of a segment.
func newestOf(dir string, first int64) (newest time.Time, err error) {
	l, err := openLines(dir, first)
	if err != nil {
		return newest, err
	}
	defer l.close()
	for {
		line, err := l.next()
		if errors.Is(err, io.EOF) {
			return newest, nil
		}
		if err != nil {
			return newest, fmt.Errorf("%s, line %d: %w", l.file, l.n, err)
		}
		h, _, err := cutHead(line)
		if err != nil {
			continue // the header, or a checkpoint
		}
		when, err := time.Parse(timeForm, string(h.time))
		if err != nil {
			return newest, fmt.Errorf("%s, line %d: %w", l.file, l.n, err)
		}
		if when.After(newest) {
			newest = when
		}
	}
}
