package testenv

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	appHost   = "app.test"       // the site's name in the house Caddyfile
	readyIn   = 30 * time.Second // the race detector and a busy machine are slow
	stopsIn   = 30 * time.Second
	logSoonIn = 10 * time.Second
)

// config says how a gateway is set up. The zero config with a Backend is the newcomer's: the local provider, role
// staff allowed.
type config struct {
	Backend   string   // host:port of the application
	Caddyfile string   // the whole file; when empty, it is put together from what follows
	Global    string   // further lines of the global options
	House     string   // lines of the global gatehouse block; default: the local provider
	MFA       string   // lines of its mfa block; default: administrators need no second factor, so that stories need not tell of one
	Roles     string   // of the first user; default: admin staff
	Site      string   // lines of the site's gatehouse block; default: see houseCaddyfile
	Rest      string   // what follows in the site; default: reverse_proxy
	Plain     bool     // no gatehouse at all: plain Caddy, the negative control
	Env       []string // further environment
	Port      int      // default: a free one
	IP        string   // to listen on; default: 127.0.0.1
	Race      bool     // with the race detector
	Bin       string   // the program; default: this product, built
}

const (
	defaultHouse = "local {\n\t\t\tfirst_user_roles {$ROLES}\n\t\t}"
	defaultSite  = "allow role staff\n\t\tpublic /healthz /assets/*\n\t\troute /admin/* {\n\t\t\tallow role admin\n\t\t}"
)

// caddyfile is the configuration as text; everything that differs between runs is in the environment.
func (c config) caddyfile() string {
	if c.Caddyfile != "" {
		return c.Caddyfile
	}
	or := func(s, fallback string) string {
		if s == "" {
			return fallback
		}
		return s
	}
	global, site := "", ""
	if !c.Plain {
		global = "\tgatehouse {\n\t\tstate_dir {$STATE}\n\t\tinsecure_http3\n\t\tmfa {\n\t\t\t" + or(c.MFA, "insecure_admins_without_factor") + "\n\t\t}\n\t\t" + or(c.House, defaultHouse) + "\n\t}\n"
		words := or(c.Site, defaultSite)
		if !strings.Contains(words, "rate_limit") {
			words += "\n\t\t" + storyRate
		}
		site = "\tgatehouse {\n\t\t" + words + "\n\t}\n"
	}
	return "{\n\timport {$COMMON}\n" + global + c.Global + "\n}\n" +
		"https://app.test:{$PORT} {\n\ttls {$CERT} {$KEY}\n" + site + "\t" + or(c.Rest, "reverse_proxy {$BACKEND}") + "\n}\n"
}

// storyRate lets stories ask for the portal's pages as fast as they can: all of their people share one address, where the
// default would count them together. modules/standard has the stories of the default.
const storyRate = "rate_limit 1000r/s /.gatehouse/*"

// Stories speak HTTP/3 as well, so that their houses say insecure_http3; that it is off by default is told in modules/standard.

// base is what every Caddyfile of this package imports into its global options; common is base with the log in a file.
const base = `
	auto_https disable_redirects
	skip_install_trust
	default_bind {$BIND}
	grace_period {$GRACE}
	admin "unix/{$ADMIN}|0600"
`

const common = base + `
	log {
		output file {$LOG}
		format json
	}
`

// gateway is one gateway with its own directory, port and state. It may be stopped and started again.
type gateway struct {
	bin   string
	dir   string // short: a unix socket lives in it
	ip    string
	port  int
	plain bool
	env   map[string]string
	conf  string // the Caddyfile in use

	mu      sync.Mutex
	proc    *process        // guarded by mu; nil: not running
	secrets map[string]bool // guarded by mu; what must never be in a log
}

