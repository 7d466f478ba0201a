package audit

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

const (
	adminIncidents = "/gatehouse/audit/incidents"
	incidentKind   = event.IncidentExported
)

func incidentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "incident <folder> --since <time> --why text | incident --check <folder> --key <key>", Args: cobra.MaximumNArgs(1),
		Short: "Gathers everything about a user, session, address or request in a folder, sealed by the running gateway; --check checks one",
		RunE: func(cmd *cobra.Command, args []string) error {
			check, _ := cmd.Flags().GetString("check")
			switch {
			case check != "" && len(args) == 0:
				return showIncident(cmd, check)
			case check == "" && len(args) == 1:
				return exportIncident(cmd, args[0])
			}
			return errors.New("say which folder to write, or which to --check")
		},
	}
	queryFlags(cmd)
	_ = cmd.Flags().MarkHidden("kind") // an incident is all that somebody did
	cmd.Flags().StringArrayP("log", "l", nil, "A log as JSON, one object a line (- is standard input); may be given again")
	cmd.Flags().String("audit", "", "The directory of the audit log, if not the default")
	cmd.Flags().String("why", "", "What the export is for; it goes on record")
	cmd.Flags().String("check", "", "The folder to check, anywhere, with nothing but --key")
	cmd.Flags().String("key", "", "The public key that was kept elsewhere, or a file with it")
	return cmd
}

func exportIncident(cmd *cobra.Command, folder string) error {
	q, err := readQuery(cmd)
	if err != nil {
		return err
	}
	why, _ := cmd.Flags().GetString("why")
	switch {
	case q.User == "" && q.Client == "" && q.Session == "" && q.Request == "":
		return errors.New("say whom or what it is about: --user, --session, --client or --request")
	case q.Since.IsZero():
		return errors.New("say from when on: --since 36h, or --since 2026-11-28")
	case strings.TrimSpace(why) == "":
		return errors.New("say what it is for: --why \"ticket 4711\"")
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("an export has a folder of its own: %w", err)
	}
	ask := incidentAsk{Why: why, Operator: gatehouse.Operator(cmd)}
	if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminIncidents, ask, nil); err != nil { // so that what has just happened is read, too
		return errors.Join(err, os.Remove(folder))
	}
	audit, _ := cmd.Flags().GetString("audit")
	if audit == "" {
		audit = directory(nil)
	}
	logs, _ := cmd.Flags().GetStringArray("log")
	text, err := gather(cmd, folder, audit, logs, q, manifest{
		Name: folder, Why: why, Operator: ask.Operator, Made: time.Now().UTC(), Since: q.Since.UTC(), Until: q.Until.UTC(),
		User: q.User, Client: q.Client, Session: q.Session, Request: q.Request,
	})
	if err != nil {
		return fmt.Errorf("%w (what is in %s is not sealed)", err, folder)
	}
	ask.Manifest = hashOf(text)
	if err := gatehouse.AskAdmin(cmd, http.MethodPost, adminIncidents, ask, nil); err != nil {
		return fmt.Errorf("%w (what is in %s is not sealed)", err, folder)
	}
	if err := seal(folder, audit, ask.Manifest); err != nil {
		return fmt.Errorf("%w (what is in %s is not sealed)", err, folder)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; check it anywhere with: gatehouse audit incident --check %s --key <what `gatehouse audit key` printed>\n", folder, folder)
	return err
}

func showIncident(cmd *cobra.Command, folder string) error {
	key := readKey(cmd)
	if key == "" {
		return errors.New("give the --key that was kept elsewhere: the folder's own would prove nothing")
	}
	m, r, err := checkIncident(folder, key)
	if err != nil {
		return fmt.Errorf("the export does not verify: %w", err)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "sealed as record %d at %s, by %s: %s\n", r.Seq, r.When().UTC().Format(time.RFC3339), m.Operator, m.Why)
	for _, f := range m.Files {
		fmt.Fprintf(out, "%s: %d lines, as they were\n", f.Name, f.Lines)
	}
	return nil
}
