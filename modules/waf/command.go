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
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "waf",
		Usage: "explain|test|propose|lint|promote|mistake",
		Short: "Explains what the WAF did, tries requests, proposes exclusions, promotes rules, and shows what its prover got wrong",
		Long: `
These commands need no running gateway. explain and propose read the access log, which holds the names of the arguments
that rules matched in, never their values. mistake opens what the state directory holds sealed.`,
		CobraFunc: func(cmd *cobra.Command) {
			for _, sub := range []*cobra.Command{explainCommand(), testCommand(), proposeCommand(), lintCommand(), promoteCommand(), mistakeCommand()} {
				sub.SilenceUsage = true
				cmd.AddCommand(sub)
			}
			cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		},
	})
}

// defaultStateDir is where the house keeps its state unless told otherwise.
func defaultStateDir() string { return filepath.Join(caddy.AppDataDir(), "gatehouse") }

// logged finds the line of a request in the file that --log names; - is standard input.
func logged(cmd *cobra.Command, id string) (LogLine, error) {
	name, _ := cmd.Flags().GetString("log")
	if name == "" {
		return LogLine{}, errors.New("--log: which file is the access log? (- for standard input)")
	}
	in, err := openLog(cmd, name)
	if err != nil {
		return LogLine{}, err
	}
	defer in.Close()
	return FindLine(in, id)
}

// openLog opens the file of this name; - is standard input.
func openLog(cmd *cobra.Command, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(name)
}

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain --log <access log> <request id>", Args: cobra.ExactArgs(1),
		Short: "Says which rules matched a request, where, and what decided",
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := logged(cmd, args[0])
			if err != nil {
				return err
			}
			return explain(cmd.OutOrStdout(), line)
		},
	}
	cmd.Flags().StringP("log", "l", "", "the access log (JSON lines)")
	return cmd
}

// explain tells the story of one log line.
func explain(w io.Writer, line LogLine) error {
	found, err := ParseMatches(line.Matched)
	if err != nil {
		return fmt.Errorf("the log line's waf_matched: %w", err)
	}
	fmt.Fprintf(w, "%s %s%s → %d %s\n", line.Method, line.Site, line.Path, line.Status, line.Reason)
	if line.User != "" {
		fmt.Fprintf(w, "user %s, session %s, ", line.User, line.Session)
	}
	fmt.Fprintf(w, "client %s\n", line.ClientIP)
	switch {
	case line.Reason == string(verdict.WAFBlocked) && line.Score != "" && line.Score != "0":
		fmt.Fprintf(w, "The anomaly score %s reached the site's threshold, and that refused it (%s).\n", line.Score, line.Detail)
	case line.Reason == string(verdict.WAFBlocked):
		fmt.Fprintf(w, "A rule refused it by itself (%s).\n", line.Detail)
	case line.Mode == string(Detect):
		fmt.Fprintf(w, "Detect mode: it would have been refused, score %s.\n", line.Score)
	case line.Rules == "":
		fmt.Fprintln(w, "No detection rule matched.")
	default:
		fmt.Fprintf(w, "Rules matched, but the score %s did not reach the threshold.\n", line.Score)
	}
	if line.Route != "" {
		fmt.Fprintf(w, "It was judged as the route %s says.\n", line.Route)
	}
	if line.Skipped != "" {
		fmt.Fprintf(w, "The body was not inspected, or not all of it: %s.\n", line.Skipped)
	}
	if line.FailedOpen != "" {
		fmt.Fprintf(w, "It passed because it could not be judged (insecure_waf_fail_open): %s.\n", line.FailedOpen)
	}
	return table(w, found, line.Rules)
}

// table lists matches with what the rules' authors say; rules without a match are listed by id.
func table(w io.Writer, found []Match, ids string) error {
	if len(found) == 0 {
		if ids != "" {
			fmt.Fprintf(w, "Rules: %s\n", ids)
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "\nRULE\tWHERE\tWHAT IT WAS\tPL\tSEVERITY\tMESSAGE")
	for _, m := range found {
		info := Catalogue()[m.Rule]
		level := "-"
		if info.Paranoia > 0 {
			level = fmt.Sprint(info.Paranoia)
		}
		what := fmt.Sprintf("%s, %d bytes", m.Class, m.Length)
		if m.Digest != "" {
			what += ", #" + m.Digest
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", m.Rule, m.Target, what, level, info.Severity, info.Message)
	}
	return t.Flush()
}

func testCommand() *cobra.Command {
	var paranoia int
	var rulesDir string
	var apps []string
	cmd := &cobra.Command{
		Use: "test [--paranoia N] [--app NAME] [--rules DIR] <file.http>", Args: cobra.ExactArgs(1),
		Short: "Judges a request in a file (request line, headers, empty line, body) and explains the verdict",
		Long: `
Exits with 0 when the request would pass and with 1 when it would be refused. Line ends may be LF. A missing
Content-Length is filled in.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
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
			return tryRequest(cmd.OutOrStdout(), cfg, text)
		},
	}
	cmd.Flags().IntVarP(&paranoia, "paranoia", "p", 1, "CRS's paranoia level, 1 to 4")
	cmd.Flags().StringSliceVarP(&apps, "app", "a", nil, "application packages, as in waf { app … }")
	cmd.Flags().StringVarP(&rulesDir, "rules", "r", "", "the site's rule directory")
	return cmd
}

// errRefused makes the command's exit code say what the output says.
var errRefused = errors.New("the request would be refused")

func tryRequest(w io.Writer, cfg Config, text []byte) error {
	r, err := readRequest(text)
	if err != nil {
		return err
	}
	engine, err := New(cfg, bodies)
	if err != nil {
		return err
	}
	i := engine.Inspect("test")
	defer i.Close()
	v := i.Head(r, netip.MustParseAddr("192.0.2.1"))
	if !v.Given() {
		v = i.Body(r)
	}
	fmt.Fprintf(w, "%s %s at paranoia %d: ", r.Method, r.URL.Path, cfg.Paranoia)
	if v.Given() {
		fmt.Fprintf(w, "refused, %s (%s)\n", v.Reason, v.Detail)
	} else {
		fmt.Fprintf(w, "passes, score %d\n", i.found.Score)
	}
	if err := table(w, i.found.Matches, i.found.RuleList()); err != nil {
		return err
	}
	if v.Given() {
		return errRefused
	}
	return nil
}

// readRequest reads a request from a file, forgiving what editors do to it.
func readRequest(text []byte) (*http.Request, error) {
	head, body, _ := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n\n")
	var wire bytes.Buffer
	for i, line := range strings.Split(strings.TrimRight(head, "\n"), "\n") {
		if i > 0 && strings.HasPrefix(strings.ToLower(line), "content-length:") {
			continue
		}
		wire.WriteString(line + "\r\n")
	}
	body = strings.TrimSuffix(body, "\n")
	if body != "" {
		fmt.Fprintf(&wire, "Content-Length: %d\r\n", len(body))
	}
	wire.WriteString("\r\n" + body)
	r, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		return nil, fmt.Errorf("the file is not an HTTP request: %w", err)
	}
	return r, nil
}
