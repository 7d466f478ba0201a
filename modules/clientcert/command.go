package clientcert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name: "client-certificate", Usage: "bind|list|unbind|revoke|restore", Short: "Says whom TLS client certificates speak for, and which count no more",
		Long: `
A site with client_certificates asks clients for a certificate. One that is bound to a service account or a person lets them
in; any other is nobody's. A certificate is named by its file (PEM), or by sha256:<sum>, dns:<name>, email:<address>,
uri:<URI>, ip:<address> or subject:<distinguished name>: by such a name, every certificate counts that an authority of the
site has issued with it.

These commands talk to the administration endpoint of the running gateway. What they change holds at once, on every node that
shares the store, also for what runs already.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, bindCommand(), listCommand(), unbindCommand(), revokeCommand(), restoreCommand())
		},
	})
}

// named returns what a certificate is named by on a command line: a file's is its sum. notAfter is zero when it is not known.
func named(text string) (match string, notAfter time.Time, err error) {
	if kind, _, ok := strings.Cut(text, ":"); ok && !strings.ContainsAny(kind, "/.") {
		return text, notAfter, nil
	}
	content, err := readFile(text)
	if err != nil {
		return "", notAfter, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE" {
		return "", notAfter, fmt.Errorf("%s does not begin with a certificate in PEM", text)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", notAfter, fmt.Errorf("%s: %w", text, err)
	}
	sum := sha256.Sum256(c.Raw)
	return sumPrefix + hex.EncodeToString(sum[:]), c.NotAfter, nil
}

func bindCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bind <certificate> --account <name> | --user <provider:subject> --host <host>... [--path /p/*]... [--method M]... [--network cidr]... [--lasts 365d]",
		Short: "Makes a certificate speak for a service account or a person", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			match, notAfter, err := named(args[0])
			if err != nil {
				return err
			}
			ask := bindAsk{
				Match: match, NotAfter: notAfter, Account: word(cmd, "account"), User: word(cmd, "user"), Tenant: word(cmd, "tenant"),
				Hosts: words(cmd, "host"), Paths: words(cmd, "path"), Methods: words(cmd, "method"), Networks: words(cmd, "network"),
				Lasts: word(cmd, "lasts"), Note: word(cmd, "note"), Operator: gatehouse.Operator(cmd),
			}
			var done Binding
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminBindings+"/bind", ask, &done); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "bound %s to %s, until %s\n", done.Match, done.whose(), done.Expires.Format(time.DateTime))
			return err
		},
	}
	cmd.Flags().String("account", "", "The service account it speaks for")
	cmd.Flags().String("user", "", "Or the person whose it is, as provider:subject")
	cmd.Flags().String("tenant", "", "With --user, in a house of tenants: on whose sites")
	cmd.Flags().StringSlice("host", nil, "A site it is for; may be given several times")
	cmd.Flags().StringSlice("path", nil, "A path it is for: exact, or a subtree such as /api/*; default: all")
	cmd.Flags().StringSlice("method", nil, "A method it is for; default: all")
	cmd.Flags().StringSlice("network", nil, "An address or network it may be used from; default: anywhere")
	cmd.Flags().String("lasts", defaultLife, "How long the binding counts, such as 12h or 90d; two years at the most, and no longer than the certificate")
	cmd.Flags().String("note", "", "What it is for")
	return cmd
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--revoked] [--json]", Short: "Shows what is bound, or revoked", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asJSON, _ := cmd.Flags().GetBool("json")
			if revoked, _ := cmd.Flags().GetBool("revoked"); revoked {
				return listRevoked(cmd, asJSON)
			}
			var list bindingList
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminBindings, nil, &list); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "CERTIFICATE\tOWNER\tHOSTS\tEXPIRES\tNOTE")
			for _, b := range list.Bindings {
				fmt.Fprintf(table, "%s\t%q\t%s\t%s\t%q\n", b.Match, b.whose(), strings.Join(b.Scope.Hosts, ","), b.Expires.Format(time.DateTime), b.Note)
			}
			return table.Flush()
		},
	}
	cmd.Flags().Bool("revoked", false, "Those that were revoked here")
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func listRevoked(cmd *cobra.Command, asJSON bool) error {
	var list revokedList
	if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminRevoked, nil, &list); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CERTIFICATE\tREVOKED\tBY\tNOTE")
	for _, r := range list.Revoked {
		fmt.Fprintf(table, "%s\t%s\t%q\t%q\n", r.Match, r.Created.Format(time.DateTime), r.By, r.Note)
	}
	return table.Flush()
}

// onCertificate is a command that says something about one certificate.
func onCertificate(use, short, what, done string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use + " <certificate> [--note text]", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			match, _, err := named(args[0])
			if errors.Is(err, os.ErrNotExist) {
				err = fmt.Errorf("%w: name a file, or write what it is named by, such as sha256:…", err)
			}
			if err != nil {
				return err
			}
			ask := nameAsk{Match: match, Note: word(cmd, "note"), Operator: gatehouse.Operator(cmd)}
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminBindings+"/"+what, ask, nil); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", done, match)
			return err
		},
	}
	cmd.Flags().String("note", "", "Why, for the record")
	return cmd
}

func unbindCommand() *cobra.Command {
	return onCertificate("unbind", "Has a certificate speak for nobody, and cuts what runs by it", "unbind", "unbound")
}

func revokeCommand() *cobra.Command {
	return onCertificate("revoke", "Makes a certificate count nowhere: by its file, sha256:<sum>, or serial:<number>, whoever issued it", "revoke", "revoked")
}

func restoreCommand() *cobra.Command {
	return onCertificate("restore", "Takes a revocation back", "restore", "restored")
}

func word(cmd *cobra.Command, flag string) string {
	v, _ := cmd.Flags().GetString(flag)
	return v
}

func words(cmd *cobra.Command, flag string) []string {
	v, _ := cmd.Flags().GetStringSlice(flag)
	return v
}
