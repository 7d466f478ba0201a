package waf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// The commands that work on a site's rule directory: propose, lint, promote.

func proposeCommand() *cobra.Command {
	var p Proposal
	var days, paranoia int
	var out string
	cmd := &cobra.Command{
		Use: "propose [--log <access log>] --author <who> --note <why> <request id>", Args: cobra.ExactArgs(1),
		Short: "Writes the narrowest exclusion that would let a request pass, for review",
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := lookUp(cmd, args[0])
			if err != nil {
				return err
			}
			if p.Matches, err = ParseMatches(line.Matched); err != nil {
				return fmt.Errorf("the log line's waf_matched: %w", err)
			}
			p.Path, p.Request, p.Expires = line.Path, line.RequestID, time.Now().AddDate(0, 0, days)
			if p.Costs, err = Costs(p.Matches, paranoia); err != nil {
				return err
			}
			text, err := p.Text()
			if err != nil {
				return err
			}
			if out == "" {
				_, err = io.WriteString(cmd.OutOrStdout(), text)
				return err
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return fmt.Errorf("writing the proposal: %w", err)
			}
			_, err = f.WriteString(text)
			return errors.Join(err, f.Close())
		},
	}
	requestFlags(cmd)
	cmd.Flags().StringVar(&p.Author, "author", "", "who answers for the exclusion")
	cmd.Flags().StringVar(&p.Note, "note", "", "why it is needed")
	cmd.Flags().IntVar(&p.ID, "id", 10_000, "the rule id, 1 to 89999, unique among the site's rules")
	cmd.Flags().IntVarP(&paranoia, "paranoia", "p", 1, "the site's paranoia level, at which it is told what the exclusion costs")
	cmd.Flags().IntVar(&days, "days", 180, "days until it should be looked at again")
	cmd.Flags().StringVarP(&out, "output", "o", "", "the file to write; it must not exist")
	return cmd
}

func lintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lint [--log <access log>] <rules directory>", Args: cobra.ExactArgs(1),
		Short: "Checks a site's rule directory, compiles it, and warns of exclusions that have expired or are not used",
		Long: `
Warns of exclusions whose expiry has passed, or that have none, and of virtual patches that have expired.

With --log, it also warns of exclusions for paths that no request in the log had. An exclusion keeps its rule from matching,
so that the access log alone cannot tell whether it still would: let a shadow judge without exclusions for a while,

	waf { shadow { exclusions off } }

and lint warns of those whose rule has matched in no request that the shadow judged.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := ReadRules(os.DirFS(args[0]))
			if err != nil {
				return err
			}
			warnings, err := Lint(files, time.Now())
			if err != nil {
				return err
			}
			if name, _ := cmd.Flags().GetString("log"); name != "" {
				log, err := openLog(cmd, name)
				if err != nil {
					return err
				}
				defer log.Close()
				unused, err := Unused(files, log)
				if err != nil {
					return err
				}
				warnings = append(warnings, unused...)
			}
			expired, err := expiredPatches(time.Now())
			if err != nil {
				return err
			}
			for _, w := range append(warnings, expired...) {
				cmd.PrintErrf("warning: %s:%d: %s\n", w.File, w.Line, w.Text)
			}
			cfg := Config{Paranoia: 1, Mode: Block, BodyLimit: defaultBodyLimit, Rules: files}
			if _, err := New(cfg, bodies); err != nil {
				return cfg.locate(err)
			}
			cmd.Printf("%s: the rules compile\n", args[0])
			return nil
		},
	}
	cmd.Flags().StringP("log", "l", "", "the access log (JSON lines): warn of exclusions for paths that are not in it")
	return cmd
}

func promoteCommand() *cobra.Command {
	var p Promotion
	var site, log string
	var dry bool
	cmd := &cobra.Command{
		Use: "promote --from <candidate> --to <rules directory> [--log <log>]", Args: cobra.NoArgs,
		Short: "Makes a rule directory that a shadow has tried the site's own",
		Long: `
The candidate is checked and compiled; what does not compile is refused. Then it takes the place of the site's directory
in one step, and that one is kept beside it as <directory>.before-<time>. A running gateway takes the change up within
seconds. With --log, it tells first what the shadow has said since the candidate was last changed.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.From == "" || p.To == "" {
				return errors.New("--from and --to: which directory is to take the place of which?")
			}
			files, err := p.Load()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			changes := p.Changes(files)
			for _, change := range changes {
				fmt.Fprintln(out, change)
			}
			if err := p.tellShadow(cmd, log, site); err != nil {
				return err
			}
			if dry || len(changes) == 0 {
				fmt.Fprintln(out, "nothing was changed")
				return nil
			}
			backup, err := p.Install(files, time.Now())
			if err != nil {
				return fmt.Errorf("promoting %s: %w", p.From, err)
			}
			fmt.Fprintf(out, "%s is now %s", p.To, p.From)
			if backup != "" {
				fmt.Fprintf(out, "; what it was is in %s", backup)
			}
			fmt.Fprintln(out)
			return nil
		},
	}
	cmd.Flags().StringVar(&p.From, "from", "", "the candidate, as in waf { shadow { rules <dir> } }")
	cmd.Flags().StringVar(&p.To, "to", "", "the site's directory, as in waf { rules <dir> }")
	cmd.Flags().StringSliceVarP(&p.Apps, "app", "a", nil, "application packages, as in waf { app … }")
	cmd.Flags().StringVarP(&log, "log", "l", "", "the log with the shadow's lines")
	cmd.Flags().StringVar(&site, "site", "", "the site whose shadow is meant; default: all")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "tell, and change nothing")
	return cmd
}

// tellShadow says what the shadow has told since the candidate was last changed.
func (p Promotion) tellShadow(cmd *cobra.Command, name, site string) error {
	if name == "" {
		return nil
	}
	since, err := lastChange(os.DirFS(p.From))
	if err != nil {
		return err
	}
	log, err := openLog(cmd, name)
	if err != nil {
		return err
	}
	defer log.Close()
	s, err := SummariseShadow(log, site, since)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Since %s: ", since.Format(time.RFC3339))
	return s.Write(cmd.OutOrStdout(), 10)
}

func shadowCommand() *cobra.Command {
	var log, site string
	var within time.Duration
	var top int
	cmd := &cobra.Command{
		Use: "shadow --log <access log> [--site <name>] [--within 24h]", Args: cobra.NoArgs,
		Short: "Says what a shadow would have refused, and whose requests those were",
		Long: `
Reads what the shadow of waf { shadow { … } } has told in the log: what a higher paranoia level, or a candidate for the rule
directory, would have refused, where, by which rules, and of whom (users, or addresses of those not logged in). The last
request of each kind is named, for waf explain and waf propose.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if log == "" {
				return errors.New("--log: which file is the log? (- for standard input)")
			}
			var since time.Time
			if within > 0 {
				since = time.Now().Add(-within)
			}
			in, err := openLog(cmd, log)
			if err != nil {
				return err
			}
			defer in.Close()
			s, err := SummariseShadow(in, site, since)
			if err != nil {
				return err
			}
			return s.Write(cmd.OutOrStdout(), top)
		},
	}
	cmd.Flags().StringVarP(&log, "log", "l", "", "the log with the shadow's lines (JSON; - is standard input)")
	cmd.Flags().StringVar(&site, "site", "", "the site whose shadow is meant; default: all")
	cmd.Flags().DurationVar(&within, "within", 0, "only what was told in this time, such as 24h; default: all of the log")
	cmd.Flags().IntVar(&top, "top", 20, "how many combinations of path and rules to list")
	return cmd
}
