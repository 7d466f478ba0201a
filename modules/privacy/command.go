package privacy

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"filippo.io/age/armor"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "reveal",
		Usage: "<request id> --as <provider:subject> --why <text> [--identity <file>]",
		Short: "Hands out what the WAF's rules matched in a request, sealed to the analysts",
		Long: `
You need a role that the Caddyfile names, a reason, and a code of your authenticator application, or a backup code: it is asked
for, unless --code has it. Where the Caddyfile names approvers, one of them agrees before, with "reveal approve". All of it is on
record before anything is handed out, and so is what was refused.

The record is an age file. With --identity it is opened here, on this machine: run that where the analyst's identity is, not on
the gateway.`,
		CobraFunc: func(cmd *cobra.Command) {
			gatehouse.AdminCommands(cmd, approveCommand())
			gatehouse.AdminFlags(cmd)
			proofFlags(cmd)
			cmd.Flags().String("identity", "", "File with the age identity to open the record with; default: it is written as it is")
			cmd.Flags().Bool("json", false, "Write what was opened as JSON")
			cmd.Args = cobra.ExactArgs(1)
			cmd.RunE = runReveal
		},
	})
}

// proofFlags are how people say who they are.
func proofFlags(cmd *cobra.Command) {
	cmd.Flags().String("as", "", "Who you are, as provider:subject")
	cmd.Flags().String("code", "", "A code of your authenticator application, or a backup code; default: you are asked")
	cmd.Flags().String("why", "", "What it is for, such as a ticket; it goes on record")
}

// proofOf reads them.
func proofOf(cmd *cobra.Command) (ask proofAsk, err error) {
	one := func(name string) string { v, _ := cmd.Flags().GetString(name); return v }
	ask = proofAsk{User: one("as"), Code: one("code"), Why: one("why"), Operator: gatehouse.Operator(cmd)}
	if ask.User == "" {
		return ask, errors.New("say who you are: --as provider:subject, such as --as local:ada")
	}
	if _, err := ask.reason(); err != nil {
		return ask, err
	}
	if ask.Code == "" {
		fmt.Fprint(cmd.ErrOrStderr(), "Code: ")
		line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 128)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return ask, fmt.Errorf("reading the code: %w", err)
		}
		ask.Code = strings.TrimSpace(line)
	}
	return ask, nil
}

func approveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "approve <request id> --for <provider:subject> --as <provider:subject> --why <text>", Args: cobra.ExactArgs(1),
		Short: "Agrees that somebody else has the record of a request, once, within an hour",
		RunE: func(cmd *cobra.Command, args []string) error {
			proof, err := proofOf(cmd)
			if err != nil {
				return err
			}
			forWhom, _ := cmd.Flags().GetString("for")
			var head Head
			if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminApprove, revealAsk{proof, args[0], forWhom}, &head); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s may have the record of %s, rules %s, within an hour\n", forWhom, head.RequestID, ruleList(head.Rules))
			return err
		},
	}
	proofFlags(cmd)
	cmd.Flags().String("for", "", "Who asks for it, as provider:subject")
	return cmd
}

func runReveal(cmd *cobra.Command, args []string) error {
	cmd.SilenceUsage = true
	proof, err := proofOf(cmd)
	if err != nil {
		return err
	}
	var identity io.Reader
	if file, _ := cmd.Flags().GetString("identity"); file != "" { // before anybody is asked: an approval is good once
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("reading the identity: %w", err)
		}
		defer f.Close()
		identity = f
	}
	var sealed Sealed
	if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminReveal, revealAsk{proofAsk: proof, ID: args[0]}, &sealed); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if identity == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s, site %s, request %s, rules %s\n", sealed.Time.Format(time.RFC3339), sealed.Site, sealed.RequestID, ruleList(sealed.Rules))
		w := armor.NewWriter(out)
		_, err := w.Write(sealed.Age)
		return errors.Join(err, w.Close())
	}
	plain, err := sealed.Open(identity)
	if err != nil {
		return err
	}
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		_, err := fmt.Fprintf(out, "%s\n", plain)
		return err
	}
	return writePayload(out, plain)
}

// writePayload shows what was matched. What could steer a terminal is written as Go's escapes.
func writePayload(w io.Writer, plain []byte) error {
	var p gatehouse.Payload
	if err := json.Unmarshal(plain, &p); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s, site %s, request %s\n", p.Time.Format(time.RFC3339), p.Site, p.RequestID)
	if p.User != "" {
		fmt.Fprintf(w, "made by %q\n", p.User)
	}
	for _, m := range p.Matched {
		where := m.In
		if m.Name != "" {
			where += ":" + fmt.Sprintf("%q", m.Name)
		}
		switch {
		case m.Held != "":
			fmt.Fprintf(w, "%d %s: %d bytes, left out: %s\n", m.Rule, where, m.Bytes, m.Held)
		case m.Bytes > len(m.Value):
			fmt.Fprintf(w, "%d %s: the first %d of %d bytes: %q\n", m.Rule, where, len(m.Value), m.Bytes, m.Value)
		default:
			fmt.Fprintf(w, "%d %s: %q\n", m.Rule, where, m.Value)
		}
	}
	return nil
}
