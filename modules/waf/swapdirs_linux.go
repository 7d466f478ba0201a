package waf

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// swapDirs puts the directory staged in live's place and keeps live as backup. There is a live directory at every
// moment, even if the power fails.
func swapDirs(staged, live, backup string) error {
	err := unix.Renameat2(unix.AT_FDCWD, staged, unix.AT_FDCWD, live, unix.RENAME_EXCHANGE)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL): // an old kernel, or not on this file system
		return renameTwice(staged, live, backup)
	case err != nil:
		return fmt.Errorf("exchanging %s: %w", live, err)
	}
	return os.Rename(staged, backup)
}
