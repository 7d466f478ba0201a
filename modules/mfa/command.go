package mfa

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "mfa",
		Usage: "list|reset",
		Short: "Lists and resets the second factors of a running gateway's people",
		Long: `
These commands talk to the administration endpoint of the running gateway. A user is written provider:subject, such as
local:ada; people of any identity provider can have second factors here.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, listCommand(), resetCommand())
		},
	})
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--json]", Args: cobra.NoArgs, Short: "Shows who has which second factors",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var l listing
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminPath, nil, &l); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(l)
			}
			return writeListing(cmd.OutOrStdout(), l)
		},
	}
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func writeListing(w io.Writer, l listing) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "USER\tAPP\tPASSKEYS\tBACKUP CODES LEFT\tLAST USED")
	for _, p := range l.People {
		app, used := "no", "never"
		if p.App {
			app = "yes"
		}
		if !p.Used.IsZero() {
			used = p.Used.Format(time.DateTime)
		}
		fmt.Fprintf(table, "%q\t%s\t%d\t%d\t%s\n", p.User, app, p.Passkeys, p.Codes, used)
	}
	return table.Flush()
}

func resetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reset <provider:subject>", Args: cobra.ExactArgs(1),
		Short: "Takes a person's second factors away, and ends their sessions",
		Long: `The person must set up a second factor again, where one is demanded: whoever logs in as them first does that.
Make sure that it is they who ask.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var t taken
			if err := gatehouse.AskAdmin(cmd, http.MethodDelete, adminPath+"?"+url.Values{"user": args}.Encode(), nil, &t); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s had %d second factors, and has none now; %d sessions ended\n", args[0], t.Factors, t.Sessions)
			return err
		},
	}
}