// newGateway prepares a gateway without starting it. The caller must close it.
func newGateway(bin string, c config) (*gateway, error) {
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		return nil, err
	}
	g := &gateway{bin: bin, dir: dir, ip: c.IP, port: c.Port, plain: c.Plain, secrets: map[string]bool{}, conf: filepath.Join(dir, "Caddyfile")}
	if g.ip == "" {
		g.ip = "127.0.0.1"
	}
	if g.port == 0 {
		if g.port, err = freePort(); err != nil {
			return nil, err
		}
	}
	if err := ca().write(dir, appHost, "other.test", "localhost", "127.0.0.1"); err != nil {
		return nil, err
	}
	for name, content := range map[string]string{"base": base, "common": common} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	roles := c.Roles
	if roles == "" {
		roles = "admin staff"
	}
	g.env = map[string]string{
		"PATH":            os.Getenv("PATH"),
		"HOME":            dir,
		"XDG_DATA_HOME":   filepath.Join(dir, "data"),
		"XDG_CONFIG_HOME": filepath.Join(dir, "config"),
		"GORACE":          "halt_on_error=0 atexit_sleep_ms=0 exitcode=0",
		"BIND":            g.ip,
		"PORT":            strconv.Itoa(g.port),
		"STATE":           filepath.Join(dir, "state"),
		"GRACE":           "2s",
		"BASE":            filepath.Join(dir, "base"),
		"COMMON":          filepath.Join(dir, "common"),
		"CA":              filepath.Join(dir, "ca.pem"),
		"CERT":            filepath.Join(dir, "cert.pem"),
		"KEY":             filepath.Join(dir, "key.pem"),
		"ADMIN":           filepath.Join(dir, "a.sock"),
		"LOG":             filepath.Join(dir, "gatehouse.log"),
		"BACKEND":         c.Backend,
		"ROLES":           roles,
	}
	for _, kv := range c.Env {
		name, value, _ := strings.Cut(kv, "=")
		g.env[name] = value
	}
	if n := len(g.env["ADMIN"]); n > 100 {
		return nil, fmt.Errorf("the socket's path %s has %d bytes: set TMPDIR to something shorter", g.env["ADMIN"], n)
	}
	return g, g.configure(c.caddyfile())
}

// configure replaces the Caddyfile, which takes effect at the next start or reload.
func (g *gateway) configure(caddyfile string) error {
	return os.WriteFile(g.conf, []byte(caddyfile), 0o600)
}

func (g *gateway) environ() []string {
	env := make([]string, 0, len(g.env))
	for name, value := range g.env {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// errRefused is a gateway that ended instead of answering.
var errRefused = errors.New("the gateway refused to start")

// start runs the gateway and returns when it completes TLS handshakes and every part of it has started: Caddy's admin
// endpoint does not answer before.
func (g *gateway) start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.proc != nil && !g.proc.ended() {
		return errors.New("the gateway runs already")
	}
	args := []string{"run", "--config", g.conf, "--adapter", "caddyfile"}
	proc, err := startProcess(g.bin, args, g.environ(), g.dir, g.stdout(), g.stderr())
	if err != nil {
		return err
	}
	g.proc = proc
	err = until(readyIn, "the gateway answers", func() bool {
		if proc.ended() {
			return true
		}
		_, err := g.adminGet("/config/")
		return err == nil && g.answers()
	})
	if proc.ended() {
		g.proc = nil
		return fmt.Errorf("%w (exit code %d):\n%s", errRefused, proc.exitCode(), tail(g.stderr(), 20))
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, tail(g.stderr(), 20))
	}
	return err
}

func (g *gateway) stdout() string { return filepath.Join(g.dir, "stdout.txt") }
func (g *gateway) stderr() string { return filepath.Join(g.dir, "stderr.txt") }
func (g *gateway) addr() string   { return g.ip + ":" + strconv.Itoa(g.port) }
func (g *gateway) origin() string { return "https://" + appHost + ":" + strconv.Itoa(g.port) }

func (g *gateway) answers() bool {
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second}, Config: &tls.Config{ServerName: appHost, RootCAs: ca().pool}}
	c, err := d.Dial("tcp", g.addr())
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// stop ends the gateway as an operator does, with SIGTERM. It must end cleanly.
func (g *gateway) stop() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.proc == nil {
		return nil
	}
	proc := g.proc
	g.proc = nil
	if proc.ended() {
		return fmt.Errorf("the gateway had ended by itself (exit code %d):\n%s", proc.exitCode(), tail(g.stderr(), 30))
	}
	if err := proc.stop(syscall.SIGTERM, stopsIn); err != nil {
		return err
	}
	if code := proc.exitCode(); code != 0 {
		return fmt.Errorf("SIGTERM ended the gateway with exit code %d:\n%s", code, tail(g.stderr(), 30))
	}
	return nil
}

// kill9 ends the gateway as a power cut does.
func (g *gateway) kill9() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.proc == nil {
		return errors.New("the gateway does not run")
	}
	proc := g.proc
	g.proc = nil
	return proc.stop(syscall.SIGKILL, stopsIn)
}

func (g *gateway) pid() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.proc == nil {
		return 0
	}
	return g.proc.pid()
}

// close ends the gateway and tells what must never have happened while it ran: a data race, a panic, a secret in the
// log. GATEHOUSE_KEEP=1 keeps the directory.
func (g *gateway) close() error {
	err := errors.Join(g.stop(), g.wrongs())
	if os.Getenv("GATEHOUSE_KEEP") == "" {
		_ = os.RemoveAll(g.dir)
	} else {
		err = errors.Join(err, fmt.Errorf("kept: %s", g.dir))
	}
	return err
}

