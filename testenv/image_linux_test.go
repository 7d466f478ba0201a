package testenv

import (
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inMounts says that a test runs with mounts of its own.
const inMounts = "GATEHOUSE_IN_MOUNTS"

// nobody is whom the image runs its program as.
const nobody = 65532

// mountedApart runs the test once more with mounts of its own, which go when it ends. It reports whether this is that run.
func mountedApart(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv(inMounts) != "" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Skipf("no mounts can be made here: %v", err)
		}
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(append(os.Environ(), inMounts+"=1"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Skipf("no mounts can be made here: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip(string(out))
	}
	t.Log(string(out))
	return false
}

// container is what the image's definition makes a container of, without a program that runs containers.
type container struct {
	*gateway
	volume string
	proc   *process
	root   string
	libs   []string // that the binary wants
}

// libraries are those that a program is linked with, by their paths; none for one that is static.
func libraries(t testing.TB, bin string) (all []string) {
	t.Helper()
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if names, err := f.ImportedLibraries(); err != nil {
		t.Fatal(err)
	} else if len(names) == 0 {
		return nil
	}
	out, err := exec.Command("ldd", bin).Output()
	if err != nil {
		t.Fatalf("ldd: %v", err)
	}
	for _, m := range regexp.MustCompile(`(?m)(/\S+) \(0x`).FindAllStringSubmatch(string(out), -1) {
		all = append(all, m[1])
	}
	return all
}

// deploy lays out the image anew, with the volume in it, as `docker run --read-only --cap-drop ALL` does.
func (c *container) deploy(t testing.TB, bin string) {
	t.Helper()
	root, err := os.MkdirTemp(c.dir, "root")
	if err != nil {
		t.Fatal(err)
	}
	c.root = root
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{bin: "gatehouse", c.conf: "Caddyfile", c.env["COMMON"]: "common", c.env["CERT"]: "cert.pem", c.env["KEY"]: "key.pem"} {
		to = filepath.Join(root, to)
		if err := copyFile(from, to); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(to, 0o555); err != nil { // what is mounted into a container must be readable there
			t.Fatal(err)
		}
	}
	for _, lib := range c.libs {
		to := filepath.Join(root, lib)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := copyFile(lib, to); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(to, 0o555); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	mount := func(from, to string, flags uintptr) {
		t.Helper()
		if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
			t.Skipf("no mounts can be made here: %v", err)
		}
		if err := syscall.Mount("", to, "", syscall.MS_BIND|syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	mount(root, root, syscall.MS_RDONLY|syscall.MS_NODEV)
	mount(c.volume, data, syscall.MS_NODEV|syscall.MS_NOSUID|syscall.MS_NOEXEC)
	if err := os.Chmod(root, 0o755); err == nil {
		t.Fatal("the root can be written")
	}
}

// run starts the image's program as the image says, and returns when it serves, or has ended.
func (c *container) run(t testing.TB, image map[string]string) {
	t.Helper()
	env := []string{
		"BIND=" + c.ip, "PORT=" + c.env["PORT"], "STATE=/data/state", "ADMIN=/data/a.sock", "LOG=/data/gatehouse.log", "GRACE=2s",
		"COMMON=/common", "CERT=/cert.pem", "KEY=/key.pem", "BACKEND=" + c.env["BACKEND"], "ROLES=admin staff",
	}
	env = append(env, strings.Fields(image["ENV"])...)
	words := regexp.MustCompile(`"([^"]+)"`)
	var argv []string
	for _, m := range words.FindAllStringSubmatch(image["ENTRYPOINT"]+image["CMD"], -1) {
		argv = append(argv, m[1])
	}
	var uid, gid uint32
	if _, err := fmt.Sscanf(image["USER"], "%d:%d", &uid, &gid); err != nil || uid != nobody || gid != nobody {
		t.Fatalf("the image's user %s: %v", image["USER"], err)
	}
	out, err := os.OpenFile(c.stderr(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &process{cmd: &exec.Cmd{
		Path: argv[0], Args: argv, Env: env, Dir: "/", Stdout: out, Stderr: out,
		SysProcAttr: &syscall.SysProcAttr{Chroot: c.root, Credential: &syscall.Credential{Uid: uid, Gid: gid}, Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}, done: make(chan struct{})}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the state says how
		p.state = p.cmd.ProcessState
	}()
	c.proc = p
	t.Cleanup(func() { _ = p.stop(syscall.SIGKILL, stopsIn) })
	if err := until(readyIn, "the container answers", func() bool { return p.ended() || c.answers() }); err != nil {
		t.Fatalf("%v\n%s", err, tail(c.stderr(), 20))
	}
}

// files are what is below a directory, with sums of contents, but for what is mounted into it.
func files(t testing.TB, dir string) (all string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == filepath.Join(dir, "data"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		text, err := os.ReadFile(path)
		all += fmt.Sprintf("%s %x\n", strings.TrimPrefix(path, dir), sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestImageRuns: what the image's definition describes runs: the binary alone in a root that nobody can write, as 65532, without
// any capability, its state in one volume. `make image` runs the static binary that the image holds; elsewhere it is the stories' own,
// which has been built already, and the C library that it wants lies beside it. People log in; the next deployment replaces all but the volume, and they are logged in still
// (NAT-18, BRF-16). Nothing but the volume is written, and without a volume that is theirs to write nothing runs.
func TestImageRuns(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		if os.Getenv("GATEHOUSE_STATIC") != "" { // somebody wants to know
			t.Fatal("only root can become another user in another root")
		}
		t.Skip("only root can become another user in another root")
	}
	static := os.Getenv("GATEHOUSE_STATIC")
	bin := static
	if bin == "" {
		bin = gatehouseBin(t)
	}
	if !mountedApart(t, "GATEHOUSE_BIN="+bin) {
		return
	}
	libs := libraries(t, bin)
	if static != "" && len(libs) > 0 {
		t.Fatalf("the binary wants libraries: %v", libs)
	}
	text, err := os.ReadFile(filepath.Join(root, "cmd", "gatehouse", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	image := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if word, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			image[word] = rest
		}
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }))
	defer app.Close()
	g, err := newGateway(bin, config{Backend: strings.TrimPrefix(app.URL, "http://"), Site: "allow role staff"})
	if err != nil {
		t.Fatal(err)
	}
	c := &container{gateway: g, volume: filepath.Join(g.dir, "volume"), libs: libs}
	t.Cleanup(func() {
		if err := g.wrongs(); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(g.dir) // the mounts go with this process
	})
	if err := os.Mkdir(c.volume, 0o700); err != nil {
		t.Fatal(err)
	}
	g.env["STATE"], g.env["ADMIN"], g.env["LOG"] = filepath.Join(c.volume, "state"), filepath.Join(c.volume, "a.sock"), filepath.Join(c.volume, "gatehouse.log")
	c.deploy(t, bin)
	c.run(t, image)
	if !c.proc.ended() || c.proc.exitCode() == 0 {
		t.Fatal("it runs with a volume that it cannot write")
	}
	if err := os.Chown(c.volume, nobody, nobody); err != nil {
		t.Fatal(err)
	}

	before := files(t, c.root)
	c.run(t, image)
	if c.proc.ended() {
		t.Fatalf("it has ended:\n%s", tail(g.stderr(), 20))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.proc.pid()))
	for _, want := range []string{`CapPrm:\t0+\n`, `CapEff:\t0+\n`, `CapAmb:\t0+\n`, `Uid:\t65532\t65532\t65532\t65532\n`, `Gid:\t65532\t65532\t65532\t65532\n`, `Groups:\t *\n`} {
		if err != nil || !regexp.MustCompile(want).Match(status) {
			t.Errorf("no %q, %v in:\n%s", want, err, status)
		}
	}
	eventually(t, 10*time.Second, "the link of the first user", func() bool { return g.setupLink() != "" })
	alice := g.newUser(t, "alice", alicesPassword)
	if a := alice.get(t, "/"); a.Status != 200 || string(a.Body) != "hello\n" {
		t.Fatalf("alice: %d %s", a.Status, a.Body)
	}
	stop := func() {
		t.Helper()
		if err := c.proc.stop(syscall.SIGTERM, stopsIn); err != nil || c.proc.exitCode() != 0 {
			t.Fatalf("it does not end: %v\n%s", err, tail(g.stderr(), 20))
		}
	}
	stop()
	if after := files(t, c.root); after != before {
		t.Errorf("the root has changed:\n%s\nwas\n%s", after, before)
	}

	// The next deployment: another root, the same volume.
	old := c.root
	c.deploy(t, bin)
	if c.root == old {
		t.Fatal("the old root again")
	}
	c.run(t, image)
	if a := alice.get(t, "/"); a.Status != 200 {
		t.Errorf("alice after the deployment: %d", a.Status)
	}
	bob := g.stranger(t)
	if _, err := bob.login("alice", alicesPassword, "/"); err != nil {
		t.Errorf("alice logs in again: %v", err)
	}
	stop()
	err = filepath.WalkDir(c.volume, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if s := info.Sys().(*syscall.Stat_t); s.Uid != nobody || info.Mode().Perm()&0o007 != 0 && info.Mode().Type() == 0 {
			t.Errorf("%s belongs to %d, mode %v", path, s.Uid, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
