package authz

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name: "access", Usage: "review [--format table|csv|markdown|json] [--sign-off --by <name>]", Short: "Shows who can reach what, for review, and keeps the sign-off",
		Long: `
review asks the running gateway what its policies let in: each person, service account, key and certificate that it knows, each
role and group that policies name, and everybody. Policies are asked as requests ask them. With --sign-off it is put on record
that somebody has reviewed just this; where that has changed meanwhile, it is refused.`,
		CobraFunc: func(cmd *cobra.Command) {
			sub := &cobra.Command{
				Use: "review", Short: "Shows who can reach what, or signs it off", Args: cobra.NoArgs, RunE: reviewCommand,
				Example: `  gatehouse access review --format markdown > review.md
  gatehouse access review --sign-off --by "Olga Meier" --note "two keys revoked" --digest 4f5c…`,
			}
			f := sub.Flags()
			f.String("format", "table", "table, csv, markdown or json")
			f.String("stale", defaultStale, "What was not used for so long is stale")
			f.String("user", "", "Only this one, as provider:subject")
			f.Bool("sign-off", false, "Put on record that this was reviewed")
			f.String("by", "", "With --sign-off: who has reviewed it")
			f.String("note", "", "With --sign-off: what there is to note")
			f.String("digest", "", "With --sign-off: that of the report that was reviewed; default: it is shown now")
			gatehouse.AdminCommands(cmd, sub)
		},
	})
}

func reviewCommand(cmd *cobra.Command, _ []string) error {
	flag := func(name string) string {
		v, _ := cmd.Flags().GetString(name)
		return v
	}
	sign, _ := cmd.Flags().GetBool("sign-off")
	switch {
	case sign && flag("by") == "":
		return errors.New("say who has reviewed it: --by")
	case sign && flag("user") != "":
		return errors.New("a sign-off is of everything: leave --user out")
	case !sign && flag("by")+flag("note")+flag("digest") != "":
		return errors.New("--by, --note and --digest go with --sign-off")
	}
	seen := flag("digest")
	if seen == "" {
		var report Report
		q := url.Values{"stale": {flag("stale")}, "user": {flag("user")}}
		if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminReview+"?"+q.Encode(), nil, &report); err != nil {
			return err
		}
		if err := report.write(cmd.OutOrStdout(), flag("format")); err != nil {
			return err
		}
		seen = report.Digest
	}
	if !sign {
		return nil
	}
	var done SignOff
	ask := signAsk{By: flag("by"), Note: flag("note"), Digest: seen, Operator: gatehouse.Operator(cmd)}
	if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminSignOff, ask, &done); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "signed off: %s\n", done.Digest)
	return err
}

func (r *Report) write(w io.Writer, format string) error {
	switch format {
	case "table":
		return r.WriteTable(w)
	case "csv":
		return r.WriteCSV(w)
	case "markdown":
		return r.WriteMarkdown(w)
	case "json":
		return json.NewEncoder(w).Encode(r)
	}
	return fmt.Errorf("format %q: write table, csv, markdown or json", format)
}
