package audit

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "why",
		Usage: "<request id> --log <file>",
		Short: "Shows everything that is known of one request, such as one that somebody was refused",
		Long: `
Reads the logs that --log names, gatehouse.access and gatehouse.events, and the audit log. It needs no running gateway.`,
		CobraFunc: why,
	})
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "audit",
		Usage: "verify|show|export|prove|check|key|witness|status|hold|incident",
		Short: "Reads and verifies the record of what was done",
		Long: `
verify, show, export, prove and key read the files of the audit log, beside a running gateway or without one, and need no
secret. The directory is the folder "audit" of the gateway's state directory, or a copy of it.

What to keep elsewhere, so that nobody who has this machine can change the past: the public key that "audit key" prints,
once, and the file "checkpoint" of the directory, again and again.`,
		CobraFunc: func(cmd *cobra.Command) {
			subs := []*cobra.Command{verifyCommand(), showCommand(), exportCommand(), proveCommand(), checkCommand(), keyCommand(), witnessCommand()}
			gatehouse.AdminCommands(cmd, append(subs, statusCommand(), holdCommand(), incidentCommand())...)
			for _, sub := range subs { // they ask nobody
				if sub.Name() == "export" { // which can ask for a tenant's
					continue
				}
				for _, flag := range []string{"address", "config", "adapter", "operator"} {
					_ = sub.Flags().MarkHidden(flag) // the flag is there
				}
			}
		},
	})
}

func directory(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return filepath.Join(caddy.AppDataDir(), "gatehouse", gatehouse.AuditDir)
}

// readFlags are those of commands that verify what they read.
func readFlags(cmd *cobra.Command) {
	cmd.Flags().String("key", "", "The public key that was kept elsewhere, or a file with it")
	cmd.Flags().StringArray("checkpoint", nil, "A file with a checkpoint that was kept elsewhere; may be given again")
	cmd.Flags().StringArray("copy", nil, "A copy of the record, as audit's copy keeps it, to compare with; may be given again")
	cmd.Flags().StringArray("witness", nil, "The public key of a witness that must have cosigned each checkpoint; may be given again")
	cmd.Flags().StringArray("signer", nil, "A further public key that checkpoints may be signed with; may be given again")
}

// readKey is what --key says, or the file has that it names.
func readKey(cmd *cobra.Command) string {
	key, _ := cmd.Flags().GetString("key")
	return chain.KeyFrom(key)
}

func readOptions(cmd *cobra.Command) (o chain.VerifyOptions, err error) {
	o.Root = readKey(cmd)
	o.Keys, _ = cmd.Flags().GetStringArray("signer")
	o.Witnesses, _ = cmd.Flags().GetStringArray("witness")
	files, _ := cmd.Flags().GetStringArray("checkpoint")
	for _, file := range files {
		msg, err := os.ReadFile(file)
		if err != nil {
			return o, err
		}
		o.Anchors = append(o.Anchors, msg)
	}
	places, _ := cmd.Flags().GetStringArray("copy")
	for _, place := range places {
		had, root, err := chain.Copied(place)
		if err != nil {
			return o, err
		}
		o.Anchors = append(o.Anchors, had...)
		if o.Root == "" {
			o.Root = root
		}
	}
	return o, nil
}

// addPeers has the record in dir compared with what peers witnessed of it. missing tells of records that they saw and that are not
// among those that were named.
func addPeers(cmd *cobra.Command, dir string, o *chain.VerifyOptions) (missing, err error) {
	dirs, _ := cmd.Flags().GetStringArray("peer")
	if len(dirs) == 0 {
		return nil, nil
	}
	seen, origins, err := readPeers(dirs)
	if err != nil {
		return nil, err
	}
	own, err := chain.Origin(dir)
	if err != nil {
		return nil, err
	}
	o.Anchors = append(o.Anchors, seen[own]...)
	return seen.gone(append(origins, own)), nil
}

func verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify [<directory>]", Args: cobra.MaximumNArgs(1),
		Short: "Verifies the whole record, and names the first sequence that is bad; exits with 1 if there is one",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := readOptions(cmd)
			if err != nil {
				return err
			}
			if quiet, _ := cmd.Flags().GetBool("quiet"); !quiet {
				o.Progress = func(read, of int64) {
					fmt.Fprintf(cmd.ErrOrStderr(), "\rread %d of %d MiB", read>>20, of>>20)
				}
			}
			missing, err := addPeers(cmd, directory(args), &o)
			if err != nil {
				return err
			}
			begun := time.Now()
			r, err := chain.Verify(directory(args), o)
			if o.Progress != nil {
				fmt.Fprint(cmd.ErrOrStderr(), "\r\x1b[K")
			}
			if err := fault(err); err != nil {
				return err
			}
			if err := writeReport(cmd.OutOrStdout(), r, o, time.Since(begun)); err != nil {
				return err
			}
			return missing
		},
	}
	readFlags(cmd)
	cmd.Flags().StringArray("peer", nil, "The audit log of another gateway that shares the state, to compare with; may be given again")
	cmd.Flags().BoolP("quiet", "q", false, "Show no progress")
	return cmd
}

