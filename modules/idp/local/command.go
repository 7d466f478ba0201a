package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/standing"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "user",
		Usage: "list|add|approve|reject|disable|enable|compromise|reset-password|reset-mfa|change|import|delete",
		Short: "Manages the people who use a running gateway",
		Long: `
These commands talk to the administration endpoint of the running gateway. What they change holds at once, on every node
that shares the store; each change is an event with the name of who made it.

A person is named by their user name, or as provider:subject, such as local:ada or corp:248289761001: as logs do. People
whom another identity provider vouches for can be approved, rejected, disabled, enabled, and have what was issued to them
voided; their accounts are kept there.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, userCommands()...)
		},
	})
}

func userCommands() []*cobra.Command {
	one := func(use, short, long string, say func(io.Writer, adminDone)) *cobra.Command {
		cmd := &cobra.Command{
			Use: use + " <user> [--note text]", Short: short, Long: long, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return actOn(cmd, use, adminAsk{User: args[0]}, say) },
		}
		cmd.Flags().String("note", "", "Why, for the record")
		return cmd
	}
	approve := one("approve", "Lets a person in who waits for it", "", sayState)
	approve.Flags().Bool("ahead", false, "Also one who has not asked yet")
	remove := one("delete", "Removes an account for good", "Removes an account, with its sessions and all that was issued to it. Of somebody whom another\nidentity provider vouches for, what was decided is forgotten.", sayState)
	remove.Flags().Bool("yes", false, "Yes, for good")
	return []*cobra.Command{
		listUsers(), addUser(), changeUser(), importUsers(), approve, remove,
		one("reject", "Does not let a person in who waits for it", "", sayState),
		one("disable", "Keeps a person out, and ends what runs in their name", "Ends the person's sessions and whatever runs in them within a second, and voids tokens, keys and\nlinks of theirs until they are enabled again.", sayState),
		one("enable", "Lets a disabled person in again", "", sayState),
		one("compromise", "Voids what was issued to a person, and has them choose a new password", "Ends the person's sessions, voids tokens, keys and links issued so far, and asks for a new password\nwhen they next log in. If somebody else may know the password by now, use reset-password: it makes\nthe old one worthless.", sayState),
		one("reset-password", "Makes a password worthless, and a link to set another", "", sayLink),
		one("reset-mfa", "Takes a person's second factors away", "The person must enrol again, where a second factor is demanded. Make sure that it is they who ask.", func(w io.Writer, d adminDone) {
			fmt.Fprintf(w, "%s had %d second factors, and has none now%s\n", d.User.User, d.Factors, ended(d))
		}),
	}
}

// actOn asks the gateway to do something with one person, and says what came of it.
func actOn(cmd *cobra.Command, verb string, ask adminAsk, say func(io.Writer, adminDone)) error {
	if yes, err := cmd.Flags().GetBool("yes"); err == nil && !yes {
		return fmt.Errorf("this removes %s for good: say so with --yes; to keep them out for now, use `gatehouse user disable`", ask.User)
	}
	ask.Note, _ = cmd.Flags().GetString("note")
	ask.Ahead, _ = cmd.Flags().GetBool("ahead")
	ask.Approve, _ = cmd.Flags().GetBool("approve")
	ask.Operator = gatehouse.Operator(cmd)
	if cmd.Flags().Changed("role") || cmd.Flags().Changed("no-roles") {
		roles, _ := cmd.Flags().GetStringArray("role")
		ask.Roles = &roles
	}
	for name, to := range map[string]**string{"display-name": &ask.Title, "email": &ask.Email} {
		if cmd.Flags().Changed(name) {
			text, _ := cmd.Flags().GetString(name)
			*to = &text
		}
	}
	var done adminDone
	if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminUsers+"/"+verb, ask, &done); err != nil {
		return err
	}
	say(cmd.OutOrStdout(), done)
	return nil
}

func ended(d adminDone) string {
	if d.Sessions == 0 {
		return ""
	}
	return fmt.Sprintf("; %d sessions ended", d.Sessions)
}

func sayState(w io.Writer, d adminDone) {
	if d.User.Change == Compromised {
		fmt.Fprintf(w, "%s must choose a new password at the next login%s\n", d.User.User, ended(d))
		return
	}
	fmt.Fprintf(w, "%s is %s%s\n", d.User.User, d.User.State, ended(d))
}

func sayLink(w io.Writer, d adminDone) {
	fmt.Fprintf(w, "%s has no password now%s. This link sets one; it works once, for %d hours:\n\n    %s\n\n",
		d.User.User, ended(d), int(linkLifetime/time.Hour), d.Link)
	if d.User.State == standing.Pending {
		fmt.Fprintf(w, "They wait for approval: gatehouse user approve %s\n", d.User.User)
	}
}

func addUser() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add <user> [--role role]... [--display-name text] [--email address] [--approve]", Args: cobra.ExactArgs(1),
		Short: "Makes an account, and a link to set its password",
		Long:  "Makes an account of the gateway's own. It waits for approval, by a second command and perhaps a second\nperson, unless --approve is given. Nobody but the account's owner needs to know its password.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return actOn(cmd, "add", adminAsk{User: args[0]}, func(w io.Writer, d adminDone) {
				fmt.Fprintf(w, "made %s, %s\n", d.User.User, d.User.State)
				sayLink(w, d)
			})
		},
	}
	roleFlags(cmd, "A role of the person; may be repeated")
	cmd.Flags().Bool("approve", false, "Approve it at once")
	return cmd
}

func roleFlags(cmd *cobra.Command, roles string) {
	cmd.Flags().StringArray("role", nil, roles)
	cmd.Flags().String("display-name", "", "What people call them")
	cmd.Flags().String("email", "", "Their address")
}

func changeUser() *cobra.Command {
	cmd := &cobra.Command{
		Use: "change <user> [--role role]... [--no-roles] [--display-name text] [--email address]", Args: cobra.ExactArgs(1),
		Short: "Gives an account other roles or names, and ends its sessions",
		RunE: func(cmd *cobra.Command, args []string) error {
			none, _ := cmd.Flags().GetBool("no-roles")
			if none && cmd.Flags().Changed("role") {
				return errors.New("say --role or --no-roles, not both")
			}
			return actOn(cmd, "change", adminAsk{User: args[0]}, func(w io.Writer, d adminDone) {
				fmt.Fprintf(w, "%s has the roles: %s%s\n", d.User.User, strings.Join(d.User.Roles, " "), ended(d))
			})
		},
	}
	roleFlags(cmd, "A role that the person shall have; may be repeated, and replaces all others")
	cmd.Flags().Bool("no-roles", false, "Take all roles away")
	return cmd
}

func listUsers() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--state state] [--json]", Args: cobra.NoArgs,
		Short: "Shows the accounts, and who else waits for approval or was judged",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all, l adminList
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminUsers, nil, &all); err != nil {
				return err
			}
			state, _ := cmd.Flags().GetString("state")
			l.Users = []Account{}
			for _, u := range all.Users {
				if state == string(u.State) || state == "" && u.State != standing.Deleted {
					l.Users = append(l.Users, u)
				}
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(l)
			}
			return writeUsers(cmd.OutOrStdout(), l)
		},
	}
	cmd.Flags().String("state", "", "Only those who are pending, approved, rejected, disabled or deleted; default: all but deleted")
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func writeUsers(w io.Writer, l adminList) error {
	day := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Format(time.DateOnly)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "USER\tSTATE\tROLES\tPASSWORD\tCREATED\tLAST LOGIN\tNAME\tNOTE")
	for _, u := range l.Users {
		password := u.Password
		if u.Change != "" {
			password += ", to change"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%q\t%q\n", u.User, u.State, strings.Join(u.Roles, " "), password,
			day(u.Created), day(u.LastLogin), u.Name, u.Note)
	}
	return table.Flush()
}

func importUsers() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import <file> [--format htpasswd|csv|json] [--role role]... [--approve] [--skip-existing] [--dry-run]", Args: cobra.ExactArgs(1),
		Short: "Makes accounts of a list from elsewhere",
		Long: `