func (g *gateway) wrongs() error {
	var errs []error
	for _, name := range []string{g.stderr(), g.stdout(), g.env["LOG"]} {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // not written
		}
		if race := dataRace(content); race != "" {
			errs = append(errs, fmt.Errorf("in %s:\n%s", filepath.Base(name), excerpt([]byte(race), 6000)))
		}
		for _, sign := range []string{"panic:", "a room panicked", `"msg":"panic`, "aborting with incomplete response panic", "fatal error:"} {
			if i := bytes.Index(content, []byte(sign)); i >= 0 {
				errs = append(errs, fmt.Errorf("%s in %s:\n%s", sign, filepath.Base(name), excerpt(content[i:], 6000)))
			}
		}
		g.mu.Lock()
		for s := range g.secrets {
			if i := bytes.Index(content, []byte(s)); i >= 0 {
				errs = append(errs, fmt.Errorf("a secret is in %s: …%s", filepath.Base(name), content[max(0, i-200):min(len(content), i+len(s)+20)]))
			}
		}
		g.mu.Unlock()
	}
	return errors.Join(errs...)
}

func excerpt(b []byte, n int) []byte { return b[:min(len(b), n)] }

// secret names something that must never be logged.
func (g *gateway) secret(s string) {
	if len(s) < 8 {
		return // would be found by accident
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.secrets[s] = true
}

// command runs the binary's command line in the gateway's environment.
func (g *gateway) command(args ...string) (stdout, stderr string, code int, err error) {
	out, errOut := filepath.Join(g.dir, "cli.out"), filepath.Join(g.dir, "cli.err")
	for _, name := range []string{out, errOut} {
		_ = os.Remove(name)
	}
	p, err := startProcess(g.bin, args, g.environ(), g.dir, out, errOut)
	if err != nil {
		return "", "", -1, err
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		_ = p.stop(syscall.SIGKILL, time.Second)
		err = fmt.Errorf("%v did not end within a minute", args)
	}
	o, _ := os.ReadFile(out)
	e, _ := os.ReadFile(errOut)
	return string(o), string(e), p.exitCode(), err
}

// reload does what an operator does after editing the Caddyfile.
func (g *gateway) reload() (stderr string, err error) {
	_, stderr, code, err := g.command("reload", "--config", g.conf, "--adapter", "caddyfile", "--force")
	if err == nil && code != 0 {
		err = fmt.Errorf("reload: exit code %d:\n%s", code, stderr)
	}
	return stderr, err
}

// adminClient talks to the admin socket.
func (g *gateway) adminClient() *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", g.env["ADMIN"])
		},
	}}
}

// adminGet reads from the admin socket.
func (g *gateway) adminGet(path string) ([]byte, error) {
	resp, err := g.adminClient().Get("http://localhost" + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("admin %s: %s: %s", path, resp.Status, body)
	}
	return body, err
}

// adapted is the configuration as JSON, for loadJSON.
func (g *gateway) adapted() ([]byte, error) {
	stdout, stderr, code, err := g.command("adapt", "--config", g.conf, "--adapter", "caddyfile")
	if err == nil && code != 0 {
		err = fmt.Errorf("adapt: exit code %d:\n%s", code, stderr)
	}
	return []byte(stdout), err
}

// loadJSON reloads without the cost of starting a second program, where a test reloads often.
func (g *gateway) loadJSON(conf []byte) error {
	req, err := http.NewRequest(http.MethodPost, "http://localhost/load", bytes.NewReader(conf))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cache-Control", "must-revalidate") // even when nothing changed
	resp, err := g.adminClient().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("load: %s: %s", resp.Status, body)
	}
	return nil
}

// freePort finds a port of the loopback address that is free for TCP and for UDP, never the same twice.
func freePort() (int, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.used == nil {
		ports.used = map[int]bool{}
	}
	for range 100 {
		port := 10_000 + rand.IntN(22_000) // no connection gets one as its own: those are above 32767
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		u, err := net.ListenPacket("udp", "127.0.0.1:"+strconv.Itoa(port))
		_ = l.Close()
		if err != nil {
			continue
		}
		_ = u.Close()
		if !ports.used[port] {
			ports.used[port] = true
			return port, nil
		}
	}
	return 0, errors.New("no port is free for both TCP and UDP")
}

// startGateway starts a gateway for a Go test, which ends it and checks wrongs().
func startGateway(t testing.TB, c config) *gateway {
	t.Helper()
	bin := c.Bin
	switch {
	case bin != "":
	case c.Race:
		bin = raceBin(t)
	default:
		bin = gatehouseBin(t)
	}
	g, err := newGateway(bin, c)
	if err != nil {
		t.Fatalf("preparing a gateway: %v", err)
	}
	t.Cleanup(func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	})
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	return g
}

// startPlain starts plain Caddy in front of an application: the negative control.
func startPlain(t testing.TB, c config) *gateway {
	t.Helper()
	c.Plain = true
	return startGateway(t, c)
}
