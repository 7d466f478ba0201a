package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/roots"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "evidence",
		Usage: "[--out <folder>] | --check <folder> --key <key> | key",
		Short: "Probes the running gateway, and says which promises of security statements hold; fails when one does not",
		Long: `
evidence reads the running configuration, connects to the listener as a stranger would, verifies the audit log, and says of each
control whether a probe saw it (pass), whether it is configured and cannot be seen from outside (declared), or fails. With --out
it writes a folder with the report as a page, JSON, Markdown and rows of a questionnaire, signed by the gateway and on record.

Run it on the gateway's machine, as its user or root: what it may not read there is declared, not passed.`,
		CobraFunc: evidenceCommand,
	})
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "doctor",
		Usage:     "[--ca <file>] [--json]",
		Short:     "Looks for what is commonly set up wrong with the running gateway; fails when something is",
		CobraFunc: doctorCommand,
	})
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "tls",
		Usage:     "check <host[:port]>",
		Short:     "Grades a listener of TLS; fails below A",
		CobraFunc: func(cmd *cobra.Command) { gatehouseTLS(cmd) },
	})
}

func evidenceCommand(cmd *cobra.Command) {
	probeFlags(cmd)
	f := cmd.Flags()
	f.String("echo", "", "A public path at which the application tells the headers it got")
	f.StringArray("statement", nil, "A statement that must hold whole ("+strings.Join(Statements, ", ")+"); may be given again")
	f.String("format", "table", "How to write it: "+formatNames())
	f.String("out", "", "The folder to make for a bundle, which the gateway signs")
	f.String("check", "", "A bundle to check, anywhere, with nothing but --key")
	f.String("key", "", "The public key that `gatehouse evidence key` printed, or a file with it")
	cmd.Args, cmd.SilenceUsage = cobra.NoArgs, true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if dir, _ := cmd.Flags().GetString("check"); dir != "" {
			return check(cmd, dir)
		}
		return runEvidence(cmd)
	}
	key := &cobra.Command{
		Use: "key", Args: cobra.NoArgs, SilenceUsage: true, Short: "Shows the public key that bundles are signed with: keep it elsewhere",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var f Facts
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminEvidence, nil, &f); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), f.Key)
			return err
		},
	}
	gatehouse.AdminFlags(key)
	cmd.AddCommand(key)
}

// prepare asks the running gateway for what probes need to know.
func prepare(cmd *cobra.Command) (*Run, error) {
	text := func(name string) string {
		v, _ := cmd.Flags().GetString(name)
		return v
	}
	r := &Run{Connect: text("connect"), HTTPPort: text("http-port"), Echo: text("echo")}
	var told json.RawMessage
	if err := gatehouse.AskAdmin(cmd, http.MethodGet, "/config/", nil, &told); err != nil {
		return nil, err
	}
	if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminEvidence, nil, &r.Facts); err != nil {
		return nil, err
	}
	var audit struct {
		Logs []LogFile `json:"logs"`
	}
	if err := gatehouse.AskAdmin(cmd, http.MethodGet, "/gatehouse/audit", nil, &audit); err != nil {
		r.Facts.Problems = append(r.Facts.Problems, "the audit log: "+err.Error())
	}
	r.Logs, r.Told = audit.Logs, told
	var err error
	if r.Config, err = ReadConfig(told); err != nil {
		return nil, err
	}
	if r.Config.House.Rooms["backup"] != nil {
		r.Backup = new(Backup)
		if err := gatehouse.AskAdmin(cmd, http.MethodGet, "/gatehouse/backup", nil, r.Backup); err != nil {
			r.Backup.Trouble = err.Error()
		}
	}
	if r.Roots, err = roots.Read(text("ca")); err != nil {
		return nil, err
	}
	r.Claimed, _ = cmd.Flags().GetStringArray("statement")
	for _, s := range r.Claimed {
		if !slices.Contains(Statements, s) {
			return nil, fmt.Errorf("there is no statement %q: the statements are %s", s, strings.Join(Statements, ", "))
		}
	}
	if r.Echo != "" && !strings.HasPrefix(r.Echo, "/") {
		return nil, errors.New("--echo is a path, such as /headers")
	}
	return r, r.only(cmd)
}

