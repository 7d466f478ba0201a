package authz

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is a review: who reaches what.
type Report struct {
	Made   time.Time `json:"made"`
	Stale  string    `json:"stale"`  // after what time without use something is stale
	Digest string    `json:"digest"` // what a sign-off is of
	Last   *SignOff  `json:"last,omitempty"`
	Due    time.Time `json:"due,omitzero"` // zero: nobody asks for reviews
	Access []*Access `json:"access"`
	More   bool      `json:"more,omitempty"` // there are more than are told of
}

var reportHead = []string{"kind", "name", "state", "roles", "source", "last used", "expires", "site", "part", "methods", "rule", "when"}

// rows are the lines of a table: one for each part that somebody reaches, and one for who reaches nothing.
func (r *Report) rows() (rows [][]string) {
	date := func(t time.Time, zero string) string {
		if t.IsZero() {
			return zero
		}
		return t.UTC().Format(time.DateTime)
	}
	for _, s := range r.Access {
		var state []string
		if s.Disabled {
			state = append(state, "disabled")
		}
		if s.Stale {
			state = append(state, "stale")
		}
		roles := strings.Join(s.Roles, " ")
		if len(s.Groups) > 0 {
			roles = strings.TrimPrefix(roles+" groups: "+strings.Join(s.Groups, " "), " ")
		}
		head := []string{s.Kind, s.Name, strings.Join(state, " "), roles, s.Source, date(s.LastUsed, "-"), date(s.Expires, "-")}
		if len(s.Reaches) == 0 {
			rows = append(rows, append(head, "nothing", "", "", "", ""))
		}
		for _, a := range s.Reaches {
			when := a.When
			if a.SecondFactor {
				when = strings.TrimPrefix(when+", second factor", ", ")
			}
			rows = append(rows, append(head[:len(head):len(head)], a.Site, a.Part, strings.Join(a.Methods, " "), a.Rule, when))
		}
	}
	return rows
}

// about is what stands above a table.
func (r *Report) about() string {
	text := fmt.Sprintf("Access review of %s. Stale: not used for %s. Digest %s.", r.Made.UTC().Format(time.RFC3339), r.Stale, r.Digest)
	if r.Last != nil {
		text += fmt.Sprintf(" Last signed off on %s by %s.", r.Last.At.UTC().Format(time.RFC3339), printable(r.Last.By))
	}
	if !r.Due.IsZero() {
		text += " Due on " + r.Due.UTC().Format(time.RFC3339) + "."
	}
	if r.More {
		text += " There are more than are told of here: ask for one user at a time."
	}
	return text
}

// WriteTable writes it for a terminal.
func (r *Report) WriteTable(w io.Writer) error {
	fmt.Fprintln(w, r.about())
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.ToUpper(strings.Join(reportHead, "\t")))
	for _, row := range r.rows() {
		for i := range row {
			row[i] = printable(row[i])
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// WriteCSV writes RFC 4180. What a spreadsheet would take for a formula has an apostrophe before it.
func (r *Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	_ = out.Write(reportHead)
	for _, row := range r.rows() {
		for i := range row {
			if row[i] = printable(row[i]); row[i] != "" && strings.ContainsRune("=+-@", rune(row[i][0])) && row[i] != "-" {
				row[i] = "'" + row[i]
			}
		}
		_ = out.Write(row) // Error says it
	}
	out.Flush()
	return out.Error()
}

// WriteMarkdown writes a table.
func (r *Report) WriteMarkdown(w io.Writer) error {
	escape := strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", "&", "&amp;", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[")
	var b strings.Builder
	fmt.Fprintf(&b, "# Access review\n\n%s\n\n| %s |\n|%s\n", escape.Replace(r.about()), strings.Join(reportHead, " | "), strings.Repeat("---|", len(reportHead)))
	for _, row := range r.rows() {
		for i := range row {
			row[i] = escape.Replace(printable(row[i]))
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable replaces what is no part of a line.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c >= 0x200b && c <= 0x200f || c >= 0x2028 && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			return '�'
		}
		return c
	}, s)
}
