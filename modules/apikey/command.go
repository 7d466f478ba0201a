package apikey

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
)

func init() {
	register("service-account", "add|list|disable|enable|delete", "Manages the programs that may use a running gateway", `
A service account is a program that acts for itself: a backup, a monitor, a build. It has roles, which the policies of sites
ask for, or is named there (allow service_account backup). It gets in by API keys.`, accountCommands)
	register("api-key", "create|list|revoke", "Issues and revokes the keys of programs", `
A key is shown once, when it is made. It is for some hosts, and may be for some paths, methods and networks only. Programs send
it as a bearer token, as the password of HTTP Basic, or in the header that the site names with api_key_header.`, keyCommands)
}

func register(name, usage, short, long string, subs func() []*cobra.Command) {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name: name, Usage: usage, Short: short,
		Long: long + "\n\nThese commands talk to the administration endpoint of the running gateway. What they change holds at once, on every\nnode that shares the store, also for what runs already.",
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, subs()...)
		},
	})
}

func accountCommands() []*cobra.Command {
	add := &cobra.Command{
		Use: "add <name> [--role r]... [--tenant t] [--note text]", Short: "Makes a service account", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := accountAsk{Name: args[0], Roles: words(cmd, "role"), Tenant: word(cmd, "tenant"), Note: word(cmd, "note"), Operator: gatehouse.Operator(cmd)}
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminAccounts+"/add", ask, nil); err != nil {
				return err
			}
			return say(cmd, "made the service account %s; give it a key: gatehouse api-key create --account %s --host <host>\n", ask.Name, ask.Name)
		},
	}
	add.Flags().StringSlice("role", nil, "A role; may be given several times")
	add.Flags().String("tenant", "", "The tenant it belongs to, in a house of several")
	add.Flags().String("note", "", "What it is for")
	return []*cobra.Command{
		add, listAccounts(),
		onAccount("disable", "Keeps a service account out, and cuts what runs in its name", "disabled"),
		onAccount("enable", "Lets a disabled service account in again", "enabled"),
		onAccount("delete", "Removes a service account and all its keys", "deleted"),
	}
}

func onAccount(what, short, done string) *cobra.Command {
	cmd := &cobra.Command{
		Use: what + " <name> [--note text]", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := accountAsk{Name: args[0], Note: word(cmd, "note"), Operator: gatehouse.Operator(cmd)}
			var answer accountDone
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminAccounts+"/"+what, ask, &answer); err != nil {
				return err
			}
			return say(cmd, "%s the service account %s%s\n", done, args[0], alsoRevoked(answer.Revoked))
		},
	}
	cmd.Flags().String("note", "", "Why, for the record")
	return cmd
}

func alsoRevoked(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return fmt.Sprintf(", and revoked %d keys", len(ids))
}

func listAccounts() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--json]", Short: "Shows the service accounts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list accountList
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminAccounts, nil, &list); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tROLES\tTENANT\tMADE\tSTATE\tNOTE")
			for _, a := range list.Accounts {
				state := "enabled"
				if a.Disabled {
					state = "disabled"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%q\n", a.Name, strings.Join(a.Roles, ","), a.Tenant, a.Created.Format(time.DateOnly), state, a.Note)
			}
			return table.Flush()
		},
	}
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func keyCommands() []*cobra.Command {
	return []*cobra.Command{createKey(), listKeys(), revokeKeys()}
}

func createKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create --account <name> | --user <provider:subject> --host <host>... [--path /p/*]... [--method M]... [--network cidr]... [--lasts 90d]",
		Short: "Makes a key and shows it, once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := keyAsk{
				Account: word(cmd, "account"), User: word(cmd, "user"), Tenant: word(cmd, "tenant"), Hosts: words(cmd, "host"), Paths: words(cmd, "path"),
				Methods: words(cmd, "method"), Networks: words(cmd, "network"), Scopes: words(cmd, "scope"), Workspaces: words(cmd, "workspace"),
				Certificate: word(cmd, "certificate"), Lasts: word(cmd, "lasts"), Note: word(cmd, "note"), Operator: gatehouse.Operator(cmd),
			}
			var done keyDone
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminKeys+"/create", ask, &done); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "key %s of %s, until %s; it is not shown again:\n", done.Key.ID, done.Key.Owner(), done.Key.Expires.Format(time.DateTime))
			return say(cmd, "%s\n", done.Text)
		},
	}
	cmd.Flags().String("account", "", "The service account it speaks for")
	cmd.Flags().String("user", "", "Or the person whose it is, as provider:subject")
	cmd.Flags().String("tenant", "", "With --user, in a house of tenants: on whose sites")
	cmd.Flags().StringSlice("host", nil, "A site it is for; may be given several times")
	cmd.Flags().StringSlice("path", nil, "A path it is for: exact, or a subtree such as /api/*; default: all")
	cmd.Flags().StringSlice("method", nil, "A method it is for; default: all")
	cmd.Flags().StringSlice("network", nil, "An address or network it may be used from; default: anywhere")
	cmd.Flags().StringSlice("scope", nil, "A scope, for policies that ask for one")
	cmd.Flags().String("certificate", "", "The SHA-256 of the client certificate that connections must show with it")
	cmd.Flags().StringSlice("workspace", nil, "A workspace it is for, where the site has some")
	cmd.Flags().String("lasts", defaultLife, "How long it is good for, such as 12h or 90d; two years at the most")
	cmd.Flags().String("note", "", "What it is for")
	return cmd
}

func listKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--account name | --user provider:subject] [--limit n] [--json]", Short: "Shows keys, never their texts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{}
			if owner := ownerFlag(cmd); owner != "" {
				q.Set("owner", owner)
			}
			limit, _ := cmd.Flags().GetInt("limit")
			q.Set("limit", strconv.Itoa(limit))
			var list keyList
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminKeys+"?"+q.Encode(), nil, &list); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			return writeKeys(cmd.OutOrStdout(), list)
		},
	}
	ownerFlags(cmd, "Only those of")
	cmd.Flags().Int("limit", adminLimit, "So many keys at the most")
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func writeKeys(w io.Writer, list keyList) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tOWNER\tHOSTS\tPATHS\tMETHODS\tNETWORKS\tEXPIRES\tLAST USED\tNOTE")
	for _, k := range list.Keys {
		var paths, nets []string
		for _, p := range k.Scope.Paths {
			paths = append(paths, p.String())
		}
		for _, n := range k.Scope.Networks {
			nets = append(nets, n.String())
		}
		last := "never"
		if !k.LastUsed.IsZero() {
			last = k.LastUsed.Format(time.DateTime)
		}
		fmt.Fprintf(table, "%s\t%q\t%s\t%s\t%s\t%s\t%s\t%s\t%q\n", k.ID, k.Owner, strings.Join(k.Scope.Hosts, ","), strings.Join(paths, ","),
			strings.Join(k.Scope.Methods, ","), strings.Join(nets, ","), k.Expires.Format(time.DateTime), last, k.Note)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if list.More {
		_, err := fmt.Fprintf(w, "there are more than these %d: use --limit, --account or --user\n", len(list.Keys))
		return err
	}
	return nil
}

func revokeKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke <key> | --account name | --user provider:subject", Short: "Revokes a key, or all of an owner's", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := revokeAsk{Owner: ownerFlag(cmd), Operator: gatehouse.Operator(cmd)}
			if len(args) == 1 {
				ask.ID = args[0]
				if id, ok := keyText.Read(ask.ID); ok { // the key itself, found where it should not be
					ask.ID = id
				}
			}
			if (ask.ID == "") == (ask.Owner == "") {
				return errors.New("say which: the id of a key, --account name, or --user provider:subject")
			}
			var done revokeDone
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminKeys+"/revoke", ask, &done); err != nil {
				return err
			}
			if len(done.Revoked) == 0 {
				return errors.New("there is none: nothing was revoked")
			}
			return say(cmd, "revoked %d keys\n", len(done.Revoked))
		},
	}
	ownerFlags(cmd, "All of")
	return cmd
}

func ownerFlags(cmd *cobra.Command, which string) {
	cmd.Flags().String("account", "", which+" this service account")
	cmd.Flags().StringP("user", "u", "", which+" this person, as provider:subject")
}

func ownerFlag(cmd *cobra.Command) string {
	if account := word(cmd, "account"); account != "" {
		return identity.HouseServices + ":" + account
	}
	return word(cmd, "user")
}

func word(cmd *cobra.Command, flag string) string {
	v, _ := cmd.Flags().GetString(flag)
	return v
}

func words(cmd *cobra.Command, flag string) []string {
	v, _ := cmd.Flags().GetStringSlice(flag)
	return v
}

func say(cmd *cobra.Command, format string, args ...any) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format, args...)
	return err
}
