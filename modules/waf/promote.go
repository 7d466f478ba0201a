package waf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// Promotion makes a candidate, which a shadow has tried, a site's rule directory: whole or not at all. A running gateway
// takes the new files up within seconds.
type Promotion struct {
	From string // the candidate
	To   string // the site's directory
	Apps []string
}

// Load reads the candidate and compiles it. What it returns is what Install writes, whatever happens to the files
// meanwhile.
func (p Promotion) Load() (RuleFiles, error) {
	files, err := ReadRules(os.DirFS(p.From))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.From, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no rules are there; to take all rules away, empty %s by hand", p.From, p.To)
	}
	cfg := Config{Paranoia: 1, Mode: Block, BodyLimit: defaultBodyLimit, Apps: p.Apps, Rules: files}
	if _, err := New(cfg, bodies); err != nil {
		return nil, fmt.Errorf("%s: %w", p.From, cfg.locate(err))
	}
	return files, nil
}

// Changes says in a line each what Install would change: "new before/a.conf", "changed …", "gone …". It is empty when
// there is nothing to do.
func (p Promotion) Changes(candidate RuleFiles) []string {
	live, _ := ReadRules(os.DirFS(p.To)) // rules that are absent or broken may be replaced, too
	var changes []string
	names := slices.Sorted(maps.Keys(candidate))
	for name := range live {
		if _, ok := candidate[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		before, had := live[name]
		after, has := candidate[name]
		switch {
		case !had:
			changes = append(changes, "new "+name)
		case !has:
			changes = append(changes, "gone "+name)
		case before != after:
			changes = append(changes, "changed "+name)
		}
	}
	return changes
}

// Install puts files in the place of the site's directory and returns where that one is kept; "" when there was none.
// The files lie beside it, written out to the disk, before one rename exchanges the two.
func (p Promotion) Install(files RuleFiles, now time.Time) (backup string, err error) {
	to, err := filepath.Abs(p.To)
	if err != nil {
		return "", err
	}
	if target, err := filepath.EvalSymlinks(to); err == nil {
		to = target // the link stays
	}
	mode := fs.FileMode(0o755)
	info, err := os.Stat(to)
	switch {
	case err == nil && !info.IsDir():
		return "", fmt.Errorf("%s is no directory", p.To)
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	staged, err := os.MkdirTemp(filepath.Dir(to), "."+filepath.Base(to)+".next-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil && backup == "" {
			_ = os.RemoveAll(staged) // nothing but what was written here
		}
	}()
	if err := writeOut(staged, mode, files); err != nil {
		return "", err
	}
	if info == nil {
		return "", errors.Join(os.Rename(staged, to), syncDir(filepath.Dir(to)))
	}
	backup = to + ".before-" + now.UTC().Format("20060102T150405Z")
	if _, err := os.Lstat(backup); err == nil {
		taken := backup
		backup = ""
		return "", fmt.Errorf("%s exists: wait a second", taken)
	}
	if err := swapDirs(staged, to, backup); err != nil {
		backup = ""
		return "", err
	}
	return backup, syncDir(filepath.Dir(to))
}

// writeOut writes the files below dir and has them on the disk when it returns.
func writeOut(dir string, mode fs.FileMode, files RuleFiles) error {
	if err := os.Chmod(dir, mode); err != nil {
		return err
	}
	folders := map[string]bool{dir: true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
			folders[filepath.Join(dir, folder)] = true
		}
		if err := os.MkdirAll(filepath.Dir(file), mode); err != nil {
			return err
		}
		if err := writeSync(file, files[name]); err != nil {
			return err
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if err := syncDir(folder); err != nil {
			return err
		}
	}
	return nil
}

func writeSync(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lastChange is when the last of the files was written.
func lastChange(dir fs.FS) (last time.Time, err error) {
	err = fs.WalkDir(dir, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := fs.Stat(dir, name)
		if err == nil && !info.IsDir() && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return err
	})
	return last, err
}

// renameTwice is swapDirs where the system cannot do it in one step: for a moment there is no directory, which a
// running gateway does not mind (it wants to see a change twice), and a power cut in that moment leaves the backup.
func renameTwice(staged, live, backup string) error {
	if err := os.Rename(live, backup); err != nil {
		return err
	}
	if err := os.Rename(staged, live); err != nil {
		return errors.Join(err, os.Rename(backup, live))
	}
	return nil
}

// eachLine calls f with every line of a log that is not longer than maxLogLine.
func eachLine(log io.Reader, f func(line []byte)) error {
	r := bufio.NewReaderSize(log, maxLogLine)
	for long := false; ; {
		line, err := r.ReadSlice('\n')
		if !long {
			if err == nil || errors.Is(err, io.EOF) {
				f(line)
			}
		}
		long = errors.Is(err, bufio.ErrBufferFull)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !long:
			return fmt.Errorf("reading the log: %w", err)
		}
	}
}
