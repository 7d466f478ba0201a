package verify

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
		Name:  "verify",
		Usage: "list|approve|deny|forget",
		Short: "Shows whose devices and networks a running gateway knows, and decides on visits that it holds",
		Long: `
These commands talk to the administration endpoint of the running gateway. A user is written provider:subject, such as
local:ada. What is held and nobody decides on is forgotten after a day.`,
		CobraFunc: func(cmd *cobra.Command) {
			subs := []*cobra.Command{
				listCommand(),
				askCommand("approve", "<provider:subject> <id>", "Lets a held visit through: its device and network are the person's from then on", 2, ""),
				askCommand("deny", "<provider:subject> <id>", "Shuts a held visit out, for a day", 2, ""),
				askCommand("forget", "<provider:subject> [<device>|<network>]", "Forgets what a person is known by: everything, or one device or network", 1, "all"),
			}
			gatehouse.AdminCommands(cmd, subs...)
		},
	})
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [<provider:subject>] [--json]", Args: cobra.MaximumNArgs(1),
		Short: "Shows the visits that are held, and what a person is known by",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := adminPath
			if len(args) == 1 {
				path += "?" + url.Values{"user": args}.Encode()
			}
			var l listing
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, path, nil, &l); err != nil {
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
	fmt.Fprintln(table, "HELD\tUSER\tSINCE\tSTATE\tNEEDS\tNETWORK\tBROWSER\tWHY")
	for _, h := range l.Held {
		fmt.Fprintf(table, "%s\t%q\t%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, h.User, h.At.Format(time.DateTime), h.State, h.Outcome, h.Network, h.Agent, names(h.Signals))
	}
	if l.Known != nil {
		fmt.Fprintf(table, "\nKNOWN OF %q\tFIRST\tLAST\n", l.Known.User)
		for _, d := range l.Known.Devices {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", d.ID, d.First.Format(time.DateTime), d.Last.Format(time.DateTime), d.Agent)
		}
		for _, n := range l.Known.Networks {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", n.Prefix, n.First.Format(time.DateTime), n.Last.Format(time.DateTime), n.Country)
		}
	}
	return table.Flush()
}

// askCommand sends a user and an id, or what the command takes instead of one.
func askCommand(name, args, short string, least int, otherwise string) *cobra.Command {
	return &cobra.Command{
		Use: name + " " + args, Args: cobra.RangeArgs(least, 2), Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			a := ask{User: args[0], ID: otherwise}
			if len(args) == 2 {
				a.ID = args[1]
			}
			var done ask
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminPath+"/"+name, a, &done); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s of %s\n", name, done.ID, done.User)
			return err
		},
	}
}
