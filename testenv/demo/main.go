// Command demo is what `make run` runs: it starts the demo application, the gateway in front of it and, once the gateway
// answers, tells what to try. Ctrl-C or SIGTERM stops everything; the state stays in .gatehouse.
//
// PORT and GATEHOUSE_HOME in the environment change the port (8443) and the directory (.gatehouse).
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	gatehouseBin = "bin/gatehouse"
	backendBin   = "bin/demo-backend"
	caddyfile    = "caddyfiles/demo.Caddyfile"

	startsIn = 2 * time.Minute // a slow machine makes its certificates
	stopsIn  = 20 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is one run of it.
type demo struct {
	port, home string
	admin      string // socket; its path must be short, so it is not in home
	children   []*child
}

func run(ctx context.Context, out io.Writer) error {
	d := &demo{port: env("PORT", "8443"), home: env("GATEHOUSE_HOME", ".gatehouse")}
	if err := d.checkPort(); err != nil {
		return err
	}
	for _, dir := range []string{d.home, d.path("data"), d.path("config")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp("", "gh")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	d.admin = filepath.Join(tmp, "a.sock")
	defer d.stop()

	address, err := d.startBackend(ctx)
	if err != nil {
		return err
	}
	gateway, err := d.startGateway(address)
	if err != nil {
		return err
	}
	client, err := d.wait(ctx, gateway)
	if err != nil {
		return err
	}
	d.tell(out, d.attack(client))

	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(out, "\nStopping. Your user and your sessions are kept in "+d.home+".")
		return nil
	case <-gateway.done:
		return fmt.Errorf("the gateway has ended by itself:\n%s", gateway.lastWords())
	}
}

func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.home}, parts...)...)
}

func (d *demo) url(path string) string { return "https://localhost:" + d.port + path }

func (d *demo) rootCert() string {
	return d.path("data", "caddy", "pki", "authorities", "local", "root.crt")
}

func (d *demo) log() string { return d.path("gatehouse.log") }

func (d *demo) checkPort() error {
	l, err := net.Listen("tcp", "127.0.0.1:"+d.port)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %s is in use: choose another one, as in `PORT=9443 make run`", d.port)
	case err != nil:
		return fmt.Errorf("port %s cannot be opened (%w): choose another one, as in `PORT=9443 make run`", d.port, err)
	}
	return l.Close()
}

