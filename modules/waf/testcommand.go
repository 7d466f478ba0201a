package waf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/reqpath"
)

func testCommand() *cobra.Command {
	var config, host, file, rulesDir string
	var paranoia int
	var apps []string
	cmd := &cobra.Command{
		Use: "test [--config Caddyfile [--site HOST] | --paranoia N --app NAME --rules DIR] -f <file.http>", Args: cobra.MaximumNArgs(1),
		Short: "Judges a request in a file (request line, headers, empty line, body) and explains the verdict",
		Long: `
With --config, the request is judged as the site would that its Host names (or --site): paranoia, rules, exclusions, limits and
routes. Without, by the defaults and what the other flags say.

Exits with 0 when the request would pass and with 1 when it would be refused, or, in detect mode, would have been. Line ends
of the head may be LF. A missing Content-Length is filled in.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case file != "" && len(args) > 0 || file == "" && len(args) == 0:
				return errors.New("which request? name one file: -f request.http (- for standard input)")
			case file == "":
				file = args[0]
			}
			for _, flag := range []string{"paranoia", "app", "rules"} {
				if config != "" && cmd.Flags().Changed(flag) {
					return fmt.Errorf("--%s and --config: the configuration says it", flag)
				}
			}
			r, err := readFile(cmd, file)
			if err != nil {
				return err
			}
			if config != "" {
				return trySite(cmd.OutOrStdout(), config, host, r)
			}
			cfg := Config{Paranoia: paranoia, Mode: Block, BodyLimit: defaultBodyLimit, Apps: apps}
			if err := checkApps(apps); err != nil {
				return err
			}
			if rulesDir != "" {
				if cfg.Rules, err = ReadRules(os.DirFS(rulesDir)); err != nil {
					return err
				}
			}
			return tryRequest(cmd.OutOrStdout(), cfg, r)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the file that holds the request; - is standard input")
	cmd.Flags().StringVarP(&config, "config", "c", "", "the configuration to take a site's WAF from")
	cmd.Flags().StringVar(&host, "site", "", "the site's host name, if not the request's Host")
	cmd.Flags().IntVarP(&paranoia, "paranoia", "p", 1, "CRS's paranoia level, 1 to 4")
	cmd.Flags().StringSliceVarP(&apps, "app", "a", nil, "application packages, as in waf { app … }")
	cmd.Flags().StringVarP(&rulesDir, "rules", "r", "", "the site's rule directory")
	return cmd
}

func readFile(cmd *cobra.Command, name string) (*http.Request, error) {
	in, err := openLog(cmd, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, MaxBodyLimit))
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	return readRequest(text)
}

// errRefused makes the command's exit code say what the output says.
var errRefused = errors.New("the request would be refused")

// trySite judges r as a site of a configuration would.
func trySite(w io.Writer, file, host string, r *http.Request) error {
	if host == "" {
		host, _, _ = strings.Cut(r.Host, ":")
	}
	h, err := siteOf(file, host)
	if err != nil {
		return err
	}
	if h.InsecureOff {
		fmt.Fprintln(w, "passes: insecure_waf_off, nothing is inspected")
		return nil
	}
	cfg, err := h.config()
	if err != nil {
		return err
	}
	path, err := reqpath.Parse(r.URL.EscapedPath(), reqpath.Options{AllowEncodedSlash: true, AllowEmptySegments: true})
	if err != nil {
		return fmt.Errorf("the gateway refuses the path before the WAF sees it: %w", err)
	}
	// Only the engine that judges is compiled.
	p, err := newPlan(cfg, h.Routes, func(cfg Config) (*Engine, string, error) { return &Engine{cfg: cfg}, "", nil }, func(*plan) {})
	if err != nil {
		return err
	}
	by := p.choose(path)
	if by.route != "" {
		fmt.Fprintf(w, "judged as route %s says\n", by.route)
	}
	if by.engine == nil {
		fmt.Fprintln(w, "passes: insecure_waf_off, nothing is inspected")
		return nil
	}
	return tryRequest(w, by.engine.cfg, r)
}

// tryRequest judges r by rules of their own.
func tryRequest(w io.Writer, cfg Config, r *http.Request) error {
	engine, err := New(cfg, bodies)
	if err != nil {
		return cfg.locate(err)
	}
	return engine.try(w, r)
}

// try judges r and tells what was found.
func (e *Engine) try(w io.Writer, r *http.Request) error {
	i := e.Inspect("test")
	defer i.Close()
	v := i.Head(r, netip.MustParseAddr("192.0.2.1"))
	if !v.Given() {
		v = i.Body(r)
	}
	fmt.Fprintf(w, "%s %s at paranoia %d: ", r.Method, r.URL.Path, e.cfg.Paranoia)
	detected := i.outcome == Detected
	switch {
	case v.Given():
		fmt.Fprintf(w, "refused, %s (%s)\n", v.Reason, v.Detail)
	case detected:
		fmt.Fprintf(w, "passes in detect mode, would be refused, score %d\n", i.found.Score)
	default:
		fmt.Fprintf(w, "passes, score %d\n", i.found.Score)
	}
	if i.skipped != "" {
		fmt.Fprintf(w, "The body was not inspected, or not all of it: %s.\n", i.skipped)
	}
	if err := table(w, i.found.Matches, i.found.RuleList()); err != nil {
		return err
	}
	if v.Given() || detected {
		return errRefused
	}
	return nil
}

// readRequest reads a request from a file, forgiving what editors do to its head and its end.
func readRequest(text []byte) (*http.Request, error) {
	head, body := text, []byte(nil)
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if h, b, ok := bytes.Cut(text, []byte(end)); ok && len(h) < len(head) {
			head, body = h, b
		}
	}
	var wire bytes.Buffer
	length, chunked := -1, false
	for i, line := range strings.Split(strings.TrimRight(string(head), "\r\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		name, value, _ := strings.Cut(line, ":")
		switch name = strings.ToLower(name); {
		case i > 0 && name == "content-length":
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
				length = n
			}
			continue
		case i > 0 && name == "transfer-encoding":
			chunked = true
		}
		wire.WriteString(line + "\r\n")
	}
	switch {
	case chunked:
	case length >= 0 && length <= len(body):
		body = body[:length]
	default:
		body = bytes.TrimSuffix(bytes.TrimSuffix(body, []byte("\n")), []byte("\r"))
	}
	if len(body) > 0 && !chunked {
		fmt.Fprintf(&wire, "Content-Length: %d\r\n", len(body))
	}
	wire.WriteString("\r\n")
	wire.Write(body)
	r, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		return nil, fmt.Errorf("the file is not an HTTP request: %w", err)
	}
	return r, nil
}
