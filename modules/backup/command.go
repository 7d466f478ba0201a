package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "backup",
		Usage: "now|list|verify|report|restore",
		Short: "Makes, tests and restores backups of the gateway's state",
		Long: `
Backups are age files, encrypted to the recipients that the Caddyfile names: the gateway cannot read its own. They hold the store
(accounts, second factors, keys of programs, decisions), the master keys, and the audit log up to a checkpoint. Sessions are in
them, and are not restored.

"verify" and "restore" ask for the identity, which belongs on another machine, or in an offline one's hands.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, nowCommand(), listCommand(), verifyCommand(), reportCommand())
			cmd.AddCommand(restoreCommand())
		},
	})
}

func nowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "now", Short: "Makes a backup", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var m Made
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminNow, nil, &m); err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "%s  %d bytes, %d items in %d keyspaces, in %v\nsha256 %s\n", m.File, m.Bytes, total(m.Items), len(m.Items), m.Took.Round(time.Millisecond), m.SHA256)
			if !m.Store {
				fmt.Fprintln(w, "The store is not in it: its server keeps it, and has to be backed up there.")
			}
			if !m.Keys {
				fmt.Fprintln(w, "The master keys are not in it: without a copy of them it is of no use.")
			}
			return nil
		},
	}
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "Shows the backups that are there, and what became of the last one", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s Shown
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminBackup, nil, &s); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return writeJSON(cmd.OutOrStdout(), s)
			}
			return writeList(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().Bool("json", false, "Write it as JSON")
	return cmd
}

func writeList(out io.Writer, s Shown) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "in %s, every %s\n", s.Dir, s.Every)
	for _, f := range s.Files {
		fmt.Fprintf(w, "%s\t%d bytes\n", f.File, f.Bytes)
	}
	switch {
	case s.Trouble != "":
		fmt.Fprintf(w, "They cannot be listed: %s\n", s.Trouble)
	case s.Made == nil:
		fmt.Fprintln(w, "None has been made yet.")
	default:
		fmt.Fprintf(w, "The last was made at %s, sha256 %s\n", s.Made.Time.Format(time.RFC3339), s.Made.SHA256)
	}
	if s.Failed != "" {
		fmt.Fprintf(w, "The last try failed: %s\n", s.Failed)
	}
	switch {
	case s.Carry == "" || s.Made == nil:
	case s.Uncarried != "":
		fmt.Fprintf(w, "It is not elsewhere: %s\n", s.Uncarried)
	case s.Made.Carried.IsZero():
		fmt.Fprintf(w, "It is not elsewhere yet: %s takes it there.\n", s.Carry)
	default:
		fmt.Fprintf(w, "Taken elsewhere at %s by %s\n", s.Made.Carried.Format(time.RFC3339), s.Carry)
	}
	if s.Verified == nil {
		fmt.Fprintln(w, "None has been verified yet: run `gatehouse backup verify` where the identity is.")
	} else {
		fmt.Fprintf(w, "Last verified at %s: %s\n", s.Verified.Time.Format(time.RFC3339), s.Verified.File)
	}
	return w.Flush()
}

func openFlags(cmd *cobra.Command) {
	cmd.Flags().String("identity", "", "File with the age identity to open the backup with (required)")
	cmd.Flags().String("sha256", "", "What the file's SHA-256 must be, as the audit log has it (backup.made)")
	cmd.Flags().String("audit-key", "", "The public key of the audit log, as `gatehouse audit key` has shown it; default: what the copy says")
	cmd.Flags().String("keys", "", "The file with the master keys, for a backup that was made without_keys")
}

func opened(cmd *cobra.Command) (w Want, ids []age.Identity, err error) {
	one := func(name string) string { v, _ := cmd.Flags().GetString(name); return v }
	w = Want{SHA256: one("sha256"), Audit: one("audit-key"), Keys: one("keys")}
	name := one("identity")
	if name == "" {
		return w, nil, errors.New("say with what to open it: --identity <file>, which `age-keygen` made")
	}
	f, err := os.Open(name)
	if err != nil {
		return w, nil, fmt.Errorf("reading the identity: %w", err)
	}
	defer f.Close()
	if ids, err = age.ParseIdentities(f); err != nil {
		return w, nil, fmt.Errorf("reading the identity: %w", err)
	}
	return w, ids, nil
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify <file>", Args: cobra.ExactArgs(1),
		Short: "Restores a backup into a scratch directory, looks at all that is in it, and puts that on the gateway's record",
		Long: `
