package link

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name: "link", Usage: "create|list|revoke", Short: "Makes and revokes links for people without an account",
		Long: `
A link lets somebody in who has no account: on some paths of one site, for a while, so many times. It is shown once, when it
is made; send it to whom it is for, and to nobody else. Opening it takes a press of a button, so that programs that follow
links in mails do not use it up. The site's policy must allow guests: allow guest.

These commands talk to the administration endpoint of the running gateway. What they change holds at once, on every
node that shares the store, also for what runs already.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, createCommand(), listCommand(), revokeCommand())
		},
	})
}

func createCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --host <host> --path /p/*... --for <whom> [--expires 7d] [--uses 1] [--lasts 1h] [--method M]... [--network cidr]... [--pin]",
		Short: "Makes a link and shows it, once", Args: cobra.NoArgs,
		Example: `  gatehouse link create --host app.example.com --path '/offers/17/*' --for ines@supplier.example --expires 3d --owner local:ada`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := cmd.Flags()
			word := func(name string) string { v, _ := f.GetString(name); return v }
			words := func(name string) []string { v, _ := f.GetStringSlice(name); return v }
			a := ask{
				Host: word("host"), Paths: words("path"), Methods: words("method"), Networks: words("network"), Start: word("start"),
				Label: word("for"), Life: word("expires"), Lasts: word("lasts"), Owner: word("owner"), Note: word("note"),
				Operator: gatehouse.Operator(cmd),
			}
			a.MaxUses, _ = f.GetInt("uses")
			a.Pin, _ = f.GetBool("pin")
			if a.MaxUses == 0 {
				return fmt.Errorf("a link can be opened 1 to %d times", MaxUses)
			}
			var done created
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminLinks+"/create", a, &done); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "link %s for %q, until %s; it is not shown again:\n", done.Link.ID, done.Link.Label, done.Link.Expires.Format(time.DateTime))
			_, err := fmt.Fprintln(cmd.OutOrStdout(), done.URL)
			return err
		},
	}
	f := cmd.Flags()
	f.String("host", "", "The site it is for")
	f.StringSlice("path", nil, "What it opens: a path, or a subtree such as '/offers/17/*'; may be given several times")
	f.StringSlice("method", nil, "A method it is for; default: GET")
	f.StringSlice("network", nil, "An address or network it may be used from; default: anywhere")
	f.String("start", "", "The path, and perhaps query, that it leads to; default: the first --path")
	f.String("for", "", "Whom it is for, such as an address; shown by `link list`, in no log")
	f.String("expires", defaultLife, "After what time it ends, with what it has opened; a year at the most")
	f.Int("uses", 1, "How often it can be opened")
	f.String("lasts", defaultLasts, "How long one opening lasts, 24h at the most")
	f.Bool("pin", false, "It works only from the network from which it is opened first")
	f.String("owner", "", "The person who answers for it, as provider:subject: it ends when they are disabled")
	f.String("note", "", "What it is for, for the record")
	return cmd
}

func listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--limit n] [--json]", Short: "Shows the links, never their tokens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limit, _ := cmd.Flags().GetInt("limit")
			var l list
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminLinks+"?limit="+strconv.Itoa(limit), nil, &l); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(l)
			}
			return l.write(cmd.OutOrStdout(), time.Now())
		},
	}
	cmd.Flags().Int("limit", adminLimit, "So many links at the most")
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func (l list) write(w io.Writer, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LINK\tFOR\tHOST\tPATHS\tMETHODS\tUSES\tSTATE\tEXPIRES\tOWNER\tNOTE")
	for _, one := range l.Links {
		state := "open"
		switch {
		case !one.Revoked.IsZero():
			state = "revoked"
		case !now.Before(one.Expires):
			state = "expired"
		case one.Uses >= one.MaxUses:
			state = "used up"
		}
		owner := ""
		if one.Owner.Subject != "" {
			owner = one.Owner.String()
		}
		fmt.Fprintf(table, "%s\t%q\t%s\t%s\t%s\t%d/%d\t%s\t%s\t%q\t%q\n", one.ID, one.Label, one.Host(), texts(one.Scope.Paths),
			strings.Join(one.Scope.Methods, ","), one.Uses, one.MaxUses, state, one.Expires.Format(time.DateTime), owner, one.Note)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if l.More {
		_, err := fmt.Fprintf(w, "there are more than these %d: use --limit\n", len(l.Links))
		return err
	}
	return nil
}

func revokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke <link> [--note text]", Short: "Has a link count no more, and ends what it has opened", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			note, _ := cmd.Flags().GetString("note")
			a := revokeAsk{ID: idOf(args[0]), Note: note, Operator: gatehouse.Operator(cmd)}
			var done revoked
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminLinks+"/revoke", a, &done); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "revoked the link %s, and ended %d accesses\n", done.ID, done.Sessions)
			return err
		},
	}
	cmd.Flags().String("note", "", "Why, for the record")
	return cmd
}

// idOf is the id of a link, of which somebody may have pasted all: as it was found where it should not be.
func idOf(text string) string {
	if _, t, ok := strings.Cut(text, "?"+tokenParam+"="); ok {
		text = t
	}
	if id, ok := Text.Read(text); ok {
		return id
	}
	return text
}
