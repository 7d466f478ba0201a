package testenv

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo is what a newcomer does after `make run`: what it prints is true, Ctrl-C stops it, and what was made is there
// the next time.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := demoDir(t)
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "PORT="+strconv.Itoa(port), "GATEHOUSE_HOME=")
	start := func(name string) (*process, string) {
		t.Helper()
		out := filepath.Join(dir, name)
		p, err := startProcess(filepath.Join(dir, "bin/demo"), nil, env, dir, out, out+".err")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.stop(syscall.SIGTERM, stopsIn) })
		err = until(time.Minute, "the demo says that Ctrl-C stops it", func() bool {
			content, _ := os.ReadFile(out)
			return p.ended() || bytes.Contains(content, []byte("Ctrl-C stops it"))
		})
		if err != nil || p.ended() {
			t.Fatalf("the demo did not come up: %v\n%s\n%s", err, tail(out, 30), tail(out+".err", 30))
		}
		return p, tail(out, 100)
	}
	p, said := start("first")

	// 1. The link makes a user.
	root, err := os.ReadFile(filepath.Join(dir, ".gatehouse/data/caddy/pki/authorities/local/root.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	link := regexp.MustCompile(`https://localhost:\d+/\S+setup\?token=\S+`).FindString(said)
	if link == "" {
		t.Fatalf("no setup link in:\n%s", said)
	}
	resp, err := (&http.Client{Timeout: answersIn, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+strconv.Itoa(port))
		},
	}}).Get(link)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("password")) {
		t.Errorf("the setup link answers %d, %v", resp.StatusCode, err)
	}
	// 2. and 3. The commands that it prints do what it says.
	blocked := runPrinted(t, dir, said, `(?m)^ +(curl -i .*)$`)
	if !strings.Contains(blocked, " 403") || !strings.Contains(blocked, "waf_blocked") || !strings.Contains(strings.ToLower(blocked), "x-request-id:") {
		t.Errorf("the attack is answered:\n%s", blocked)
	}
	if logged := runPrinted(t, dir, said, `(?m)^ +(grep .*)$`); !strings.Contains(logged, `"waf_blocked"`) {
		t.Errorf("the log says:\n%s", logged)
	}
	// A second one on the same port says what to do.
	second := exec.Command(filepath.Join(dir, "bin/demo"))
	second.Dir, second.Env = dir, env
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "PORT=9443 make run") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("on a busy port: %v, %q", err, out)
	}

	endDemo(t, p, syscall.SIGINT, port)
	p, said = start("second")
	if strings.Contains(said, "setup?token=") {
		// Nobody has used the first link: a new one is right. That users survive is told by TestRestart.
		t.Log("a new setup link")
	}
	endDemo(t, p, syscall.SIGTERM, port)
}

// endDemo ends a demo and checks that nothing of it is left.
func endDemo(t *testing.T, p *process, sig syscall.Signal, port int) {
	t.Helper()
	if err := p.stop(sig, stopsIn); err != nil {
		t.Fatal(err)
	}
	if code := p.exitCode(); code != 0 {
		t.Errorf("%v: exit code %d\n%s", sig, code, tail(p.stderr, 20))
	}
	if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
		_ = c.Close()
		t.Errorf("%v: something still listens", sig)
	}
}

// demoDir is a directory that looks like the repository after the demo was built.
func demoDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "ghdemo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, from := range map[string]string{
		"bin/gatehouse":             gatehouseBin(t),
		"bin/demo-backend":          backendBin(t),
		"bin/demo":                  workshop.binary(t, "testenv/demo", false),
		"caddyfiles/demo.Caddyfile": filepath.Join(root, "caddyfiles/demo.Caddyfile"),
	} {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := copyFile(from, to); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runPrinted runs the command that the demo printed, as a newcomer does who copies it.
func runPrinted(t *testing.T, dir, said, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("nothing like %s in:\n%s", pattern, said)
	}
	cmd := exec.Command("sh", "-c", m[1])
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", m[1], err, out)
	}
	return string(out)
}
