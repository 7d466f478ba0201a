package breakglass

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "break-glass",
		Usage: "seal|use|status",
		Short: "Makes the codes that let somebody in when nothing else does",
		Long: `
A break-glass code opens one short session with administrative roles, without any identity provider and without a network
but the one to the gateway. Make some when you install the gateway, print them, put each into an envelope, and keep these
where the people are who will need them. Each use is told loudly, and every request of its session is an event.

These commands talk to the administration endpoint of the running gateway.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, sealCommand(), useCommand(), statusCommand())
		},
	})
}

func sealCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "seal [-n number] [--roles role,...] [--keep]", Args: cobra.NoArgs,
		Short: "Makes new codes, shows them once, and voids the old ones",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a := ask{Operator: gatehouse.Operator(cmd)}
			a.Number, _ = cmd.Flags().GetInt("number")
			a.Roles, _ = cmd.Flags().GetStringSlice("roles")
			a.Keep, _ = cmd.Flags().GetBool("keep")
			var s sealed
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminPath+"/seal", a, &s); err != nil {
				return err
			}
			writeSealed(cmd.OutOrStdout(), s)
			return nil
		},
	}
	cmd.Flags().IntP("number", "n", 5, "How many codes to make")
	cmd.Flags().StringSlice("roles", nil, "The roles that they open, rather than those of the configuration")
	cmd.Flags().Bool("keep", false, "Keep the codes that there are")
	return cmd
}

func writeSealed(w io.Writer, s sealed) {
	fmt.Fprintf(w, "Emergency access at %s\n\n", s.URL)
	for _, one := range s.Sealed {
		fmt.Fprintf(w, "    seal %s    %s    %s, %v\n", one.Name, one.Code, strings.Join(one.Roles, " "), s.Lasts)
	}
	fmt.Fprintf(w, "\nThey are shown this once. Print them, put each into an envelope of its own, and clear the screen.\n")
	if s.Voided > 0 {
		fmt.Fprintf(w, "%d older codes are worthless now: destroy them.\n", s.Voided)
	}
}

func useCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "use --purpose text", Args: cobra.NoArgs,
		Short: "Uses a code, read from standard input, and shows a link that opens the session",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a := ask{Operator: gatehouse.Operator(cmd)}
			a.Purpose, _ = cmd.Flags().GetString("purpose")
			if purposeOf(a.Purpose) == "" {
				return errors.New("say what it is used for: --purpose text")
			}
			fmt.Fprint(cmd.ErrOrStderr(), "The sealed code: ")
			line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 1<<10)).ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("reading the code: %w", err)
			}
			a.Code = strings.TrimSpace(line)
			var o opened
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminPath+"/use", a, &o); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Seal %s is broken. This link opens the session, once, within %d minutes:\n\n    %s\n", o.Seal.Name, int(linkLife/time.Minute), o.Link)
			return nil
		},
	}
	cmd.Flags().String("purpose", "", "What it is used for, for the record")
	return cmd
}

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [--json]", Args: cobra.NoArgs,
		Short: "Says how many codes are left, and which were used; fails when there are none",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s state
			if err := gatehouse.AskAdmin(cmd, http.MethodGet, adminPath, nil, &s); err != nil {
				return err
			}
			if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(s); err != nil {
					return err
				}
			} else {
				writeState(cmd.OutOrStdout(), s)
			}
			if len(s.Seals) == 0 {
				return errors.New("there is no code left: make some with `gatehouse break-glass seal`")
			}
			return nil
		},
	}
	cmd.Flags().Bool("json", false, "Write JSON")
	return cmd
}

func writeState(w io.Writer, s state) {
	fmt.Fprintf(w, "%d codes left, for %s\n", len(s.Seals), s.URL)
	for _, one := range s.Seals {
		fmt.Fprintf(w, "    seal %s    %s    made %s by %s\n", one.Name, strings.Join(one.Roles, " "), one.Made.Format(time.DateOnly), one.By)
	}
	for _, u := range s.Uses {
		fmt.Fprintf(w, "used: seal %s at %s, from %s: %q\n", u.Seal, u.When.Format(time.DateTime), u.From, u.Purpose)
	}
	if len(s.Seals) > 0 && len(s.Uses) > 0 && s.Uses[0].When.After(s.Seals[0].Made) {
		fmt.Fprintln(w, "Codes were used since these were made: seal new ones.")
	}
}
