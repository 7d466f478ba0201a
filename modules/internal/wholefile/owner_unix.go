//go:build unix

package wholefile

import (
	"io/fs"
	"os"
	"syscall"
)

// Give has the new file belong to whom the old one does, if root replaces it: nobody else can give files away, and a service whose
// files were handed to it with a group that is not its own must still be able to replace them. The error is the file system's.
func Give(f *os.File, old fs.FileInfo) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	was, ok := old.Sys().(*syscall.Stat_t)
	is, alike := mine.Sys().(*syscall.Stat_t)
	if !ok || !alike || os.Geteuid() != 0 || was.Uid == is.Uid && was.Gid == is.Gid {
		return nil
	}
	return f.Chown(int(was.Uid), int(was.Gid))
}
