package waf

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"gatehouse.internal/modules/internal/verdict"
)

// explain tells the story of one request.
func explain(w io.Writer, line LogLine) error {
	found, err := ParseMatches(line.Matched)
	if err != nil {
		return fmt.Errorf("the log line's waf_matched: %w", err)
	}
	fmt.Fprintf(w, "%s %s%s → ", line.Method, line.Site, line.Path)
	switch {
	case line.Reason != "":
		fmt.Fprintf(w, "%d %s\n", line.Status, line.Reason)
	case line.Status != 0:
		fmt.Fprintf(w, "%d\n", line.Status)
	default:
		fmt.Fprintln(w, "passed")
	}
	if line.User != "" {
		fmt.Fprintf(w, "user %s, session %s, ", line.User, line.Session)
	}
	fmt.Fprintf(w, "client %s\n", line.ClientIP)
	fmt.Fprintln(w, decided(line))
	if line.Grant != "" {
		fmt.Fprintf(w, "It was allowed by %s.\n", line.Grant)
	}
	if line.Route != "" {
		fmt.Fprintf(w, "It was judged as the route %s says.\n", line.Route)
	}
	if line.Skipped != "" {
		fmt.Fprintf(w, "The body was not inspected, or not all of it: %s.\n", line.Skipped)
	}
	if line.FailedOpen != "" {
		fmt.Fprintf(w, "It passed because it could not be judged (insecure_waf_fail_open): %s.\n", line.FailedOpen)
	}
	if err := table(w, found, line.Rules); err != nil {
		return err
	}
	return explainAnswer(w, line)
}

// decided says in a sentence what became of the request, and by whose word.
func decided(line LogLine) string {
	reason := verdict.Reason(line.Reason)
	switch {
	case reason == verdict.WAFBlocked && line.Score != "" && line.Score != "0":
		return fmt.Sprintf("The anomaly score %s reached the site's threshold, and that refused it (%s).", line.Score, line.Detail)
	case reason == verdict.WAFBlocked:
		return fmt.Sprintf("A rule refused it by itself (%s).", line.Detail)
	case reason == verdict.WAFFailed:
		return fmt.Sprintf("The WAF could not judge it, and that refused it (%s).", line.Detail)
	case reason == verdict.BodyTooLarge || reason == verdict.HeadersTooLarge:
		return fmt.Sprintf("It was more than the WAF inspects, and that refused it (%s).", line.Detail)
	case reason == verdict.BodyUnreadable:
		return fmt.Sprintf("Its body could not be read as what it says it is, and that refused it (%s).", line.Detail)
	case reason == verdict.ResponseBlocked:
		return fmt.Sprintf("The application's answer to it was withheld (%s).", line.Detail)
	case line.Mode == string(Detect) && line.Score == "0":
		return "Detect mode: a rule would have refused it by itself."
	case line.Mode == string(Detect):
		return fmt.Sprintf("Detect mode: it would have been refused, score %s.", line.Score)
	case reason != "" && line.Rules == "":
		return fmt.Sprintf("It was not the WAF that refused it (%s), and no detection rule matched.", line.Detail)
	case reason != "":
		return fmt.Sprintf("It was not the WAF that refused it (%s). Rules matched, but the score %s did not reach the threshold.", line.Detail, line.Score)
	case line.Rules == "":
		return "No detection rule matched."
	}
	return fmt.Sprintf("Rules matched, but the score %s did not reach the threshold.", line.Score)
}

// explainAnswer tells what was found in the answer.
func explainAnswer(w io.Writer, line LogLine) error {
	if line.Response != "" {
		fmt.Fprintf(w, "The answer was not inspected, or not all of it: %s.\n", line.Response)
	}
	if line.ResponseRules == "" {
		return nil
	}
	fmt.Fprintf(w, "\nIn the answer, score %s", line.ResponseScore)
	if line.ResponseMode == string(Detect) {
		fmt.Fprint(w, "; detect mode: it would have been withheld")
	}
	fmt.Fprintln(w)
	return ruleTable(w, line.ResponseRules)
}

// ruleTable lists rules with what their authors say.
func ruleTable(w io.Writer, ids string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tPL\tSEVERITY\tMESSAGE")
	for text := range strings.SplitSeq(ids, ",") {
		id, _ := strconv.Atoi(text)
		info := Catalogue()[id]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", text, info.level(), info.Severity, info.Message)
	}
	return t.Flush()
}

// level is the rule's paranoia level as text.
func (info RuleInfo) level() string {
	if info.Paranoia == 0 {
		return "-"
	}
	return strconv.Itoa(info.Paranoia)
}

// table lists matches with what the rules' authors say; rules without a match are listed by id.
func table(w io.Writer, found []Match, ids string) error {
	if len(found) == 0 {
		if ids == "" {
			return nil
		}
		fmt.Fprintln(w)
		return ruleTable(w, ids)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "\nRULE\tWHERE\tWHAT IT WAS\tPL\tSEVERITY\tMESSAGE")
	for _, m := range found {
		info := Catalogue()[m.Rule]
		what := fmt.Sprintf("%s, %d bytes", m.Class, m.Length)
		if m.Digest != "" {
			what += ", #" + m.Digest
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", m.Rule, m.Target, what, info.level(), info.Severity, info.Message)
	}
	return t.Flush()
}
