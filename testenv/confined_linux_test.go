package testenv

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// confined is what gatehouse.service says, as far as it can be done without systemd: nobody's user, no capability but that for low
// ports, none to be had, and everything read-only but the gateway's own directory.
const confined = `#!/bin/sh
set -e
exec unshare --mount --propagation private sh -c '
	mount --bind "$HOME" "$HOME"
	for at in $(findmnt --noheadings --list --output TARGET); do
		case $at in "$HOME"|/proc*|/dev*|/sys*) ;; *) mount -o remount,bind,ro "$at" ;; esac
	done
	exec setpriv --no-new-privs --reuid 61184 --regid 61184 --clear-groups --inh-caps=-all,+net_bind_service \
		--ambient-caps=-all,+net_bind_service --bounding-set=-all,+net_bind_service "$@"' sh "${CONFINED:-$HOME/gatehouse}" "$@"
`

// TestConfined (NAT-17): the gateway does all it has to under the restrictions of its unit: it starts, lets the first user in, is reloaded,
// rotates its keys and tells of itself, while it can write nowhere else and get no privilege; the kernel says so of the running process.
func TestConfined(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can take away what the unit takes away")
	}
	for _, tool := range []string{"setpriv", "unshare", "findmnt"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing", tool)
		}
	}
	be := startBackend(t)
	dir := t.TempDir()
	wrapper := filepath.Join(dir, "gatehouse")
	if err := os.WriteFile(wrapper, []byte(confined), 0o755); err != nil {
		t.Fatal(err)
	}
	g, err := newGateway(wrapper, config{Backend: be.Listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	if err := copyFile(gatehouseBin(t), filepath.Join(g.dir, "gatehouse")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(g.dir, "gatehouse"), 0o755); err != nil {
		t.Fatal(err)
	}
	own := func() {
		t.Helper()
		err := filepath.WalkDir(g.dir, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				err = os.Lchown(path, 61184, 61184)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	own()
	if out, err := exec.Command("env", "HOME="+g.dir, "CONFINED=/bin/true", wrapper).CombinedOutput(); err != nil {
		t.Skipf("nothing can be confined here: %v\n%s", err, out)
	}
	if out, err := exec.Command("env", "HOME="+g.dir, wrapper, "version").CombinedOutput(); err != nil {
		t.Fatalf("it does not run: %v\n%s", err, out)
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	alice := g.newUser(t, "alice", alicesPassword)
	if says, err := g.reload(); err != nil {
		t.Fatalf("%v\n%s", err, says)
	}
	admin := []string{"--address", "unix/" + g.env["ADMIN"]}
	if said := g.cliOut(t, append([]string{"keys", "rotate"}, admin...)...); !strings.Contains(said, "waits") {
		t.Errorf("keys rotate: %s", said)
	}
	if a := alice.get(t, "/whoami"); a.Status != http.StatusOK {
		t.Errorf("the application: %d", a.Status)
	}
	if said := g.cliOut(t, "audit", "verify", g.auditDir()); !strings.Contains(said, "verified") {
		t.Errorf("audit verify: %s", said)
	}
	var facts struct{ PID int }
	if text, err := g.adminGet("/gatehouse/evidence"); err != nil || json.Unmarshal(text, &facts) != nil || facts.PID == 0 {
		t.Fatalf("%s, %v", text, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", facts.PID))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`NoNewPrivs:\s1`, `Uid:\s61184\s61184\s61184\s61184`, `CapEff:\s0{13}400`, `CapBnd:\s0{13}400`, `CapPrm:\s0{13}400`} {
		if !regexp.MustCompile(want).Match(status) {
			t.Errorf("the kernel does not say %s:\n%s", want, status)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", facts.PID))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^\S+ / \S+ ro[, ]`).Match(mounts) || !regexp.MustCompile(`(?m)^\S+ `+regexp.QuoteMeta(g.dir)+` \S+ rw[, ]`).Match(mounts) {
		t.Errorf("the root is not read-only for it, or its directory is:\n%s", mounts)
	}
}
