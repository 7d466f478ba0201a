package retain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/event"
)

// Default is how long log files are kept, unless somebody says otherwise.
const Default = 30 * 24 * time.Hour

// Every is how often families are to be swept.
const Every = time.Minute

// Family is a log file, and those that it was rolled into: they stand beside it, and are named <name>-<date>…<ext>, compressed
// or not, as Caddy's loggers have it.
type Family struct {
	File string        // the one that is being written
	Keep time.Duration // after the newest record of a file
	Most int           // rolled files, however young; 0: any number
}

// File is one file of a family.
type File struct {
	Path   string
	Size   int64
	Newest time.Time // when the newest record in it was written
	Live   bool      // it is the one that is being written
}

// Files returns the files of the family, the oldest first; none if there is no such directory.
func (f Family) Files() (all []File, err error) {
	dir, name := filepath.Split(f.File)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		live := e.Name() == name
		if !live && !rolledFrom(name, e.Name()) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			all = append(all, File{filepath.Join(dir, e.Name()), info.Size(), info.ModTime(), live})
		}
	}
	slices.SortFunc(all, func(a, b File) int { return a.Newest.Compare(b.Newest) })
	return all, nil
}

// rolledFrom reports whether the file was rolled from the one of that name.
func rolledFrom(name, file string) bool {
	ext := filepath.Ext(name)
	rest, ok := strings.CutPrefix(file, strings.TrimSuffix(name, ext)+"-")
	rest = strings.TrimSuffix(strings.TrimSuffix(rest, ".gz"), ".zst")
	if !ok || !strings.HasSuffix(rest, ext) || len(rest) < len(time.DateOnly) {
		return false
	}
	_, err := time.Parse(time.DateOnly, rest[:len(time.DateOnly)])
	return err == nil
}

// old returns what is to go, the oldest first, with why.
func (f Family) old(now time.Time) (gone []File, why []string, err error) {
	all, err := f.Files()
	rolled := 0
	for _, file := range all {
		if !file.Live {
			rolled++
		}
	}
	for _, file := range all {
		switch {
		case file.Size == 0 && file.Live:
		case now.Sub(file.Newest) >= f.Keep:
			gone, why = append(gone, file), append(why, "age")
		case f.Most > 0 && rolled > f.Most && !file.Live:
			gone, why = append(gone, file), append(why, "count")
		default:
			continue
		}
		if !file.Live {
			rolled--
		}
	}
	return gone, why, err
}

// Keeper removes what is too old. The zero Keeper removes without a record.
type Keeper struct {
	// Record puts on record what is about to be removed. Its error means that nothing is.
	Record func(event.Event) error
	// Held reports whether somebody wants nothing removed.
	Held func() (bool, error)
}

// one sweeps at a time: two configurations may name the same family for a moment.
var one sync.Mutex

// Sweep removes what of the family is too old now.
func (k Keeper) Sweep(f Family, now time.Time) error {
	one.Lock()
	defer one.Unlock()
	gone, why, err := f.old(now)
	if err != nil || len(gone) == 0 {
		return err
	}
	if k.Held != nil {
		if held, err := k.Held(); err != nil || held {
			return err
		}
	}
	for i, file := range gone {
		if k.Record != nil {
			if err := k.Record(recordOf(f, file, why[i], now)); err != nil {
				return fmt.Errorf("%s stays: %w", file.Path, err)
			}
		}
		if err := file.remove(); err != nil {
			return err
		}
	}
	return nil
}

func recordOf(f Family, file File, why string, now time.Time) event.Event {
	return event.Event{Time: now, Kind: event.LogsRemoved, Attrs: []event.Attr{
		{Key: "file", Value: file.Path}, {Key: "bytes", Value: strconv.FormatInt(file.Size, 10)},
		{Key: "newest", Value: file.Newest.UTC().Format(time.RFC3339)}, {Key: "keep", Value: f.Keep.String()}, {Key: "why", Value: why},
	}}
}

func (file File) remove() error {
	if !file.Live {
		if err := os.Remove(file.Path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if info, err := os.Stat(file.Path); err != nil || !info.ModTime().Equal(file.Newest) {
		return err // somebody has just written after all
	}
	return os.Truncate(file.Path, 0) // who writes appends
}
