package siem

import (
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "siem",
		Usage: "status|pseudonym|forget",
		Short: "Shows whether log collectors get what they are to be told, and under which pseudonym somebody is found there",
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, statusCommand(), pseudonymCommand(), forgetCommand())
		},
	})
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Args: cobra.NoArgs, Short: "Shows each sink: what it has taken, what waits for it, what it will never get",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []outletStatus
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminStatus, nil, &all); err != nil {
				return err
			}
			return writeStatus(cmd.OutOrStdout(), all)
		},
	}
}

func writeStatus(w io.Writer, all []outletStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SINK\tSENT\tLOST\tWAITING\tSTATE")
	for _, s := range all {
		state := "ok"
		if !s.Down.IsZero() {
			state = "down since " + s.Down.Local().Format(time.DateTime)
		}
		if s.Error != "" {
			state += ": " + s.Error
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d bytes\t%s\n", s.Name, s.Sent, s.Lost, s.Waiting, state)
	}
	return t.Flush()
}

func forgetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "forget <sink> --why text", Args: cobra.ExactArgs(1), Short: "Removes what waits for a sink that the configuration names no more; it is on record before",
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := forgetAsk{Name: args[0]}
			ask.Why, _ = cmd.Flags().GetString("why")
			var l leftSpool
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminForget, ask, &l); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "removed %d records\n", l.Records)
			return err
		},
	}
	cmd.Flags().String("why", "", "Why nobody needs them")
	return cmd
}

func pseudonymCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pseudonym user|address <value> --why text [--tenant name] [--day 2026-11-28]", Args: cobra.ExactArgs(2),
		Short: "Shows under which pseudonym a user or an address is found in what collectors have; that it was asked is on record",
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := pseudonymAsk{Kind: args[0], Value: args[1]}
			ask.Tenant, _ = cmd.Flags().GetString("tenant")
			ask.Day, _ = cmd.Flags().GetString("day")
			ask.Why, _ = cmd.Flags().GetString("why")
			var answer pseudonymAnswer
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminPseudonym, ask, &answer); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), answer.Pseudonym)
			return err
		},
	}
	cmd.Flags().String("tenant", "", "Whose site it is about, where the house has tenants")
	cmd.Flags().String("day", "", "A day of the records it is to be found in; default: today")
	cmd.Flags().String("why", "", "What you need to know it for")
	return cmd
}
