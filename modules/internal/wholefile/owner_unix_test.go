//go:build unix

package wholefile_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"gatehouse.internal/modules/internal/wholefile"
)

// A service replaces a file that was handed to it with a group that is not its own: it cannot give it away, and need not.
func TestReplaceAsService(t *testing.T) {
	const service, group = 61184, 61185
	if dir := os.Getenv("WHOLEFILE_DIR"); dir != "" { // this very test, as the service
		if err := wholefile.Replace(filepath.Join(dir, "file"), []byte("x")); err != nil {
			t.Fatal(err)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can become the service")
	}
	dir, err := os.MkdirTemp("", "wholefile") // t.TempDir lies below a directory that only root may enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path, program := filepath.Join(dir, "file"), filepath.Join(dir, "test")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(self)
	err = errors.Join(err, os.WriteFile(program, text, 0o755), os.WriteFile(path, nil, 0o600), os.Chown(path, service, 0), os.Chown(dir, service, 0), os.Chmod(dir, 0o755))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^TestReplaceAsService$")
	cmd.Env = append(os.Environ(), "WHOLEFILE_DIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: service, Gid: group}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "x" {
		t.Errorf("%q, %v", text, err)
	}
}

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
