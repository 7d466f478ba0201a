package testenv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is the repository.
const root = ".."

func TestMain(m *testing.M) {
	if what := os.Getenv(attackerEnv); what != "" {
		attack(what)
		return
	}
	code := m.Run()
	workshop.close()
	os.Exit(code)
}

// workshop builds the programs under test: each once a run, and only when a test asks for it.
var workshop = &builder{made: map[string]*build{}}

type builder struct {
	mu   sync.Mutex
	dir  string            // guarded by mu; this run's binaries
	made map[string]*build // guarded by mu
}

type build struct {
	once sync.Once
	path string
	err  error
}

// gatehouseBin is the product as it is released. GATEHOUSE_RACE=1 has every story told of a binary with the race detector;
// GATEHOUSE_BIN names another binary to test instead: a release build, or plain Caddy to see the stories fail.
func gatehouseBin(t testing.TB) string { return product(t, os.Getenv("GATEHOUSE_RACE") == "1") }

// raceBin is the product with the race detector, which makes it slower by five times and to start by three seconds: for
// the stories in which much happens at once. The rest of the product meets the race detector in the packages' own tests.
func raceBin(t testing.TB) string { return product(t, true) }

func product(t testing.TB, race bool) string {
	t.Helper()
	if bin := os.Getenv("GATEHOUSE_BIN"); bin != "" {
		return bin
	}
	trackSources(t)
	return workshop.binary(t, "gatehouse", race)
}

// binary is the program of a package below the repository's root; race asks for the race detector.
func (b *builder) binary(t testing.TB, pkg string, race bool) string {
	t.Helper()
	if pkg == "gatehouse" {
		pkg = "cmd/gatehouse"
	}
	name := filepath.Base(pkg)
	if race {
		name += "-race"
	}
	b.mu.Lock()
	one := b.made[name]
	if one == nil {
		one = &build{}
		b.made[name] = one
	}
	b.mu.Unlock()
	one.once.Do(func() { one.path, one.err = b.make(t, pkg, name, race) })
	if one.err != nil {
		t.Fatalf("building %s: %v", pkg, one.err)
	}
	return one.path
}

func (b *builder) make(t testing.TB, pkg, name string, race bool) (string, error) {
	// The go command links again only when something changed, if it finds its last output: so that is kept.
	abs, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	key := sha256.Sum256([]byte(abs))
	kept := filepath.Join(cacheDir(t, "bin", hex.EncodeToString(key[:8])), name)
	// Without -trimpath, and with cgo as it is: what go vet and go test have compiled already is not compiled again.
	args := []string{"build", "-o", kept}
	if race {
		if hasCompiler() {
			args = append(args, "-race")
		} else {
			t.Log("no C compiler: the gateway is tested without the race detector (testenv/install.sh installs gcc)")
		}
	}
	cmd := exec.Command("go", append(args, "./"+pkg)...)
	cmd.Dir = root
	if race && hasCompiler() {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	// This run keeps its own name for the file, so that a build beside it changes nothing here.
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "ghbin"); err != nil {
			return "", err
		}
	}
	own := filepath.Join(b.dir, name+".d", filepath.Base(pkg)) // which scripts call by its name
	if err := os.Mkdir(filepath.Dir(own), 0o700); err != nil {
		return "", err
	}
	if err := os.Link(kept, own); err == nil {
		return own, nil
	}
	return own, copyFile(kept, own)
}

func (b *builder) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}

func hasCompiler() bool {
	for _, cc := range []string{os.Getenv("CC"), "gcc", "cc", "clang"} {
		if cc == "" {
			continue
		}
		if _, err := exec.LookPath(strings.Fields(cc)[0]); err == nil {
			return true
		}
	}
	return false
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		_ = dst.Close()
		return err
	}
	return dst.Close()
}

// trackSources looks at every source file of the product. This package imports none of them, so without it the go
// command would answer "(cached)" after the product has changed.
func trackSources(t testing.TB) {
	t.Helper()
	for _, dir := range []string{"cmd", "modules", "rules", "go.mod", "go.sum", "testenv/backend", "testenv/demo"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			_, err = os.Stat(path)
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatalf("reading the product's sources: %v", err)
		}
	}
}

// cacheDir is a directory that outlives the run, for what is expensive to make: linked binaries, npm packages. Each
// further part of its name should be a hash of what its content depends on (see fileHash).
func cacheDir(t testing.TB, parts ...string) string {
	t.Helper()
	base, err := os.UserCacheDir() // $XDG_CACHE_HOME or ~/.cache
	if err != nil {
		base = os.TempDir()
	}
	dir := filepath.Join(append([]string{base, "gatehouse-test"}, parts...)...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatalf("making the test cache: %v", err)
	}
	return dir
}

// fileHash names the content of files in 16 characters.
func fileHash(t testing.TB, names ...string) string {
	t.Helper()
	sum := sha256.New()
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatalf("hashing: %v", err)
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n", filepath.Base(name), len(content))
		_, _ = sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}
