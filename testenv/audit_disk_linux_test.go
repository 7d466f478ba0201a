package testenv

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// ownDisk is a gateway whose audit log is on a file system of its own, which mount mounts.
func ownDisk(t *testing.T, be string, mount func(*gateway) error) *gateway {
	t.Helper()
	g, err := newGateway(gatehouseBin(t), config{Backend: be, Site: auditedSite})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	if err := os.MkdirAll(g.auditDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mount(g); err != nil {
		t.Skipf("needs to be root, and allowed to mount file systems: %v", err)
	}
	t.Cleanup(func() { // the gateway has it open: it ends first
		if err := errors.Join(g.stop(), syscall.Unmount(g.auditDir(), 0)); err != nil {
			t.Error(err)
		}
	})
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	return g
}

// bans is somebody who bans one network after the other, and keeps what was said of each.
type bans struct {
	g      *gateway
	admin  *http.Client
	n      int
	banned []string // it was said to be done
	never  []string // it was said that nothing was done
}

// one bans the next network, and returns the status.
func (b *bans) one(t *testing.T) int {
	t.Helper()
	network := fmt.Sprintf("198.51.%d.%d", 100+b.n/250, b.n%250)
	b.n++
	res, err := b.admin.Post("http://localhost/gatehouse/bans", "application/json", strings.NewReader(fmt.Sprintf(`{"network":%q,"for":"1h","by":"olga"}`, network)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	says, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		t.Fatal(err)
	case res.StatusCode == http.StatusOK:
		b.banned = append(b.banned, network+"/32")
	case res.StatusCode != http.StatusServiceUnavailable:
		t.Fatalf("a ban: %s: %s", res.Status, says)
	case strings.Contains(string(says), "nothing was done"):
		b.never = append(b.never, network+"/32")
	case !strings.Contains(string(says), "it was begun"):
		t.Fatalf("a ban is refused, and nobody says whether it was begun: %s", says)
	}
	return res.StatusCode
}

// writable is what the metric says.
func (g *gateway) auditWritable(t *testing.T) string {
	t.Helper()
	text, err := g.adminGet("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "gatehouse_audit_writable "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "absent"
}

// down is the policy while the audit log cannot be written: administrators are refused and nothing of it is done, people are served
// as before, and it is told.
func (b *bans) down(t *testing.T, user *client) {
	t.Helper()
	for range 5 {
		if status := b.one(t); status != http.StatusServiceUnavailable {
			t.Errorf("a ban: status %d while the audit log cannot be written", status)
		}
	}
	if len(b.never) == 0 {
		t.Error("nobody was told that nothing was done: the test tests nothing")
	}
	for range 20 {
		if a := user.get(t, "/whoami"); a.Status != http.StatusOK {
			t.Errorf("who is logged in is not served: status %d", a.Status)
		}
	}
	if a := user.get(t, "/slow?ms=0"); a.refusedAs("unavailable", http.StatusServiceUnavailable) != nil {
		t.Errorf("a request that must be on record first: status %d %s", a.Status, a.Body)
	}
	if a := b.g.stranger(t).get(t, "/whoami"); a.Status == http.StatusOK {
		t.Error("a stranger is served what staff may see")
	}
	if _, err := b.g.reload(); err == nil {
		t.Error("a reload is not refused while the audit log cannot be written")
	}
	if is := b.g.auditWritable(t); is != "0" {
		t.Errorf("gatehouse_audit_writable is %s", is)
	}
	eventually(t, logSoonIn, "the event audit.failed", func() bool {
		lines, err := b.g.lines(`"audit.failed"`)
		return err == nil && len(lines) > 0
	})
}

// upAgain is what is true once it can be written.
func (b *bans) upAgain(t *testing.T, user *client) {
	t.Helper()
	eventually(t, readyIn, "administrators may act again", func() bool { return b.one(t) == http.StatusOK })
	if a := user.get(t, "/slow?ms=0"); a.Status != http.StatusOK {
		t.Errorf("a request that goes on record first: status %d", a.Status)
	}
	eventually(t, logSoonIn, "the event audit.resumed", func() bool {
		lines, err := b.g.lines(`"audit.resumed"`)
		return err == nil && len(lines) > 0
	})
	if is := b.g.auditWritable(t); is != "1" {
		t.Errorf("gatehouse_audit_writable is %s", is)
	}
	if _, err := b.g.reload(); err != nil {
		t.Errorf("a reload: %v", err)
	}
	if a := user.get(t, "/whoami"); a.Status != http.StatusOK {
		t.Errorf("who is logged in is not served: status %d", a.Status)
	}
	b.one(t)
}

// onRecord compares what was said with what is on record, and has two verifiers read that.
func (b *bans) onRecord(t *testing.T) {
	t.Helper()
	g, dir := b.g, b.g.auditDir()
	key := strings.TrimSpace(g.cli(t, "audit", "key", dir))
	done := g.cli(t, "audit", "export", dir, "--key", key, "--kind", "admin.done")
	for _, network := range b.banned {
		if !strings.Contains(done, `"`+strings.TrimSuffix(network, "/32")) {
			t.Errorf("the ban of %s was acknowledged and is not on record", network)
		}
	}
	all := g.cli(t, "audit", "export", dir, "--key", key)
	bans := g.cli(t, "ban", "list", "--address", "unix/"+g.env["ADMIN"])
	for _, network := range b.never {
		address := strings.TrimSuffix(network, "/32")
		if strings.Contains(all, `"`+address+`"`) || strings.Contains(all, `"`+network+`"`) || strings.Contains(bans, address+"/") || strings.Contains(bans, address+" ") {
			t.Errorf("it was said that nothing was done about %s, and something was", network)
		}
	}
	if !strings.Contains(all, `"kind":"audit.failed"`) || !strings.Contains(all, `"kind":"audit.resumed"`) {
		t.Error("that the audit log could not be written, and could be again, is not on record")
	}
	if err := g.stop(); err != nil { // publishes a checkpoint
		t.Fatal(err)
	}
	anchor := filepath.Join(dir, "checkpoint")
	ours := g.cli(t, "audit", "verify", dir, "--key", key, "--checkpoint", anchor)
	theirs := otherVerifier(t, dir, key, anchor)
	var records int
	if _, err := fmt.Sscanf(theirs, "ok %d", &records); err != nil || !strings.Contains(ours, fmt.Sprintf("verified %d records", records)) {
		t.Errorf("they disagree: %q and %q", ours, theirs)
	}
	t.Logf("%d acknowledged, %d refused before anything was done, %s", len(b.banned), len(b.never), theirs)
}

// TestAuditDiskFull: the file system of the audit log fills up while administrators act, stays full, and is freed.
// Controls: NAT-11.
func TestAuditDiskFull(t *testing.T) {
	t.Parallel()
	g := ownDisk(t, startBackend(t).Listen, func(g *gateway) error {
		return syscall.Mount("tmpfs", g.auditDir(), "tmpfs", 0, "size=256k,mode=0700")
	})
	user := g.newUser(t, "alice", alicesPassword)
	b := &bans{g: g, admin: g.adminClient()}
	if b.one(t) != http.StatusOK {
		t.Fatal("a ban is refused from the beginning")
	}
	// It fills up by itself: nobody chooses where in a record that is.
	for b.one(t) == http.StatusOK {
		if b.n > 2000 {
			t.Fatal("256 kB do not fill up: the test tests nothing")
		}
	}
	t.Logf("full after %d bans", len(b.banned))
	b.down(t, user)
	// A kill in the middle of it takes nothing back, and it starts as it was: people are served.
	if err := g.kill9(); err != nil {
		t.Fatal(err)
	}
	if err := g.start(); err != nil {
		t.Fatalf("it does not start while the audit log's disk is full: %v", err)
	}
	if a := user.get(t, "/whoami"); a.Status != http.StatusOK {
		t.Errorf("who is logged in is not served after a restart: status %d", a.Status)
	}
	for b.one(t) == http.StatusOK { // what was cut off left some room
	}
	b.down(t, user)
	if err := syscall.Mount("tmpfs", g.auditDir(), "tmpfs", syscall.MS_REMOUNT, "size=8192k"); err != nil {
		t.Fatal(err)
	}
	b.upAgain(t, user)
	b.onRecord(t)
}

// TestAuditReadOnly: the disk of the audit log fails under the gateway, and the kernel makes its file system read-only, as it does
// after an error. It is unmounted, repaired and mounted again without a restart; a second time, the gateway is killed meanwhile.
func TestAuditReadOnly(t *testing.T) {
	t.Parallel()
	var img, dir string
	mount := func() error { return command(t, "mount", "-o", "loop", img, dir) }
	unmount := func() error { return syscall.Unmount(dir, 0) }
	g := ownDisk(t, startBackend(t).Listen, func(g *gateway) error {
		img, dir = filepath.Join(g.dir, "disk"), g.auditDir()
		if err := os.WriteFile(img, nil, 0o600); err != nil {
			return err
		}
		if err := errors.Join(os.Truncate(img, 8<<20), command(t, "mkfs.ext4", "-q", img)); err != nil {
			return err
		}
		return mount()
	})
	user := g.newUser(t, "alice", alicesPassword)
	b := &bans{g: g, admin: g.adminClient()}
	for _, killed := range []bool{false, true} {
		for range 20 {
			if b.one(t) != http.StatusOK {
				t.Fatal("a ban is refused from the beginning")
			}
		}
		if err := command(t, "mount", "-o", "remount,abort", dir); err != nil { // what the kernel does after an error of the disk
			t.Skipf("the kernel does not feign an error of the disk: %v", err)
		}
		b.down(t, user)
		if killed {
			if err := g.kill9(); err != nil {
				t.Fatal(err)
			}
			if err := g.start(); err != nil {
				t.Fatalf("it does not start while the audit log is read-only: %v", err)
			}
			b.down(t, user)
		}
		eventually(t, readyIn, "nothing is open on the file system that failed", func() bool { return unmount() == nil })
		if err := command(t, "e2fsck", "-p", img); err != nil {
			t.Fatal(err)
		}
		if err := mount(); err != nil {
			t.Fatal(err)
		}
		b.upAgain(t, user)
	}
	b.onRecord(t)
}

// command runs a program of the system. That e2fsck has repaired something is no error.
func command(t *testing.T, name string, args ...string) error {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err == nil || name == "e2fsck" && errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil
	}
	return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
}