The scratch directory is made in the directory for temporary files (TMPDIR) and removed. Where no gateway runs, use --offline with
--json, and have the gateway put what was written on record with "gatehouse backup report <file>".`,
		RunE: func(cmd *cobra.Command, args []string) error {
			w, ids, err := opened(cmd)
			if err != nil {
				return err
			}
			scratch, err := os.MkdirTemp("", "gatehouse-verify-*")
			if err != nil {
				return err
			}
			defer os.RemoveAll(scratch)
			r, failed := Open(context.WithoutCancel(cmd.Context()), args[0], scratch, w, ids...)
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				err = writeJSON(cmd.OutOrStdout(), r)
			} else if failed == nil {
				err = writeReport(cmd.OutOrStdout(), r, "verified")
			}
			if offline, _ := cmd.Flags().GetBool("offline"); !offline {
				if told := gatehouse.AskAdmin(cmd, http.MethodPost, adminVerified, r, nil); told != nil {
					err = errors.Join(err, fmt.Errorf("it is not on record: %w", told))
				}
			}
			return errors.Join(failed, err)
		},
	}
	openFlags(cmd)
	cmd.Flags().Bool("offline", false, "Tell no gateway")
	cmd.Flags().Bool("json", false, "Write what was found as JSON, for `gatehouse backup report`")
	return cmd
}

func reportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "report <file>", Short: "Puts on the gateway's record what `gatehouse backup verify --offline --json` has written elsewhere", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			var r Report
			if err := json.Unmarshal(text, &r); err != nil || r.SHA256 == "" {
				return fmt.Errorf("%s is not what `gatehouse backup verify --json` writes", args[0])
			}
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminVerified, r, nil); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is on record\n", r.File)
			return err
		},
	}
}

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore <file> --to <state directory>", Args: cobra.ExactArgs(1), SilenceUsage: true,
		Short: "Makes a state directory of a backup, for a gateway that has none",
		RunE: func(cmd *cobra.Command, args []string) error {
			w, ids, err := opened(cmd)
			if err != nil {
				return err
			}
			to, _ := cmd.Flags().GetString("to")
			if to == "" {
				return errors.New("say where to: --to <state directory>, the state_dir of the Caddyfile")
			}
			if to, err = filepath.Abs(to); err != nil {
				return err
			}
			r, err := Restore(context.WithoutCancel(cmd.Context()), args[0], to, w, ids...)
			if err == nil {
				err = leaveWord(to, r)
			}
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if err := writeReport(out, r, "restored into "+to); err != nil {
				return err
			}
			fmt.Fprintln(out, "Everybody logs in anew. What was revoked, changed or used up after", r.Made.Format(time.RFC3339), "is as it was then: the audit log of the machine before, or its copy, says what that is.")
			if !r.Keys {
				fmt.Fprintln(out, "The master keys are not in it: put them where the Caddyfile says (keys file), or to", filepath.Join(to, keysName))
			}
			return nil
		},
	}
	openFlags(cmd)
	cmd.Flags().String("to", "", "The state directory; it must not be there, or be empty (required)")
	return cmd
}

func writeReport(out io.Writer, r Report, done string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s %s in %v: made at %s on %s, %d bytes, sha256 %s\n", r.File, done, r.Took.Round(time.Millisecond), r.Made.Format(time.RFC3339), r.Host, r.Bytes, r.SHA256)
	for _, b := range slices.Sorted(maps.Keys(r.Items)) {
		note := ""
		if slices.Contains(Fleeting, b) {
			note = "not restored"
		}
		fmt.Fprintf(w, "  %s\t%d\t%s\n", b, r.Items[b], note)
	}
	if !r.Store {
		fmt.Fprintln(w, "  the store is on its server, and not in it")
	}
	fmt.Fprintf(w, "  audit log\t%d records, %d signatures, root %s\n", r.Audit.Records, r.Audit.Signatures, r.Audit.Root)
	return w.Flush()
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
