package evidence

import (
	"cmp"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// format is a form of the report.
type format struct {
	ending string
	write  func(io.Writer, *Report) error
}

var formats = map[string]format{
	"table":    {"txt", writeTable},
	"json":     {"json", writeJSON},
	"markdown": {"md", writeMarkdown},
	"html":     {"html", writeHTML},
	"csv":      {"csv", writeCSV},
}

// bundleForms are those that a bundle has, in their order.
var bundleForms = []string{"csv", "html", "json", "markdown"}

func formatNames() string { return strings.Join(slices.Sorted(maps.Keys(formats)), ", ") }

func writeJSON(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// short cuts a text for a table.
func short(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

func writeTable(w io.Writer, r *Report) error {
	fmt.Fprintf(w, "%s, %s, %s\n", r.Host, r.Version, r.Made.Format(time.RFC3339))
	for _, s := range r.Sites {
		fmt.Fprintf(w, "%s\n", s)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Controls {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", f.ID, f.Status, short(f.Promise, 48), short(f.Saw, 110))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, word := range r.Insecure {
		fmt.Fprintf(w, "in force: %s\n", word)
	}
	for _, f := range r.Failures() {
		fmt.Fprintf(w, "%s FAILS: %s\n  fix: %s\n", f.ID, f.Saw, f.Fix)
	}
	_, err := fmt.Fprintln(w, r.summary())
	return err
}

// cell is a text in a table of Markdown's.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "`", "'").Replace(text)
}

func writeMarkdown(w io.Writer, r *Report) error {
	fmt.Fprintf(w, "# Evidence\n\n%s of %s, %s: %s.\n\nConfiguration SHA-256 `%s`, audit log `%s`.\n\n", r.Made.Format(time.RFC3339), cell(r.Host), cell(r.Version), r.summary(), r.Config, r.Origin)
	for _, s := range r.Sites {
		fmt.Fprintf(w, "- %s\n", cell(s))
	}
	for _, word := range r.Insecure {
		fmt.Fprintf(w, "- in force: `%s`\n", word)
	}
	for _, s := range r.Statements() {
		fmt.Fprintf(w, "\n## %s\n\n| control | promise | gateway | status | what was seen | references |\n|---|---|---|---|---|---|\n", s.Title)
		for _, f := range s.Controls {
			saw := cell(f.Saw)
			if f.Fix != "" {
				saw += "; **fix:** " + cell(f.Fix)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", f.ID, cell(f.Promise), cell(f.Verb), f.Status, saw, f.Refs.list())
		}
	}
	fmt.Fprintf(w, "\n## Probes\n\n| probe | does | status | what was seen | took |\n|---|---|---|---|---|\n")
	for _, p := range r.Probes {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", p.Name, cell(p.About), p.Status, cell(p.Saw), p.Took.Round(time.Millisecond))
	}
	return nil
}

// plain is a cell that no spreadsheet takes for a formula.
func plain(text string) string {
	if text != "" && strings.ContainsAny(text[:1], "=+-@\t\r|%") {
		return "'" + text
	}
	return text
}

// answers are what a questionnaire wants to hear.
var answers = map[Status]string{Pass: "Yes", Fail: "No", Declared: "Declared", NotApplicable: "NA"}

func writeCSV(w io.Writer, r *Report) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180
	rows := [][]string{{"Control ID", "Statement", "Promise", "Answer", "Responsibility", "How", "Evidence", "Fix", "CAIQ v4", "NIST SP 800-53r5", "ISO/IEC 27001:2022", "ANSSI measures", "As of"}}
	for _, f := range r.Controls {
		rows = append(rows, []string{
			f.ID, titles[f.Statement], f.Promise, answers[f.Status], f.Verb, f.Does, f.Saw, f.Fix, strings.Join(f.Refs.CAIQ, " "), strings.Join(f.Refs.NIST, " "),
			strings.Join(f.Refs.ISO, " "), strings.Trim(fmt.Sprint(f.Refs.ANSSI), "[]"), r.Made.Format(time.RFC3339),
		})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = plain(row[i])
		}
	}
	return cmp.Or(out.WriteAll(rows), out.Error())
}

// titles are what statements are called.
var titles = map[string]string{"cerebro": "CEREBRO", "brainframe": "Brainframe", "calbrix": "CalBrix OS", "cetbix": "Cetbix", "natalia": "Natalia on-premise"}

// StatementReport is the part of a report that one statement is about.
type StatementReport struct {
	Name, Title string
	Controls    []Finding
}

// Statements are the parts of the report, in the order of the catalogue.
func (r *Report) Statements() (all []StatementReport) {
	for _, name := range Statements {
		s := StatementReport{Name: name, Title: titles[name]}
		for _, f := range r.Controls {
			if f.Statement == name {
				s.Controls = append(s.Controls, f)
			}
		}
		if len(s.Controls) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// Counts says how many of the part came out how.
func (s StatementReport) Counts() string {
	n := map[Status]int{}
	for _, f := range s.Controls {
		n[f.Status]++
	}
	return fmt.Sprintf("%d pass, %d fail, %d declared, %d not applicable", n[Pass], n[Fail], n[Declared], n[NotApplicable])
}

// inCode shows what stands between backquotes as code.
func inCode(text string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(text, "`") {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return template.HTML(b.String())
}

//go:embed report.html
var reportHTML string

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"class": func(s Status) string { return strings.ReplaceAll(string(s), " ", "-") },
	"mark": func(s Status) string {
		return map[Status]string{Pass: "✓", Fail: "✗", Declared: "○", NotApplicable: "–", Absent: "–"}[s]
	},
	"refs":  Refs.list,
	"code":  inCode,
	"day":   func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	"when":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
	"count": func(r *Report, s string) int { return r.Summary[Status(s)] },
	"ms":    func(d time.Duration) string { return d.Round(time.Millisecond).String() },
}).Parse(reportHTML))

func writeHTML(w io.Writer, r *Report) error { return page.Execute(w, r) }
