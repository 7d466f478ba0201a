package waf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/rules"
)

// Proposal is a rule exclusion to be reviewed: the narrowest that would have let one request pass.
type Proposal struct {
	Path    string // the exact path
	Matches []Match
	ID      int // of the first rule written; operators have 1 to 89,999
	Author  string
	Note    string
	Expires time.Time
	Request string // the id of the request it was made for
	Costs   []Cost // what CRS's own tests say of it; may be nil
}

// ErrNothingToExclude says that no detection rule matched, so that an exclusion would change nothing.
var ErrNothingToExclude = errors.New("no detection rule matched this request; an exclusion would change nothing")

// check refuses what a reviewer could not judge.
func (p Proposal) check() error {
	switch {
	case strings.TrimSpace(p.Author) == "" || strings.TrimSpace(p.Note) == "":
		return errors.New("an exclusion needs an author and a note: --author and --note")
	case strings.ContainsAny(p.Author+p.Note, "\r\n"):
		return errors.New("author and note are one line each")
	case p.ID < 1 || p.ID > 89_999:
		return fmt.Errorf("rule id %d: operators' rules have 1 to 89999", p.ID)
	case p.Expires.IsZero():
		return errors.New("an exclusion needs an expiry")
	case !strings.HasPrefix(p.Path, "/") || strings.ContainsAny(p.Path, "\"\\\r\n%") || strings.ContainsFunc(p.Path, func(r rune) bool { return r < 0x20 || r > 0x7e }):
		return fmt.Errorf("path %q cannot stand in a rule as it is; write the exclusion by hand", p.Path)
	}
	return nil
}

// expiresPrefix begins the comment line that says until when an exclusion should stand.
const expiresPrefix = "# Expires: "

// Text returns the exclusion as the text of a file for a site's before folder. Each rule is taken away from the one
// argument it matched in, on the one path; rules that only add up (949, 959, 980) are never touched, nor is a whole
// collection or a whole rule where the argument is known.
func (p Proposal) Text() (string, error) {
	if err := p.check(); err != nil {
		return "", err
	}
	var ctl []string
	for _, m := range p.Matches {
		if counts(m.Rule) || denies(m.Rule) {
			continue
		}
		action := fmt.Sprintf("ctl:ruleRemoveTargetById=%d;%s", m.Rule, m.Target)
		if collection, star := strings.CutSuffix(m.Target, ":*"); star {
			action = fmt.Sprintf("ctl:ruleRemoveTargetById=%d;%s", m.Rule, collection)
		}
		if !slices.Contains(ctl, action) {
			ctl = append(ctl, action)
		}
	}
	if len(ctl) == 0 {
		return "", ErrNothingToExclude
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Exclusion proposed for request %s. Review it before it goes into the site's rules, folder before.\n", p.Request)
	fmt.Fprintf(&b, "# Author: %s\n# Note: %s\n%s%s\n", p.Author, p.Note, expiresPrefix, p.Expires.UTC().Format(time.DateOnly))
	for _, m := range p.Matches {
		if info, ok := Catalogue()[m.Rule]; ok {
			fmt.Fprintf(&b, "# %d %s (%s): in %s, %s of %d bytes\n", m.Rule, info.Message, info.File, m.Target, m.Class, m.Length)
		}
	}
	for _, c := range p.Costs {
		fmt.Fprintf(&b, "# %s\n", c)
	}
	fmt.Fprintf(&b, "SecRule REQUEST_FILENAME \"@streq %s\" \\\n    \"id:%d,phase:1,pass,nolog,t:none", p.Path, p.ID)
	for _, action := range ctl {
		fmt.Fprintf(&b, ",\\\n    %s", action)
	}
	b.WriteString("\"\n")
	return b.String(), nil
}

// expiredPatches warns of virtual patches in the binary that nobody should need any more.
func expiredPatches(now time.Time) (found []Warning, err error) {
	all, err := rules.Patches()
	for _, p := range all {
		if p.Expired(now) {
			found = append(found, Warning{p.File, 1, fmt.Sprintf("the virtual patch for %s, which is in the gateway itself, expired on %s: mend the application, or update the gateway",
				p.CVE, p.Expires.Format(time.DateOnly))})
		}
	}
	return found, err
}

// Warning is something that a reviewer of a site's rules should know; it stops nothing.
type Warning struct {
	File string
	Line int
	Text string
}

// Lint refuses what a site's rules may not hold, as loading them would, and warns of exclusions that have expired or
// say nothing of their end.
func Lint(files RuleFiles, now time.Time) ([]Warning, error) {
	if err := files.lint(); err != nil {
		return nil, err
	}
	var found []Warning
	for name, text := range files {
		if !strings.HasSuffix(name, ".conf") {
			continue
		}
		says := false
		for i, line := range strings.Split(text, "\n") {
			date, ok := strings.CutPrefix(strings.TrimSpace(line), strings.TrimSpace(expiresPrefix))
			if !ok {
				continue
			}
			says = true
			switch until, err := time.Parse(time.DateOnly, strings.TrimSpace(date)); {
			case err != nil:
				found = append(found, Warning{name, i + 1, "the expiry is not a date such as 2027-01-31"})
			case now.After(until.AddDate(0, 0, 1)):
				found = append(found, Warning{name, i + 1, "expired on " + until.Format(time.DateOnly) + ": is the exclusion still needed?"})
			}
		}
		if !says && strings.Contains(text, "ctl:ruleRemove") {
			found = append(found, Warning{name, 1, "an exclusion without `" + expiresPrefix + "YYYY-MM-DD`"})
		}
	}
	slices.SortFunc(found, func(a, b Warning) int { return strings.Compare(a.File, b.File)*2 + min(max(a.Line-b.Line, -1), 1) })
	return found, nil
}
