package ban

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "ban",
		Usage: "add|remove|list|check|blocklists|history|export",
		Short: "Bans client networks and people, lifts bans and shows them",
		Long: `
Works over the administration endpoint of the running gateway, also while you are banned yourself. A ban is durable when
the command says so. Whom may be an address, a network, or somebody by the name that logs have for them:
user:<provider>:<subject>, session:<name>, key:<id>, tenant:<name>.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, addCommand(), removeCommand(), listCommand(), checkCommand(), blocklistsCommand(), historyCommand(), exportCommand())
		},
	})
}

func addCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add <whom> [--for 1h] [--action ban] [--detail text] [--dry-run]", Args: cobra.ExactArgs(1),
		Short: "Bans; --dry-run says whom that would hit, --for 60s tries it out",
		RunE: func(cmd *cobra.Command, args []string) error {
			if dry, _ := cmd.Flags().GetBool("dry-run"); dry {
				var f Foresight
				if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminBans+"?foresee="+url.QueryEscape(args[0]), nil, &f); err != nil {
					return err
				}
				_, err := fmt.Fprint(cmd.OutOrStdout(), f.String())
				return err
			}
			length, _ := cmd.Flags().GetDuration("for")
			detail, _ := cmd.Flags().GetString("detail")
			var b Ban
			action, _ := cmd.Flags().GetString("action")
			o := order{asked: ask(args[0]), Action: action, For: length.String(), Detail: detail, By: gatehouse.Operator(cmd)}
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminBans, o, &b); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "banned %s until %s\n", b.Whom, b.Until.Local().Format(time.DateTime))
			return err
		},
	}
	cmd.Flags().Duration("for", time.Hour, "How long the ban lasts")
	cmd.Flags().String("action", "ban", "ban, tarpit (kept waiting, then refused), or step_up (a second factor is asked for)")
	cmd.Flags().String("detail", "", "Why, for the history")
	cmd.Flags().Bool("dry-run", false, "Ban nobody, but say whom the ban would hit, by the last hour")
	return cmd
}

// String is for people.
func (f Foresight) String() string {
	var b strings.Builder
	if f.Refused != "" {
		fmt.Fprintf(&b, "%s cannot be banned: %s\n", f.Whom, f.Refused)
	}
	share := 0.0
	if f.Of > 0 {
		share = 100 * float64(f.Requests) / float64(f.Of)
	}
	of := ""
	if f.Scope == ByClient {
		of = fmt.Sprintf(", of %d clients", f.Clients)
	}
	fmt.Fprintf(&b, "banning %s would have shut out, in the last hour at this gateway:\n", f.Whom)
	fmt.Fprintf(&b, "  %d of %d requests (%.1f %%)%s; %d requests run now and would be cut\n", f.Requests, f.Of, share, of, f.Running)
	switch {
	case len(f.Users) == 0:
		fmt.Fprintln(&b, "  nobody who was logged in")
	default:
		names := make([]string, len(f.Users))
		for i, u := range f.Users {
			names[i] = fmt.Sprintf("%q", u)
		}
		fmt.Fprintf(&b, "  %d who were logged in: %s", len(names), strings.Join(names, ", "))
		if f.More {
			b.WriteString(" and more")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func removeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove <whom>", Args: cobra.ExactArgs(1),
		Short: "Lifts the ban of exactly this one",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, q := ask(args[0]), url.Values{"by": {gatehouse.Operator(cmd)}}
			for name, value := range map[string]string{"kind": a.Kind, "network": a.Network, "user": a.User, "tenant": a.Tenant, "id": a.ID} {
				if value != "" {
					q.Set(name, value)
				}
			}
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
			fmt.Fprintln(table, "WHOM\tACTION\tJAIL\tSINCE\tUNTIL\tBY\tREQUEST\tWHY")
			for _, b := range all {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%q\t%s\t%q\n", b.Whom, b.Action.word(), b.Jail,
					b.Since.Format(time.DateTime), b.Until.Format(time.DateTime), b.By, b.Request, b.Detail)
			}
			return table.Flush()
		},
	}
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check <address or name>", Args: cobra.ExactArgs(1),
		Short: "Says whether an address, or who has a name, is shut out, why, and whether it is one that never is",
		RunE: func(cmd *cobra.Command, args []string) error {
			var f Finding
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminBans+"?check="+url.QueryEscape(args[0]), nil, &f); err != nil {
				return err
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), f.String())
			return err
		},
	}
}

// String is for people: a line for each thing there is to say, the conclusion first.
func (f Finding) String() string {
	var b strings.Builder
	switch out := f.Ban != nil || len(f.Lists) > 0; {
	case f.Allowed && out:
		fmt.Fprintf(&b, "%s is let in: it is on the allow-list, in spite of:\n", f.Of)
	case f.Allowed:
		fmt.Fprintf(&b, "%s is let in, and never banned: it is on the allow-list\n", f.Of)
	case f.Action == string(StepUp):
		fmt.Fprintf(&b, "%s is let in with a second factor:\n", f.Of)
	case f.Action != "":
		fmt.Fprintf(&b, "%s is shut out:\n", f.Of)
	case out:
		fmt.Fprintf(&b, "%s is let in, but its offences count more:\n", f.Of)
	default:
		fmt.Fprintf(&b, "%s is let in: it is neither banned nor in a blocklist\n", f.Of)
	}
	if f.Ban != nil {
		fmt.Fprintf(&b, "  %s, jail %s, until %s, request %s: %q\n", f.Ban.Whom, f.Ban.Jail, f.Ban.Until.Format(time.DateTime),
			cmp.Or(f.Ban.Request, "none"), f.Ban.Detail)
	}
	for _, name := range f.Lists {
		fmt.Fprintf(&b, "  blocklist %s\n", name)
	}
	return b.String()
}

func blocklistsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "blocklists", Args: cobra.NoArgs, Short: "Shows the blocklists, how many networks they have and when they were last good",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []Listing
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminBans+"?lists=true", nil, &all); err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "LIST\tACTION\tNETWORKS\tLAST GOOD\tFROM")
			for _, l := range all {
				good := "never"
				if !l.Confirmed.IsZero() {
					good = l.Confirmed.Format(time.DateTime)
				}
				fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", l.Name, l.Action.word(), l.Entries, good, l.From)
			}
			return table.Flush()
		},
	}
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
			fmt.Fprintln(table, "TIME\tWHAT\tWHOM\tACTION\tJAIL\tUNTIL\tBY\tREQUEST\tWHY")
			for _, e := range all {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%q\t%s\t%q\n", e.Time.Format(time.DateTime), e.What, e.Ban.Whom, e.Ban.Action.word(), e.Ban.Jail,
					e.Ban.Until.Format(time.DateTime), e.By, e.Ban.Request, e.Ban.Detail)
			}
			return table.Flush()
		},
	}
}

func exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export [--format nftables]", Args: cobra.NoArgs, Short: "Writes the banned networks as the host's firewall takes them",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format, _ := cmd.Flags().GetString("format"); format != "nftables" {
				return fmt.Errorf("format %q: there is nftables, for nft -f", format)
			}
			var text string
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminBans+"?export=nftables", nil, &text); err != nil {
				return err
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().String("format", "nftables", "The format")
	return cmd
}
