package contain

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/containment"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name: "contain", Usage: "lock|read-only|step-up|paranoia|list|lift", Short: "Closes or restricts parts of the house for a while, in an incident",
		Long: `
Each switch takes effect at once, on every gateway that shares the store, and ends by itself. It works over the administration
endpoint of the running gateway, which no switch closes. How long (--for, seven days at the most) and why (--reason) are never left out;
both are in the audit log before the switch takes effect. --dry-run says whom it would hit, and does nothing.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, lockCommand(), readOnlyCommand(), stepUpCommand(), paranoiaCommand(), listCommand(), liftCommand())
		},
	})
}

func lockCommand() *cobra.Command {
	cmd := throwCommand(containment.Lock, "lock --tenant <name> | --site <host> | --route <path> | --all --for 2h --reason <text>", "Lets nothing reach the application")
	cmd.Flags().String("route", "", "The part: one path, or a subtree such as /export/*")
	cmd.Flags().Bool("all", false, "Everything")
	return cmd
}

func readOnlyCommand() *cobra.Command {
	return throwCommand(containment.ReadOnly, "read-only [--tenant <name>] [--site <host>] --for 2h --reason <text>", "Lets pass only GET, HEAD and OPTIONS, and no websocket")
}

func stepUpCommand() *cobra.Command {
	return throwCommand(containment.StepUp, "step-up [--tenant <name>] [--site <host>] --for 2h --reason <text>", "Asks everybody for a second factor that was proven since")
}

func paranoiaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "paranoia <2|3|4> [--tenant <name>] [--site <host>] --for 2h --reason <text>", Short: "Has the WAF judge at this level, where it would at a lower one",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			level, err := strconv.Atoi(args[0])
			if err != nil {
				return fmt.Errorf("%q is no level: write 2, 3 or 4", args[0])
			}
			return runThrow(cmd, throwAsk{Switch: containment.Paranoia, Level: level})
		},
	}
	throwFlags(cmd)
	return cmd
}

// throwCommand is a command that throws a switch.
func throwCommand(kind containment.Kind, use, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runThrow(cmd, throwAsk{Switch: kind}) },
	}
	throwFlags(cmd)
	return cmd
}

func throwFlags(cmd *cobra.Command) {
	cmd.Flags().String("tenant", "", "On whose sites")
	cmd.Flags().String("site", "", "On which site, by its host or name")
	cmd.Flags().String("for", "", "For how long, such as 30m, 2h or 3d; seven days at the most")
	cmd.Flags().String("reason", "", "Why, for the record")
	cmd.Flags().Bool("dry-run", false, "Do nothing, but say whom it would hit")
}

func runThrow(cmd *cobra.Command, ask throwAsk) error {
	text := func(name string) string {
		if cmd.Flags().Lookup(name) == nil {
			return ""
		}
		v, _ := cmd.Flags().GetString(name)
		return v
	}
	ask.Tenant, ask.Site, ask.Route, ask.For, ask.Why = text("tenant"), text("site"), text("route"), text("for"), text("reason")
	if cmd.Flags().Lookup("all") != nil {
		ask.All, _ = cmd.Flags().GetBool("all")
	}
	if dry, _ := cmd.Flags().GetBool("dry-run"); dry {
		var f Foresight
		q := url.Values{"switch": {string(ask.Switch)}, "all": {strconv.FormatBool(ask.All)}, "tenant": {ask.Tenant}, "site": {ask.Site}, "route": {ask.Route}}
		if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminForesee+"?"+q.Encode(), nil, &f); err != nil {
			return err
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), f.String())
		return err
	}
	var s containment.Switch
	if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminThrow, ask, &s); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", s.ID)
	fmt.Fprintf(cmd.ErrOrStderr(), "%s, %s, until %s; to end it before: gatehouse contain lift %s\n", s.Kind, s.Where(), s.Until.Local().Format(time.DateTime), s.ID)
	return err
}

// String is for people.
func (f Foresight) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d sites: %s\n", f.Where, len(f.Sites), strings.Join(f.Sites, ", "))
	if len(f.Tenants) > 0 {
		fmt.Fprintf(&b, "  tenants: %s\n", strings.Join(f.Tenants, ", "))
	}
	fmt.Fprintf(&b, "  %d requests run there now at this gateway, of which %d would be cut\n", f.Running, f.Cut)
	fmt.Fprintf(&b, "  %d people who could be there are logged in", f.LoggedIn)
	for i, name := range f.People {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%q", sep, name)
	}
	b.WriteByte('\n')
	return b.String()
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--all] [--json]", Short: "Shows the switches in force; with --all, those of the last months", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			uri := adminSwitches
			if all, _ := cmd.Flags().GetBool("all"); all {
				uri += "?all=1"
			}
			var list switchList
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, uri, nil, &list); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "ID\tSWITCH\tWHERE\tSINCE\tUNTIL\tBY\tENDED\tWHY\tNOTE")
			for _, s := range list.Switches {
				kind, ended := string(s.Kind), "-"
				if s.Level > 0 {
					kind += fmt.Sprintf(" %d", s.Level)
				}
				if !s.Ended.IsZero() {
					ended = s.Ended.Local().Format(time.DateTime) + " by " + s.EndedBy
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%q\t%q\t%q\t%q\n", s.ID, kind, s.Where(), s.Since.Local().Format(time.DateTime),
					s.Until.Local().Format(time.DateTime), s.By, ended, s.Reason, s.Note)
			}
			return table.Flush()
		},
	}
	cmd.Flags().Bool("all", false, "Those that have ended, too")
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func liftCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lift <id> [--note <text>]", Short: "Ends a switch before its time", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			note, _ := cmd.Flags().GetString("note")
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminLift, liftAsk{ID: args[0], Note: note}, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "lifted %s\n", args[0])
			return err
		},
	}
	cmd.Flags().String("note", "", "Why, for the record")
	return cmd
}
