package waf

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/keyring"
)

// mistakeCommand lists and shows what provers were wrong about.
func mistakeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mistake",
		Short: "Lists and shows the requests that the WAF's prover was wrong about",
		Long: `
A running gateway puts some of the requests that were proven harmless before all rules after all. When a rule matches one,
the prover is off for that rule set (event waf.prover_off), and the request is kept in the state directory, sealed by the
house's keys. Please send what show says with a report, without what is nobody's business.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var place mistakePlace
	var raw bool
	list := &cobra.Command{
		Use: "list [--state DIR] [--keys FILE]", Args: cobra.NoArgs, Short: "Lists them, oldest first",
		RunE: func(cmd *cobra.Command, _ []string) error { return place.list(cmd.OutOrStdout()) },
	}
	show := &cobra.Command{
		Use: "show [--state DIR] [--keys FILE] [--raw] <name>", Args: cobra.ExactArgs(1),
		Short: "Shows one: which rules matched, where, and the request itself",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := place.open(args[0])
			if err != nil {
				return err
			}
			if raw {
				_, err = io.WriteString(cmd.OutOrStdout(), m.Request.text())
				return err
			}
			return m.Write(cmd.OutOrStdout())
		},
	}
	show.Flags().BoolVar(&raw, "raw", false, "the request alone and as it came, for `gatehouse waf test`; not for a terminal")
	for _, sub := range []*cobra.Command{list, show} {
		sub.SilenceUsage = true
		sub.Flags().StringVar(&place.state, "state", defaultStateDir(), "the state directory, as in gatehouse { state_dir … }")
		sub.Flags().StringVar(&place.keys, "keys", "", "the key file, as in gatehouse { keys file … }; default: the file keys in the state directory")
		cmd.AddCommand(sub)
	}
	return cmd
}

// mistakePlace is where mistakes and the keys to them lie.
type mistakePlace struct{ state, keys string }

func (p mistakePlace) ring() (*keyring.Ring, error) {
	return keyring.Load(cmp.Or(p.keys, filepath.Join(p.state, "keys")))
}

func (p mistakePlace) open(name string) (Mistake, error) {
	ring, err := p.ring()
	if err != nil {
		return Mistake{}, err
	}
	m, err := OpenMistake(p.state, name, ring)
	if err != nil {
		return m, fmt.Errorf("opening %s: %w", name, err)
	}
	return m, nil
}

func (p mistakePlace) list(w io.Writer) error {
	names, err := Mistakes(p.state)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		fmt.Fprintf(w, "none in %s\n", p.state)
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSITE\tREQUEST\tWHY")
	for _, name := range names {
		m, err := p.open(name)
		if err != nil {
			m.Why = err.Error()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, m.Site, m.RequestID, m.Why)
	}
	return t.Flush()
}
