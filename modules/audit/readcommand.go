package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/chain"
)

// queryFlags say which records are meant.
func queryFlags(cmd *cobra.Command) {
	cmd.Flags().String("since", "", "From this time on: 2026-11-28, 2026-11-28T18:00:00Z, or how long ago: 36h")
	cmd.Flags().String("until", "", "Before this time")
	cmd.Flags().String("kind", "", "Only this kind of event, or this family: user.disabled, user")
	cmd.Flags().StringP("user", "u", "", "Only of this user")
	cmd.Flags().String("client", "", "Only of this client address")
	cmd.Flags().String("session", "", "Only of this session")
	cmd.Flags().String("request", "", "Only of this request")
}

func readQuery(cmd *cobra.Command) (q Query, err error) {
	flag := func(name string) string {
		v, _ := cmd.Flags().GetString(name)
		return v
	}
	q = Query{Kind: flag("kind"), User: flag("user"), Client: flag("client"), Session: flag("session"), Request: flag("request")}
	now := time.Now()
	var untilErr error
	q.Since, err = ParseMoment(flag("since"), now)
	q.Until, untilErr = ParseMoment(flag("until"), now)
	return q, errors.Join(err, untilErr)
}

func showCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [<directory>]", Args: cobra.MaximumNArgs(1), Short: "Shows records, one a line, and verifies them",
		RunE: func(cmd *cobra.Command, args []string) error {
			last, _ := cmd.Flags().GetInt("last")
			var shown []string
			err := each(cmd, args, func(r *chain.Record) error {
				if shown = append(shown, Line(r)); last <= 0 || len(shown) <= last {
					return nil
				}
				shown = shown[1:]
				return nil
			})
			for _, line := range shown {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return err
		},
	}
	readFlags(cmd)
	queryFlags(cmd)
	cmd.Flags().Int("last", 100, "Only so many, the last ones; 0: all")
	return cmd
}

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export [<directory>]", Args: cobra.MaximumNArgs(1), Short: "Writes records as JSON, one a line, and verifies them",
		RunE: func(cmd *cobra.Command, args []string) error {
			if tenant, _ := cmd.Flags().GetString("tenant"); tenant != "" {
				return exportTenant(cmd, args, tenant)
			}
			return each(cmd, args, func(r *chain.Record) error {
				text, err := Object(r)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
				return err
			})
		},
	}
	readFlags(cmd)
	queryFlags(cmd)
	cmd.Flags().String("tenant", "", "Only of this tenant's, whom the running gateway knows; its auditor's socket (--address) has no others")
	return cmd
}

// each calls f with the records that are meant.
func each(cmd *cobra.Command, args []string, f func(*chain.Record) error) error {
	q, err := readQuery(cmd)
	if err != nil {
		return err
	}
	o, err := readOptions(cmd)
	if err != nil {
		return err
	}
	o.Each = func(r *chain.Record) error {
		if !q.Matches(r) {
			return nil
		}
		return f(r)
	}
	_, err = chain.Verify(directory(args), o)
	return fault(err)
}

func proveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "prove <sequence> [<directory>]", Args: cobra.RangeArgs(1, 2),
		Short: "Writes one record to <sequence>.record and a proof that it is in the chain to <sequence>.tlog-proof",
		RunE: func(cmd *cobra.Command, args []string) error {
			var seq int64
			if _, err := fmt.Sscanf(args[0], "%d", &seq); err != nil || seq < 0 {
				return fmt.Errorf("%q is no sequence", args[0])
			}
			o, err := readOptions(cmd)
			if err != nil {
				return err
			}
			bare, _ := cmd.Flags().GetBool("without-personal")
			r, proof, err := chain.Prove(directory(args[1:]), seq, !bare, o)
			if err != nil {
				return fault(err)
			}
			out, _ := cmd.Flags().GetString("out")
			name := filepath.Join(out, fmt.Sprint(seq))
			if err := errors.Join(os.WriteFile(name+".record", r.Line, 0o600), os.WriteFile(name+".tlog-proof", []byte(proof), 0o600)); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s.record and %s.tlog-proof\n", name, name)
			return err
		},
	}
	readFlags(cmd)
	cmd.Flags().StringP("out", "o", ".", "The directory to write to")
	cmd.Flags().Bool("without-personal", false, "Leave out what the record says of people")
	return cmd
}

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check <record> <proof> --key <key>", Args: cobra.ExactArgs(2),
		Short: "Checks the proof of one record, without the chain, and shows the record",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := readOptions(cmd)
			if err != nil {
				return err
			}
			core, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			proof, err := os.ReadFile(args[1])
			if err != nil {
				return err
			}
			keys := o.Keys
			if o.Root != "" {
				keys = append(keys, o.Root)
			}
			if epochs, _ := cmd.Flags().GetString("epochs"); epochs != "" {
				more, err := chain.EpochKeys(epochs, o.Root)
				if err != nil {
					return err
				}
				keys = append(keys, more...)
			}
			r, c, err := chain.CheckProof(core, string(proof), keys...)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "it is record %d of the %d in %s\n%s\n", r.Seq, c.Size, c.Origin, Line(r))
			return err
		},
	}
	readFlags(cmd)
	cmd.Flags().String("epochs", "", "A directory with the file epochs of the chain: the proof's key is certified there")
	return cmd
}

func witnessCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "witness [<directory>] --old <records>", Args: cobra.MaximumNArgs(1),
		Short: "Writes what a witness is asked with to cosign the published checkpoint (C2SP tlog-witness, add-checkpoint)",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := readOptions(cmd)
			if err != nil {
				return err
			}
			old, _ := cmd.Flags().GetInt64("old")
			body, err := chain.WitnessRequest(directory(args), old, o)
			if err != nil {
				return fault(err)
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), body)
			return err
		},
	}
	readFlags(cmd)
	cmd.Flags().Int64("old", 0, "How many records the witness has seen; 0: none yet")
	return cmd
}