// child is a process of the demo.
type child struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// start runs a program in its own process group, so that the terminal's Ctrl-C reaches only the demo, which then ends
// its children in order.
func (d *demo) start(name, bin string, args []string, extra ...string) (*child, io.ReadCloser, error) {
	c := &child{cmd: exec.Command(bin, args...), log: d.path(name + ".stderr"), done: make(chan struct{})}
	stderr, err := os.OpenFile(c.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer stderr.Close()
	c.cmd.Stderr = stderr
	c.cmd.Env = append(os.Environ(), extra...)
	c.cmd.SysProcAttr = childAttributes()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	c.cmd.Stdout = w
	if err := c.cmd.Start(); err != nil {
		_ = r.Close()
		return nil, nil, fmt.Errorf("starting %s (did `make build` run?): %w", bin, err)
	}
	d.children = append(d.children, c)
	go func() {
		defer close(c.done)
		_ = c.cmd.Wait() // that it ended is what matters
	}()
	return c, r, nil
}

// lastWords is the end of what a child wrote on stderr.
func (c *child) lastWords() string {
	content, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// stop ends the children, the gateway before the application.
func (d *demo) stop() {
	for i := len(d.children) - 1; i >= 0; i-- {
		c := d.children[i]
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-c.done:
		case <-time.After(stopsIn):
			_ = c.cmd.Process.Kill()
			<-c.done
		}
	}
}

func (d *demo) startBackend(ctx context.Context) (address string, err error) {
	c, out, err := d.start("backend", backendBin, []string{"-control", ""})
	if err != nil {
		return "", err
	}
	defer out.Close()
	line := make(chan []byte, 1)
	go func() {
		l, _ := bufio.NewReader(out).ReadBytes('\n') // an empty line is an error below
		line <- l
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case l := <-line:
		var hello struct{ Listen string }
		if err := json.Unmarshal(l, &hello); err != nil || hello.Listen == "" {
			return "", fmt.Errorf("the demo application did not start:\n%s", c.lastWords())
		}
		return hello.Listen, nil
	}
}

func (d *demo) startGateway(backend string) (*child, error) {
	abs := func(p string) string {
		if a, err := filepath.Abs(p); err == nil {
			return a
		}
		return p
	}
	c, out, err := d.start("gatehouse", gatehouseBin, []string{"run", "--config", caddyfile, "--adapter", "caddyfile"},
		"PORT="+d.port, "BACKEND="+backend, "GATEHOUSE_ADMIN="+d.admin, "GATEHOUSE_STATE="+abs(d.path("state")), "GATEHOUSE_LOG="+abs(d.log()),
		"XDG_DATA_HOME="+abs(d.path("data")), "XDG_CONFIG_HOME="+abs(d.path("config")))
	if err == nil {
		go func() {
			defer out.Close()
			_, _ = io.Copy(io.Discard, out)
		}()
	}
	return c, err
}

// wait returns a client that trusts the gateway's certificate once the gateway has answered it.
func (d *demo) wait(ctx context.Context, gateway *child) (*http.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, startsIn)
	defer cancel()
	for {
		client, err := d.client()
		if err == nil {
			var resp *http.Response
			if resp, err = client.Get(d.url("/healthz")); err == nil {
				_ = resp.Body.Close()
				if err = d.started(ctx); err == nil {
					return client, nil
				}
			}
		}
		select {
		case <-gateway.done:
			return nil, fmt.Errorf("the gateway did not start:\n%s", gateway.lastWords())
		case <-ctx.Done():
			return nil, fmt.Errorf("the gateway does not answer: %w\n%s", err, gateway.lastWords())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// started reports whether every part of the gateway has started (it may answer before the set-up link is written):
// Caddy's admin endpoint does not answer before.
func (d *demo) started(ctx context.Context) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.admin)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/config/", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (d *demo) client() (*http.Client, error) {
	root, err := os.ReadFile(d.rootCert())
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		return nil, fmt.Errorf("%s holds no certificate", d.rootCert())
	}
	var dialer net.Dialer
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, "127.0.0.1:"+d.port)
		},
	}}, nil
}

const attack = "/search?q=%3Cscript%3Ealert(1)%3C/script%3E"

// attack tries one on the gateway and returns the request's id, so that there is something to look for in the log.
func (d *demo) attack(client *http.Client) string {
	resp, err := client.Get(d.url(attack))
	if err != nil {
		return ""
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		return ""
	}
	return resp.Header.Get("X-Request-Id")
}

// tell is what a newcomer reads.
func (d *demo) tell(out io.Writer, blocked string) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	p("")
	p("Gatehouse is up, in front of an application that was never changed:  %s", d.url("/"))
	p("Your browser will warn: the certificate is from an authority on this machine, %s", d.rootCert())
	p("")
	p("Three things to try:")
	p("")
	p("1. Log in.")
	if link := d.setupLink(); link != "" {
		p("   This link makes the first user and is good once:")
		p("   %s", link)
	} else {
		p("   %s    as the user you created", d.url("/"))
	}
	p("")
	p("2. Attack the application.")
	p("   curl -i --cacert %s '%s'", d.rootCert(), d.url(attack))
	p("   The answer is 403, its reason is waf_blocked, and X-Request-Id is the request's id.")
	p("")
	p("3. Read what happened, by the request's id.")
	if blocked != "" {
		p("   The demo has just tried that attack itself:")
		p("   grep %s %s", blocked, d.log())
	} else {
		p("   grep waf_blocked %s", d.log())
	}
	p("")
	p("Ctrl-C stops it. Users, sessions and keys stay in %s.", d.home)
}

func (d *demo) setupLink() string {
	link, err := os.ReadFile(d.path("state", "setup-link"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(link))
}
