package siem

import (
	"os"
	"path/filepath"
	"slices"
	"time"
)

// leftSpool is what waits for a sink that the configuration does not name any more.
type leftSpool struct {
	Name    string    `json:"name"`
	Records int64     `json:"records"` // that were not taken
	Bytes   int64     `json:"bytes"`
	Newest  time.Time `json:"newest,omitzero"`
}

// leftSpools finds them in the folder of spools: used says which sinks there are.
func leftSpools(dir string, used func(name string) bool) (all []leftSpool, err error) {
	folders, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	for _, f := range folders {
		if !f.IsDir() || used(f.Name()) {
			continue
		}
		l, err := leftIn(filepath.Join(dir, f.Name()))
		if err != nil {
			return all, err
		}
		all = append(all, l)
	}
	return all, err
}

func leftIn(dir string) (leftSpool, error) {
	l := leftSpool{Name: filepath.Base(dir)}
	s, err := readSpool(dir)
	if err != nil {
		return l, err
	}
	for _, p := range s.parts {
		if p.n < s.acked.n {
			continue
		}
		l.Records += s.untaken(p)
		l.Bytes += p.size
		if p.n == s.acked.n {
			l.Bytes -= s.acked.offset
		}
		if p.size > 0 && p.began.After(l.Newest) { // of a spool that nobody writes to, when it was last written
			l.Newest = p.began
		}
	}
	return l, nil
}

// overdue are those that nobody has had a use for in so long a time, and those in which nothing waits.
func overdue(all []leftSpool, now time.Time, keep time.Duration) []leftSpool {
	return slices.DeleteFunc(slices.Clone(all), func(l leftSpool) bool { return l.Records > 0 && now.Sub(l.Newest) < keep })
}
