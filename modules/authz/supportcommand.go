package authz

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/support"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name: "grant", Usage: "give|list|revoke", Short: "Gives somebody roles for a while, for a ticket",
		Long: `
A grant gives a person roles on some sites for as long as a ticket takes, a day at the most. Somebody else approves it. Each
request that they make there meanwhile has the ticket in its line in the log and in its events. When the grant ends, by itself
or because it is revoked, what runs by it is cut within a second, on every node that shares the store.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, giveCommand(), grantsCommand(), revokeCommand())
		},
	})
}

func giveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "give <provider:subject> --role <role>... --ticket <id> --approver <provider:subject> --site <host>... [--tenant t] [--lasts 1h]",
		Short: "Gives somebody roles for a while", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			one := func(name string) string { v, _ := cmd.Flags().GetString(name); return v }
			some := func(name string) []string { v, _ := cmd.Flags().GetStringSlice(name); return v }
			ask := grantAsk{
				User: args[0], Roles: some("role"), Sites: some("site"), Tenant: one("tenant"), Ticket: one("ticket"), Approver: one("approver"),
				Lasts: one("lasts"), Note: one("note"), Operator: gatehouse.Operator(cmd),
			}
			var done support.Grant
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminGrants+"/give", ask, &done); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", done.ID)
			fmt.Fprintf(cmd.ErrOrStderr(), "%s has %s until %s, for %s; to end it before: gatehouse grant revoke %s\n",
				args[0], strings.Join(done.Roles, ", "), done.Expires.Format(time.DateTime), done.Ticket, done.ID)
			return err
		},
	}
	cmd.Flags().StringSlice("role", nil, "A role; may be given several times")
	cmd.Flags().StringSlice("site", nil, "A site where it counts, by its host or name; may be given several times")
	cmd.Flags().String("tenant", "", "The tenant on whose sites it counts, in a house of several")
	cmd.Flags().String("ticket", "", "What it is for: the id of a ticket or mail")
	cmd.Flags().String("approver", "", "Who has approved it, as provider:subject; somebody else than who receives it")
	cmd.Flags().String("lasts", defaultGrant, "How long, such as 30m or 4h; 24h at the most")
	cmd.Flags().String("note", "", "What there is to note")
	return cmd
}

func grantsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--all] [--json]", Short: "Shows the grants in force, or all", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			uri := adminGrants
			if all, _ := cmd.Flags().GetBool("all"); all {
				uri += "?all=1"
			}
			var list grantList
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, uri, nil, &list); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "GRANT\tPERSON\tROLES\tSITES\tTENANT\tTICKET\tAPPROVED BY\tGIVEN BY\tUNTIL\tENDED\tNOTE")
			for _, g := range list.Grants {
				ended := "-"
				if !g.Ended.IsZero() {
					ended = g.Ended.Format(time.DateTime) + " by " + g.EndedBy
				}
				fmt.Fprintf(table, "%s\t%q\t%s\t%s\t%s\t%s\t%q\t%q\t%s\t%q\t%q\n", g.ID, g.Person.Provider+":"+g.Person.Subject, strings.Join(g.Roles, ","),
					strings.Join(g.Sites, ","), g.Tenant, g.Ticket, g.Approver.Provider+":"+g.Approver.Subject, g.By, g.Expires.Format(time.DateTime), ended, g.Note)
			}
			return table.Flush()
		},
	}
	cmd.Flags().Bool("all", false, "Those that have ended, too")
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func revokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke <grant> [--note text]", Short: "Ends a grant now, and cuts what runs by it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			note, _ := cmd.Flags().GetString("note")
			ask := endAsk{ID: args[0], Note: note, Operator: gatehouse.Operator(cmd)}
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminGrants+"/revoke", ask, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "ended %s\n", args[0])
			return err
		},
	}
	cmd.Flags().String("note", "", "Why, for the record")
	return cmd
}