// only leaves the sites that --site names.
func (r *Run) only(cmd *cobra.Command) error {
	names, _ := cmd.Flags().GetStringArray("site")
	if len(names) == 0 {
		return nil
	}
	var left []Site
	for _, name := range names {
		at := slices.IndexFunc(r.Config.Sites, func(s Site) bool { return slices.Contains(s.Hosts, name) })
		if at < 0 {
			return fmt.Errorf("no site of the running configuration has the host name %s", name)
		}
		left = append(left, r.Config.Sites[at])
	}
	r.Config.Sites = left
	return nil
}

func runEvidence(cmd *cobra.Command) error {
	form, _ := cmd.Flags().GetString("format")
	f, ok := formats[form]
	if !ok {
		return fmt.Errorf("--format %q: it is one of %s", form, formatNames())
	}
	r, err := prepare(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	report, err := r.Do(ctx)
	if err != nil {
		return err
	}
	if err := f.write(cmd.OutOrStdout(), report); err != nil {
		return err
	}
	if dir, _ := cmd.Flags().GetString("out"); dir != "" {
		if err := bundle(cmd, dir, report, r.Facts.Key); err != nil {
			return err
		}
	}
	var failures []string
	for _, f := range report.Failures() {
		failures = append(failures, fmt.Sprintf("%s (%s)", f.ID, f.Fix))
	}
	if len(failures) > 0 {
		return fmt.Errorf("%d controls fail: %s", len(failures), strings.Join(failures, "; "))
	}
	return nil
}

// bundle writes the folder, and has the gateway put it on record and sign it.
func bundle(cmd *cobra.Command, dir string, report *Report, key string) error {
	files, err := writeBundle(dir, report)
	if err != nil {
		return err
	}
	var signed signedNote
	ask := signAsk{Files: files, Summary: report.summary(), Operator: gatehouse.Operator(cmd)}
	if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminEvidence, ask, &signed); err != nil {
		return fmt.Errorf("%w (what is in %s is not signed)", err, dir)
	}
	if err := os.WriteFile(filepath.Join(dir, noteFile), []byte(signed.Note), 0o644); err != nil {
		return err
	}
	if _, err := checkBundle(dir, key); err != nil {
		return fmt.Errorf("what was written does not verify: %w", err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s; check it anywhere with: gatehouse evidence --check %s --key <what `gatehouse evidence key` printed>\n", dir, dir)
	return nil
}

func check(cmd *cobra.Command, dir string) error {
	said, _ := cmd.Flags().GetString("key")
	key := chain.KeyFrom(said)
	if key == "" {
		return errors.New("give the --key that was kept elsewhere: it is what `gatehouse evidence key` printed")
	}
	c, err := checkBundle(dir, key)
	if err != nil {
		return fmt.Errorf("the bundle does not verify: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "signed by %s at %s: %s\n%s: as they were\n", c.Origin, c.Made.Format("2006-01-02T15:04:05Z07:00"), c.Summary, strings.Join(c.Files, ", "))
	return nil
}

// probeFlags say which listener is probed.
func probeFlags(cmd *cobra.Command) {
	gatehouse.AdminFlags(cmd)
	f := cmd.Flags()
	f.String("connect", "", "host:port of the listener, if not as the configuration has it, on this machine")
	f.String("http-port", "80", "The port at which plain HTTP must be refused")
	f.String("ca", "", "A file with the authorities that clients trust, if not the system's")
	f.StringArray("site", nil, "A host name of a site to probe, if not all; may be given again")
}

func doctorCommand(cmd *cobra.Command) {
	probeFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "Write it as JSON")
	cmd.Args, cmd.SilenceUsage = cobra.NoArgs, true
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := prepare(cmd)
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		advice, out, wrong := r.Diagnose(ctx), cmd.OutOrStdout(), 0
		for _, a := range advice {
			sign := "look at"
			if a.Wrong {
				wrong++
				sign = "WRONG"
			}
			if !*asJSON {
				fmt.Fprintf(out, "%s: %s\n  fix: %s\n", sign, a.What, a.Fix)
			}
		}
		if *asJSON {
			err = json.NewEncoder(out).Encode(advice)
		} else if len(advice) == 0 {
			fmt.Fprintln(out, "nothing found")
		}
		if err == nil && wrong > 0 {
			err = fmt.Errorf("%d things are wrong", wrong)
		}
		return err
	}
}