// fault words what is wrong with the record.
func fault(err error) error {
	if f := (*chain.Fault)(nil); errors.As(err, &f) {
		return fmt.Errorf("the record does not verify: first bad %w", f)
	}
	return err
}

func writeReport(w io.Writer, r *chain.Report, o chain.VerifyOptions, took time.Duration) error {
	fmt.Fprintf(w, "verified %d records, %d to %d, of %s to %s, in %s\n", r.Size-r.First, r.First, r.Size-1,
		r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), took.Round(time.Millisecond))
	fmt.Fprintf(w, "origin %s, %d segments, %d epochs, root %s\n", r.Origin, r.Segments, r.Epochs, r.Root)
	for _, s := range r.Pruned {
		fmt.Fprintf(w, "pruned: %d to %d, as recorded\n", s.From, s.To)
	}
	if r.Erased > 0 {
		fmt.Fprintf(w, "erased, or sealed with a key that is not here: the personal part of %d records\n", r.Erased)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "look at %d: %s\n", f.Seq, f.Why)
	}
	if o.Root == "" {
		fmt.Fprintln(w, "not compared: the key; with --key, what you kept of `gatehouse audit key`, it is shown that nobody began the record anew")
	}
	if r.Anchors == 0 {
		fmt.Fprintln(w, "not compared: a checkpoint from elsewhere; with --checkpoint it is shown that nothing was cut off at the end")
	}
	return nil
}

func keyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "key [<directory>]", Args: cobra.MaximumNArgs(1),
		Short: "Shows the public key to keep elsewhere, and to verify with",
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := chain.Root(directory(args))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), key)
			return err
		},
	}
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Args: cobra.NoArgs, Short: "Shows how the running gateway's record is: whether it can be written, and who holds it",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s status
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminStatus, nil, &s); err != nil {
				return err
			}
			return writeStatus(cmd.OutOrStdout(), s)
		},
	}
}

func writeStatus(w io.Writer, s status) error {
	fmt.Fprintf(w, "%s in %s\nrecords %d to %d, epoch %d, the last commit took %s\nfor witnesses: %s\n",
		s.Origin, s.Directory, s.First, s.Size-1, s.Epoch, s.LastTook, s.Identity)
	if s.Lost > 0 {
		fmt.Fprintf(w, "lost since the start: %d events\n", s.Lost)
	}
	if s.Down != "" {
		fmt.Fprintf(w, "IT CANNOT BE WRITTEN, and what administrators ask for is refused: %s\n", s.Down)
	}
	for _, c := range s.Copies {
		fmt.Fprintf(w, "copy %s: %d records", c.Place, c.Size)
		if !c.At.IsZero() {
			fmt.Fprintf(w, ", as of %s", c.At.UTC().Format(time.RFC3339))
		}
		if c.Error != "" {
			fmt.Fprintf(w, ", NOT UP TO DATE: %s", c.Error)
		}
		fmt.Fprintln(w)
	}
	for _, l := range s.Logs {
		fmt.Fprintf(w, "log %s: %d files, %d bytes, kept for %s", l.File, l.Files, l.Bytes, l.Keep)
		if !l.Oldest.IsZero() {
			fmt.Fprintf(w, ", the oldest of %s", l.Oldest.Format(time.DateOnly))
		}
		if !l.Swept.IsZero() {
			fmt.Fprintf(w, ", looked at %s", l.Swept.UTC().Format(time.RFC3339))
		}
		if l.Error != "" {
			fmt.Fprintf(w, ", NOT REMOVED: %s", l.Error)
		}
		fmt.Fprintln(w)
	}
	for _, h := range s.Holds {
		fmt.Fprintf(w, "held by %q since %s, by %s: %s\n", h.Name, h.Since.Format(time.DateOnly), h.By, h.Why)
	}
	return nil
}

func holdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "hold <name> --why text | hold --release <name>", Args: cobra.MaximumNArgs(1),
		Short: "Keeps the record from being pruned, while somebody needs it",
		RunE: func(cmd *cobra.Command, args []string) error {
			why, _ := cmd.Flags().GetString("why")
			release, _ := cmd.Flags().GetString("release")
			var s status
			var err error
			switch {
			case release != "" && len(args) == 0:
				err = gatehouse.AskAdmin(cmd, http.MethodDelete, adminHolds+"?"+url.Values{"name": {release}}.Encode(), nil, &s)
			case len(args) == 1 && release == "":
				err = gatehouse.AskAdmin(cmd, http.MethodPost, adminHolds, holdAsk{args[0], why, gatehouse.Operator(cmd)}, &s)
			default:
				err = errors.New("say what the hold is called, or which to --release")
			}
			if err != nil {
				return err
			}
			return writeStatus(cmd.OutOrStdout(), s)
		},
	}
	cmd.Flags().String("why", "", "What it is needed for")
	cmd.Flags().String("release", "", "The hold that ends")
	return cmd
}
