package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/chain"
)

// why fills the command that tells everything known of one request.
func why(cmd *cobra.Command) {
	cmd.Args, cmd.SilenceUsage = cobra.ExactArgs(1), true
	cmd.Flags().StringArrayP("log", "l", nil, "A log as JSON, one object a line (- is standard input); may be given again")
	cmd.Flags().String("audit", "", "The directory of the audit log, if not the default")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var s Story
		files, _ := cmd.Flags().GetStringArray("log")
		for _, file := range files {
			if err := readLog(cmd, file, func(log io.Reader) error { return s.Scan(log, args[0]) }); err != nil {
				return err
			}
		}
		dir, _ := cmd.Flags().GetString("audit")
		named := dir != ""
		if !named {
			dir = directory(nil)
		}
		q := Query{Request: args[0]}
		_, err := chain.Verify(dir, chain.VerifyOptions{Each: func(r *chain.Record) error {
			if q.Matches(r) {
				s.Record = append(s.Record, Line(r))
			}
			return nil
		}})
		if err != nil && (named || !errors.Is(err, fs.ErrNotExist)) {
			return fault(err)
		}
		return s.Write(cmd.OutOrStdout(), args[0])
	}
}

// readLog calls f with the log of this name; - is standard input.
func readLog(cmd *cobra.Command, name string, f func(io.Reader) error) error {
	if name == "-" {
		return f(cmd.InOrStdin())
	}
	log, err := os.Open(name)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := f(log); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
