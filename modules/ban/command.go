package ban

import (
	"encoding/json"
	"fmt"
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
		Name:  "ban",
		Usage: "add|remove|list|history",
		Short: "Bans client networks, lifts bans and shows them",
		Long: `
Works over the administration endpoint of the running gateway, also while you are banned yourself. A ban is durable when
the command says so.`,
		CobraFunc: func(cmd *cobra.Command) {
			for _, sub := range []*cobra.Command{addCommand(), removeCommand(), listCommand(), historyCommand()} {
				sub.SilenceUsage = true
				gatehouse.AdminFlags(sub)
				cmd.AddCommand(sub)
			}
			cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		},
	})
}

func addCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add <address or network> [--for 1h] [--detail text]", Args: cobra.ExactArgs(1),
		Short: "Bans a network; --for 60s tries it out",
		RunE: func(cmd *cobra.Command, args []string) error {
			length, _ := cmd.Flags().GetDuration("for")
			detail, _ := cmd.Flags().GetString("detail")
			var b Ban
			ask := order{Network: args[0], For: length.String(), Detail: detail, By: gatehouse.Operator(cmd)}
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminBans, ask, &b); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "banned %s until %s\n", b.Network, b.Until.Local().Format(time.DateTime))
			return err
		},
	}
	cmd.Flags().Duration("for", time.Hour, "How long the ban lasts")
	cmd.Flags().String("detail", "", "Why, for the history")
	return cmd
}

func removeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove <address or network>", Args: cobra.ExactArgs(1),
		Short: "Lifts the ban of exactly this network",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{"network": {args[0]}, "by": {gatehouse.Operator(cmd)}}
			if err := gatehouse.AskAdmin(cmd, http.MethodDelete, adminBans+"?"+q.Encode(), nil, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "lifted the ban of %s\n", args[0])
			return err
		},
	}
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--json]", Args: cobra.NoArgs, Short: "Shows who is banned",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []Ban
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminBans, nil, &all); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "NETWORK\tJAIL\tSINCE\tUNTIL\tBY\tREQUEST\tWHY")
			for _, b := range all {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%q\t%s\t%q\n", b.Network, b.Jail,
					b.Since.Format(time.DateTime), b.Until.Format(time.DateTime), b.By, b.Request, b.Detail)
			}
			return table.Flush()
		},
	}
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func historyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history", Args: cobra.NoArgs, Short: "Shows who was banned and let in again in the last 90 days, and by whom",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []Entry
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminBans+"?history=true", nil, &all); err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "TIME\tWHAT\tNETWORK\tJAIL\tUNTIL\tBY\tREQUEST\tWHY")
			for _, e := range all {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%q\t%s\t%q\n", e.Time.Format(time.DateTime), e.What, e.Ban.Network, e.Ban.Jail,
					e.Ban.Until.Format(time.DateTime), e.By, e.Ban.Request, e.Ban.Detail)
			}
			return table.Flush()
		},
	}
}