Takes htpasswd files (name:hash), CSV with a header line (name, hash, roles, display_name, email; roles separated by spaces)
and JSON (a list of objects with these members). Hashes are bcrypt or Argon2id; a bcrypt hash is replaced by Argon2id
when its owner next logs in. All accounts are judged before any is made, and wait for approval unless --approve is given.`,
		RunE: runImport,
	}
	cmd.Flags().String("format", "", "htpasswd, csv or json; default: by the file's name")
	cmd.Flags().StringArray("role", nil, "A role of everybody in the list; may be repeated")
	cmd.Flags().String("provider", "", "The local provider, if there are several")
	cmd.Flags().Bool("approve", false, "Approve them at once")
	cmd.Flags().Bool("skip-existing", false, "Leave accounts that there are already as they are")
	cmd.Flags().Bool("dry-run", false, "Say what would be done, and do nothing")
	return cmd
}

func runImport(cmd *cobra.Command, args []string) error {
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	flag := func(name string) bool { v, _ := cmd.Flags().GetBool(name); return v }
	ask := adminAsk{List: string(text), Approve: flag("approve"), Skip: flag("skip-existing"), Try: flag("dry-run"), Operator: gatehouse.Operator(cmd)}
	roles, _ := cmd.Flags().GetStringArray("role")
	ask.Roles = &roles
	ask.Provider, _ = cmd.Flags().GetString("provider")
	if ask.Format, _ = cmd.Flags().GetString("format"); ask.Format == "" {
		ask.Format = formatOf(args[0])
	}
	if _, err := ParseImport(ask.Format, text); err != nil { // here, where the file is
		return fmt.Errorf("%s: %w", args[0], err)
	}
	var done adminDone
	if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminUsers+"/import", ask, &done); err != nil {
		return err
	}
	what := "imported"
	if ask.Try {
		what = "would import"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s %d accounts, skipped %d\n", what, done.Made, done.Skipped)
	if done.Without > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "%d of them have no password: gatehouse user reset-password <user> makes a link\n", done.Without)
	}
	if !ask.Approve && done.Made > 0 && !ask.Try {
		fmt.Fprintln(cmd.OutOrStdout(), "they wait for approval: gatehouse user approve <user>")
	}
	return nil
}

// formatOf guesses a list's format by its file's name.
func formatOf(file string) string {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".csv":
		return "csv"
	case ".json":
		return "json"
	}
	return "htpasswd"
}
