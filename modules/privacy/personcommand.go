package privacy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "privacy",
		Usage: "export|erase|offboard|check",
		Short: "Tells what is kept of a person, and erases it; of a tenant, too",
		Long: `
export, erase and offboard need a role that the Caddyfile names (officers), a reason, and a code of your authenticator application or a
backup code. They are on record before they are done; the record does not name the person.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, exportCommand(), eraseCommand(), offboardCommand(), checkCommand())
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
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminExport, personAsk{proofAsk: proof, Person: args[0]}, &x); err != nil {
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
			dry, _ := cmd.Flags().GetBool("dry-run")
			return askErasure(cmd, adminErase, personAsk{proof, args[0], dry})
		},
	}
	proofFlags(cmd)
	erasureFlags(cmd)
	return cmd
}

func erasureFlags(cmd *cobra.Command) {
	cmd.Flags().Bool("dry-run", false, "Only say how much there is, which is on record, too")
	cmd.Flags().String("out", "", "The file for the certificate; default: it is written to standard output")
}

// askErasure has something erased, or counted, and writes the certificate.
func askErasure(cmd *cobra.Command, endpoint string, ask any) error {
	var x erased
	if err := gatehouse.AskAdmin(cmd, http.MethodPost, endpoint, ask, &x); err != nil {
		return err
	}
	if x.Shared > 0 {
		cmd.PrintErrf("%d people belong to others, too: of them only what is this tenant's goes, and what the audit log says of them stays readable\n", x.Shared)
	}
	if x.Certificate == nil {
		people := ""
		if endpoint == adminOffboard {
			people = fmt.Sprintf("%d people; ", x.People)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "would be deleted: %s%s; would be unreadable: %d records of the audit log\nwould remain: %s\n", people, countsOf(x.Counts), x.Unreadable,
			strings.Join(x.Remains, "; "))
		return err
	}
	text, err := json.MarshalIndent(x.Certificate, "", "  ")
	if err != nil {
		return err
	}
	if file, _ := cmd.Flags().GetString("out"); file != "" {
		return os.WriteFile(file, append(text, '\n'), 0o600)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
	return err
}

func offboardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "offboard <tenant> --as <provider:subject> --why <text> [--site <name>]... [--out <file>] | offboard --dry-run …", Args: cobra.ExactArgs(1),
		Short: "Deletes what the gateway keeps of a tenant that has left, destroys its keys, and writes a certificate",
		RunE: func(cmd *cobra.Command, args []string) error {
			proof, err := proofOf(cmd)
			if err != nil {
				return err
			}
			dry, _ := cmd.Flags().GetBool("dry-run")
			sites, _ := cmd.Flags().GetStringArray("site")
			return askErasure(cmd, adminOffboard, tenantAsk{proof, args[0], sites, dry})
		},
	}
	proofFlags(cmd)
	erasureFlags(cmd)
	cmd.Flags().StringArray("site", nil, "A site that was the tenant's, as the audit log calls it: for people of whom nothing but that log tells")
	return cmd
}

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check <certificate> --audit <directory> [--key <key>] [--person <provider:subject> | --tenant <name>]", Args: cobra.ExactArgs(1),
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
			r, err := c.Check(one("person"), one("tenant"), keys...)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "erased at %s, record %d: %s\n", r.Time, r.Seq, r.Attr(attrDone))
			if left := r.Attr(attrRemains); left != "" && err == nil {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "what remained then: %s\n", left)
			}
			return err
		},
	}
	cmd.Flags().String("audit", "", "The directory of the audit log, or a copy of its file epochs in one")
	cmd.Flags().String("key", "", "The public key that was kept elsewhere, or a file with it")
	cmd.Flags().String("tenant", "", "The tenant that it is about: without it, that is not checked")
	cmd.Flags().String("person", "", "Whom it is about, as provider:subject: without it, that is not checked")
	return cmd
}
