//go:build unix

package wholefile

import (
	"io/fs"
	"os"
	"syscall"
)

// Give has the new file belong to whom the old one does, which only root can where that is somebody else. The error is the file
// system's.
func Give(f *os.File, old fs.FileInfo) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	was, ok := old.Sys().(*syscall.Stat_t)
	is, alike := mine.Sys().(*syscall.Stat_t)
	if !ok || !alike || was.Uid == is.Uid && was.Gid == is.Gid {
		return nil
	}
	return f.Chown(int(was.Uid), int(was.Gid))
}
