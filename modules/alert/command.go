package alert

import (
	"errors"
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
		Name:  "alert",
		Usage: "list|test",
		Short: "Shows what is wrong now, and whether those who are to be told of it can be",
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, listCommand(), testCommand())
		},
	})
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "Shows the alerts that are on, and each receiver: what it has, what waits for it, what it will never get",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s Status
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminStatus, nil, &s); err != nil {
				return err
			}
			return write(cmd.OutOrStdout(), s)
		},
	}
}

func write(w io.Writer, s Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(s.Alerts) == 0 {
		fmt.Fprintln(t, "Nothing is wrong.")
	} else {
		fmt.Fprintln(t, "ALERT\tSEVERITY\tSINCE\tCOUNT\tSUMMARY")
	}
	for _, a := range s.Alerts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", a.Name, a.Severity, a.Since.Local().Format(time.DateTime), a.Count, a.Summary)
	}
	fmt.Fprintln(t, "\nRECEIVER\tSENT\tLOST\tWAITING\tSTATE")
	for _, r := range s.Receivers {
		state := "ok"
		if !r.Down.IsZero() {
			state = "down since " + r.Down.Local().Format(time.DateTime)
		}
		if r.Error != "" {
			state += ": " + r.Error
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\n", r.Name, r.Sent, r.Dropped, r.Waiting, state)
	}
	return t.Flush()
}

func testCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test [receiver]", Args: cobra.MaximumNArgs(1), Short: "Sends a test to one receiver, or to all, and says what came of it; exits with 1 if one did not take it",
		RunE: func(cmd *cobra.Command, args []string) error {
			var ask testAsk
			if len(args) > 0 {
				ask.Name = args[0]
			}
			var all []Tried
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminTest, ask, &all); err != nil {
				return err
			}
			failed := false
			for _, t := range all {
				if t.Error == "" {
					t.Error = "taken"
				} else {
					failed = true
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", t.Receiver, t.Error)
			}
			if failed {
				return errors.New("not every receiver took the test")
			}
			return nil
		},
	}
}
