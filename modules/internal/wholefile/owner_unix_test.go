//go:build unix

package wholefile_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gatehouse.internal/modules/internal/wholefile"
)

// What root replaces stays its owner's, and readable by them alone.
func TestReplaceKeepsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const service, group = 61184, 61185
	if err := os.Chown(path, service, group); err != nil {
		t.Fatal(err)
	}
	if err := wholefile.Replace(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != service || st.Gid != group || info.Mode().Perm() != 0o600 {
		t.Errorf("owner %d:%d, mode %04o", st.Uid, st.Gid, info.Mode().Perm())
	}
}
