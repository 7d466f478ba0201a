package privacy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "privacy",
		Usage: "export|erase|check",
		Short: "Tells what is kept of a person, and erases it",
		Long: `
export and erase need a role that the Caddyfile names (officers), a reason, and a code of your authenticator application or a
backup code. Both are on record before they are done; the record does not name the person.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, exportCommand(), eraseCommand(), checkCommand())
		},
	})
}

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export <provider:subject> --as <provider:subject> --why <text>", Args: cobra.ExactArgs(1),
		Short: "Writes everything that the gateway keeps of a person, as JSON",
		RunE: func(cmd *cobra.Command, args []string) error {
			proof, err := proofOf(cmd)
			if err != nil {
				return err
			}
			var x export
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminExport, personAsk{proof, args[0]}, &x); err != nil {
				return err
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(x)
		},
	}
	proofFlags(cmd)
	return cmd
}

func eraseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erase <provider:subject> --as <provider:subject> --why <text> [--out <file>] | erase --dry-run …", Args: cobra.ExactArgs(1),
		Short: "Deletes what the gateway keeps of a person, and makes what the audit log says of them unreadable; writes a certificate",
		RunE: func(cmd *cobra.Command, args []string) error {
			proof, err := proofOf(cmd)
			if err != nil {
				return err
			}
			if dry, _ := cmd.Flags().GetBool("dry-run"); dry {
				var x export
				if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminExport, personAsk{proof, args[0]}, &x); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "would be deleted: %d sessions, accounts, keys and what was last said of the person, and %d sealed records, besides second factors and devices; would be unreadable: %d records of the audit log\n",
					len(x.Known), len(x.Payloads), len(x.Records))
				return err
			}
			var c Certificate
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminErase, personAsk{proof, args[0]}, &c); err != nil {
				return err
			}
			text, err := json.MarshalIndent(c, "", "  ")
			if err != nil {
				return err
			}
			if file, _ := cmd.Flags().GetString("out"); file != "" {
				return os.WriteFile(file, append(text, '\n'), 0o600)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			return err
		},
	}
	proofFlags(cmd)
	cmd.Flags().Bool("dry-run", false, "Only say how much there is, which is on record as an export is")
	cmd.Flags().String("out", "", "The file for the certificate; default: it is written to standard output")
	return cmd
}

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check <certificate> --audit <directory> [--key <key>] [--person <provider:subject>]", Args: cobra.ExactArgs(1),
		Short: "Checks a certificate of erasure, with no gateway: with the audit log's public key and the certificates of its epochs",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			var c Certificate
			if err := json.Unmarshal(text, &c); err != nil {
				return fmt.Errorf("%s is no certificate: %w", args[0], err)
			}
			one := func(name string) string { v, _ := cmd.Flags().GetString(name); return v }
			keys, err := chain.EpochKeys(one("audit"), chain.KeyFrom(one("key")))
			if err != nil {
				return err
			}
			r, err := c.Check(one("person"), keys...)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "erased at %s, record %d: %s\n", r.Time, r.Seq, r.Attr(attrDone))
			return err
		},
	}
	cmd.Flags().String("audit", "", "The directory of the audit log, or a copy of its file epochs in one")
	cmd.Flags().String("key", "", "The public key that was kept elsewhere, or a file with it")
	cmd.Flags().String("person", "", "Whom it is about, as provider:subject: without it, that is not checked")
	return cmd
}
