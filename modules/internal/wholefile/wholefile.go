// Package wholefile writes files that are there whole or not at all.
//
// # What
//
// [Replace], for small files of the state directory that one process writes and others may read meanwhile, and [Write], for those
// that should not be in memory at once.
//
// # Invariants
//
// Whoever opens the file finds what was there before or what is there now, also after a crash. It is readable by its owner
// only, who is the owner of the one that it takes the place of where root replaces it, so that what an administrator changes stays the service's. What
// fails leaves nothing behind.
//
// # Cost
//
// The content is synced to the disk; the directory is not, so that a crash may bring back what was there before.
package wholefile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Replace puts the content into the file in one step, whether or not there is one already. Its directory must exist. It is
// safe for concurrent use; the last to be done stays.
func Replace(path string, content []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// Write is Replace, of what fill writes. When fill fails the file is as it was.
func Write(path string, fill func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // after the rename there is nothing left to remove
	err = fill(tmp)
	if old, errOld := os.Lstat(path); errOld == nil && err == nil {
		err = Give(tmp, old)
	}
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
