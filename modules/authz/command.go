package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "policy",
		Usage: "explain|test|shadow",
		Short: "Explains and tests who may do what",
		Long: `
explain says what would become of a request, and which rules say so; test runs the policy tests of a configuration. Both
read the configuration file, and need no running gateway. With --live, explain asks the gateway that runs, about a person
as their latest session has them, or their account. shadow shows what candidate policies of the running gateway would have
done otherwise.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, explainCommand(), testCommand(), shadowCommand())
		},
	})
}

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain --config <file> --url <url> [--method GET] [--user provider:subject] [--role r] …",
		Short: "Says what would become of a request, and why", Args: cobra.NoArgs, RunE: explain,
		Example: `  gatehouse policy explain -c Caddyfile --url https://app.example.com/admin/x --user local:ada --role staff --ip 10.0.0.7
  gatehouse policy explain --live --user corp:248289761001 --url /reports/q3`,
	}
	f := cmd.Flags()
	f.String("url", "/", "What is asked for: https://<host>/<path>, or a path on the first site")
	f.String("method", "GET", "By which method")
	f.Bool("live", false, "Ask the running gateway, about a person whom it knows")
	f.Bool("json", false, "Write JSON")
	for name, usage := range map[string]string{
		"user": "Who asks, as provider:subject", "role": "Their roles", "group": "Their groups", "claim": "Their claims, as name=value",
		"scope": "Scopes of their token", "workspace": "Workspaces of their token", "service_account": "The service account that asks",
		"guest":  "The link that somebody came by, by its id",
		"device": "Whether the device is known: known, unknown", "acr": "Their authentication context class",
		"ip": "The client's address", "time": "When, such as 2026-03-02T09:30:00+01:00; default: now",
	} {
		f.StringArray(strings.ReplaceAll(name, "_", "-"), nil, usage)
	}
	return cmd
}

func explain(cmd *cobra.Command, _ []string) error {
	var q liveQuestion
	flags := cmd.Flags()
	q.URL, _ = flags.GetString("url")
	q.Method, _ = flags.GetString("method")
	q.Live, _ = flags.GetBool("live")
	for _, facet := range facetNames() {
		values, err := flags.GetStringArray(strings.ReplaceAll(facet, "_", "-"))
		if err != nil {
			return err
		}
		for _, value := range values {
			if err := q.Say(facet, value); err != nil {
				return err
			}
		}
	}
	var answer liveAnswer
	if q.Live {
		if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminExplain, q, &answer); err != nil {
			return err
		}
	} else {
		sites, err := configured(cmd)
		if err != nil {
			return err
		}
		if answer.Answer, err = Ask(sites, q.Question); err != nil {
			return err
		}
	}
	if asJSON, _ := flags.GetBool("json"); asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(answer)
	}
	return writeAnswer(cmd.OutOrStdout(), q.Question, answer)
}

// configured reads the sites of the configuration that --config names.
func configured(cmd *cobra.Command) ([]SitePolicy, error) {
	file, _ := cmd.Flags().GetString("config")
	adapter, _ := cmd.Flags().GetString("adapter")
	config, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return nil, err
	}
	if len(config) == 0 {
		return nil, errors.New("name the configuration: --config /etc/gatehouse/Caddyfile; or, of the running gateway, --live --user <provider:subject>")
	}
	return ReadSites(config)
}

var outcomes = map[Outcome]string{
	Allow: "allowed", Prove: "allowed, once a second factor is proven", Login: "asked to log in", Deny: "refused",
}

func writeAnswer(w io.Writer, q Question, a liveAnswer) error {
	who := q.User
	switch {
	case q.Service != "":
		who = "service account " + q.Service
	case q.Guest != "":
		who = "the guest of link " + q.Guest
	case who == "" && q.who("").Known():
		who = "somebody"
	case who == "":
		who = "nobody"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s by %s, on site %s\n", outcomes[a.Outcome], q.Method, q.URL, who, a.Site)
	if a.Known != "" {
		fmt.Fprintf(&b, "  of the %s, with roles %s\n", a.Known, few(a.Roles))
	}
	fmt.Fprintf(&b, "  decided by %s\n", a.Rule)
	if !a.Until.IsZero() {
		fmt.Fprintf(&b, "  until %s\n", a.Until.Format(time.RFC3339))
	}
	for _, r := range a.Reasons {
		mark := "-"
		if r.Matched {
			mark = "*"
		}
		fmt.Fprintf(&b, "%s %s\n    %s\n", mark, r.Rule, r.Why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func testCommand() *cobra.Command {
	return &cobra.Command{
		Use: "test --config <file> [<file.policytest>...]", Short: "Runs the policy tests of a configuration, and further ones",
		Long: "Further files are put to the site whose name their URLs have; with paths alone, to the first.",
		RunE: func(cmd *cobra.Command, args []string) error {
			sites, err := configured(cmd)
			if err != nil {
				return err
			}
			total := 0
			for i := range sites {
				n, err := sites[i].Test()
				if total += n; err != nil {
					return err
				}
			}
			for _, file := range args {
				n, err := testFile(sites, file)
				if total += n; err != nil {
					return err
				}
			}
			if total == 0 {
				return errors.New("there are no policy tests: name files in `policy_tests`, or after this command")
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d policy tests passed\n", total)
			return err
		},
	}
}

// testFile runs a file against the site that serves what it asks for.
func testFile(sites []SitePolicy, file string) (int, error) {
	tests, err := loadTests(file)
	if err != nil {
		return 0, err
	}
	for n, t := range tests {
		host, _ := t.host()
		i := slices.IndexFunc(sites, func(s SitePolicy) bool { return host == "" || s.oracle.serves(host) })
		if i < 0 {
			return n, fmt.Errorf("policy test %s:%d: no site has the name %s", file, t.line, hostName(host))
		}
		if err := sites[i].oracle.try(t); err != nil {
			return n, fmt.Errorf("policy test %s:%d: %w", file, t.line, err)
		}
	}
	return len(tests), nil
}

func shadowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "shadow [--json]", Short: "Shows what the candidate policies of the running gateway would have done otherwise", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var answer shadowAnswer
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminShadow, nil, &answer); err != nil {
				return err
			}
			if len(answer.Sites) == 0 {
				return errors.New("no site has a candidate policy: write one into `policy_shadow { … }`")
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(answer)
			}
			return writeShadows(cmd.OutOrStdout(), answer.Sites)
		},
	}
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func writeShadows(w io.Writer, sites []ShadowReport) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range sites {
		fmt.Fprintf(table, "site %s: %d requests judged, %d kinds of difference\n", s.Site, s.Judged, len(s.Differences))
		if len(s.Differences) > 0 {
			fmt.Fprintln(table, "USER\tROUTE\tNOW\tTHEN\tREQUESTS\tLAST\tSUCH AS")
		}
		for _, d := range s.Differences {
			fmt.Fprintf(table, "%q\t%s\t%s: %s\t%s: %s\t%d\t%s\t%s %q (%s)\n", d.User, d.Route, d.Now, d.NowRule, d.Then, d.ThenRule,
				d.Count, d.Last.Format(time.DateTime), d.Method, d.Path, d.Request)
		}
		if s.More > 0 {
			fmt.Fprintf(table, "and %d requests of further people and routes\n", s.More)
		}
	}
	return table.Flush()
}
