package testenv

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

var npm struct {
	once sync.Once
	dir  string
	err  error
}

// nodeModules is a directory with node_modules as npm/package-lock.json says, kept between runs. The programs in it are
// real and unmodified: the certified OpenID provider, Node-RED.
func nodeModules(t testing.TB) string {
	t.Helper()
	needProgram(t, "nodejs", "node")
	bin := needProgram(t, "npm", "npm")
	files := []string{"npm/package.json", "npm/package-lock.json", "npm/.npmrc"}
	kept := filepath.Join(cacheDir(t, "npm", fmt.Sprintf("%s-%s-%s", fileHash(t, files...), runtime.GOOS, runtime.GOARCH)), "installed")
	npm.once.Do(func() { npm.dir, npm.err = kept, install(bin, kept, files) })
	if npm.err != nil {
		cannot(t, "npm packages for the stories: %v", npm.err)
	}
	return npm.dir
}

// install fills dir in one step: several test runs may do so at once.
func install(bin, dir string, files []string) error {
	if fileExists(dir) {
		return nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "installing")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	for _, name := range files {
		if err := copyFile(name, filepath.Join(tmp, filepath.Base(name))); err != nil {
			return err
		}
	}
	cmd := exec.Command(bin, "ci", "--no-progress")
	cmd.Dir, cmd.SysProcAttr = tmp, childAttributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(tmp, dir); err != nil && !fileExists(dir) {
		return err
	}
	return nil
}

// startNode runs a script with the installed modules; the caller must stop it. dir is its working directory, where
// stdout.txt and stderr.txt will be.
func startNode(t testing.TB, dir, script string, args ...string) *process {
	t.Helper()
	modules := filepath.Join(nodeModules(t), "node_modules")
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	node := needProgram(t, "nodejs", "node")
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "NODE_ENV=production", "NO_UPDATE_NOTIFIER=1"}
	proc, err := startProcess(node, append([]string{script}, args...), env, dir, filepath.Join(dir, "stdout.txt"), filepath.Join(dir, "stderr.txt"))
	if err != nil {
		t.Fatalf("starting %s: %v", script, err)
	}
	return proc
}

// provider is the certified OpenID provider as a process of its own, on a fixed port, so that it can be away and come
// back.
type provider struct {
	Port     int    `json:"port"`
	Issuer   string `json:"issuer"`
	Cert     string `json:"cert"`
	Key      string `json:"key"`
	CA       string `json:"ca"`
	UserInfo bool   `json:"userinfo"`
	Lasts    int    `json:"lasts,omitempty"` // seconds that an access token is good; 0: an hour, and there are no refresh tokens
	Client   struct {
		ID          string   `json:"id"`
		Secret      string   `json:"secret"`
		JWK         any      `json:"jwk,omitempty"` // in place of the secret
		Redirects   []string `json:"redirect_uris"`
		PostLogout  []string `json:"post_logout"`
		BackChannel string   `json:"back_channel,omitempty"`
	} `json:"client"`
	People map[string]map[string]any `json:"people"`
	ACR    map[string]string         `json:"acr,omitempty"`  // with which class a person logs in; "": with none
	Lazy   bool                      `json:"lazy,omitempty"` // it asks nobody again whom it knows, whatever prompt and max_age want

	dir  string
	proc *process
}

// newProvider prepares a provider without starting it.
func newProvider(t testing.TB) *provider {
	t.Helper()
	dir, err := os.MkdirTemp("", "ghop")
	if err != nil {
		t.Fatal(err)
	}
	op := &provider{dir: dir, Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: filepath.Join(dir, "ca.pem"), People: map[string]map[string]any{}}
	t.Cleanup(func() {
		op.stop()
		_ = os.RemoveAll(dir)
	})
	if op.Port, err = freePort(); err != nil {
		t.Fatal(err)
	}
	if err := ca().write(dir, "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	op.Issuer = fmt.Sprintf("https://127.0.0.1:%d", op.Port)
	op.Client.ID, op.Client.Secret = "gatehouse", "the-secret-of-this-client-alone"
	return op
}

// start runs the provider, with new keys and no memory, and returns when it serves.
func (op *provider) start(t testing.TB) {
	t.Helper()
	conf, err := json.Marshal(op)
	if err == nil {
		err = os.WriteFile(filepath.Join(op.dir, "op.json"), conf, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(op.dir, "op.mjs")
	_ = os.Remove(script)
	if err := copyFile("npm/op.mjs", script); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(op.dir, "stdout.txt"))
	op.proc = startNode(t, op.dir, script, "op.json")
	eventually(t, readyIn, "the OpenID provider is ready", func() bool {
		out, _ := os.ReadFile(filepath.Join(op.dir, "stdout.txt"))
		return len(out) > 0 || op.proc.ended()
	})
	if op.proc.ended() {
		t.Fatalf("the OpenID provider ended:\n%s", tail(filepath.Join(op.dir, "stderr.txt"), 20))
	}
}

// stop ends the provider.
func (op *provider) stop() {
	if op.proc != nil {
		_ = op.proc.stop(syscall.SIGTERM, 10*time.Second)
		op.proc = nil
	}
}
