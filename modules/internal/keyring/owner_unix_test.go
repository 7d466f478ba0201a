//go:build unix

package keyring

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

// What root rotates or retires a key of stays the service's: its owner, its group, its mode.
func TestRotateKeepsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a file away")
	}
	p := path(t)
	old, err := Create(p)
	if err != nil {
		t.Fatal(err)
	}
	const service, group = 61184, 61185
	if err := errors.Join(os.Chown(p, service, group), os.Chmod(p, 0o400)); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != service || st.Gid != group || info.Mode().Perm() != 0o400 {
			t.Errorf("%s: owner %d:%d, mode %04o", what, st.Uid, st.Gid, info.Mode().Perm())
		}
	}
	if _, err := Rotate(p, time.Now()); err != nil {
		t.Fatal(err)
	}
	check("rotated")
	if _, err := Retire(p, old.Keys()[0].ID(), true); err != nil {
		t.Fatal(err)
	}
	check("retired")
}
