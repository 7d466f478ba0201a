package authn

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "session",
		Usage: "list|revoke",
		Short: "Lists and revokes the sessions of a running gateway",
		Long: `
These commands talk to the administration endpoint of the running gateway. A revoked session ends at once, on every node
that shares the store, with whatever runs in it.

A session is named as in the logs; a user as provider:subject, such as local:ada.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, listCommand(), revokeCommand())
		},
	})
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--user provider:subject] [--limit n] [--json]", Args: cobra.NoArgs,
		Short: "Shows the living sessions, the one last used first",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if user, _ := cmd.Flags().GetString("user"); user != "" {
				q.Set("user", user)
			}
			limit, _ := cmd.Flags().GetInt("limit")
			q.Set("limit", strconv.Itoa(limit))
			var l listing
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminSessions+"?"+q.Encode(), nil, &l); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(l)
			}
			return writeListing(cmd.OutOrStdout(), l)
		},
	}
	cmd.Flags().StringP("user", "u", "", "Only the sessions of this user")
	cmd.Flags().Int("limit", adminLimit, "So many sessions at the most")
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func writeListing(w io.Writer, l listing) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SESSION\tUSER\tHOST\tBEGAN\tLAST USED\tAGENT\tNETWORK")
	for _, i := range l.Sessions {
		fmt.Fprintf(table, "%s\t%q\t%s\t%s\t%s\t%s\t%s\n", i.Name, i.User, i.Host,
			i.Created.Format(time.DateTime), i.LastSeen.Format(time.DateTime), i.Agent, i.Network)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if l.More {
		_, err := fmt.Fprintf(w, "there are more than these %d: use --limit or --user\n", len(l.Sessions))
		return err
	}
	return nil
}

func revokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke <session> | --user provider:subject | --all", Args: cobra.MaximumNArgs(1),
		Short: "Ends a session, all sessions of a user, or all sessions",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			if user, _ := cmd.Flags().GetString("user"); user != "" {
				q.Set("user", user)
			}
			if all, _ := cmd.Flags().GetBool("all"); all {
				q.Set("all", "true")
			}
			if len(args) == 1 {
				q.Set("name", args[0])
			}
			if len(q) != 1 {
				return errors.New("say which: the name of a session, --user provider:subject, or --all")
			}
			var done revoked
			if err := gatehouse.AskAdmin(cmd, http.MethodDelete, adminSessions+"?"+q.Encode(), nil, &done); err != nil {
				return err
			}
			if done.Ended == 0 {
				return errors.New("no such session: nothing was revoked")
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "revoked %d sessions\n", done.Ended)
			return err
		},
	}
	cmd.Flags().StringP("user", "u", "", "Revoke all sessions of this user")
	cmd.Flags().Bool("all", false, "Revoke all sessions of everybody")
	return cmd
}
