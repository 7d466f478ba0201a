package authz

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// A policy test is a line of a file: what must become of which request, and of whom:
//
//	<outcome> <METHOD> <path or URL> [<facet> <value>]... [by <text>]
//
// An outcome is allow, mfa, login or deny; a facet is what a [Question] can say. by holds if the rule that decides has the
// text in it. A line that begins with given sets facets for the lines after it. # begins a comment; quotes hold a value
// with blanks together.

// Bounds of a file of policy tests.
const (
	maxTests    = 10_000 // lines
	maxTestLine = 8 << 10
)

// policyTest is one line.
type policyTest struct {
	line int
	text string
	Question
	want Outcome
	by   string
}

// readTests reads a file of policy tests. Errors name the line.
func readTests(r io.Reader) (tests []policyTest, err error) {
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, maxTestLine)
	var given [][2]string
	for n := 1; scan.Scan(); n++ {
		fields, err := fieldsOf(scan.Text())
		if err == nil && n > maxTests {
			err = fmt.Errorf("more than %d lines", maxTests)
		}
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		if len(fields) == 0 {
			continue
		}
		if fields[0] == "given" {
			if given, err = pairs(fields[1:]); err == nil {
				_, err = (&policyTest{}).say(given)
			}
			if err != nil {
				return nil, fmt.Errorf("%d: %w", n, err)
			}
			continue
		}
		t, err := readTest(fields, given)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", n, err)
		}
		t.line, t.text = n, strings.TrimSpace(scan.Text())
		tests = append(tests, *t)
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	return tests, nil
}

func readTest(fields []string, given [][2]string) (*policyTest, error) {
	const usage = "write `<allow|mfa|login|deny> <METHOD> <path> [<facet> <value>]...`, such as `deny POST /admin/x role staff`"
	if len(fields) < 3 {
		return nil, fmt.Errorf("too short: %s", usage)
	}
	t := &policyTest{want: Outcome(fields[0]), Question: Question{Method: fields[1], URL: fields[2]}}
	switch t.want {
	case Allow, Prove, Login, Deny:
	default:
		return nil, fmt.Errorf("%q is no outcome: %s", fields[0], usage)
	}
	if err := checkMethods(&Condition{Values: fields[1:2]}); err != nil {
		return nil, err
	}
	if _, err := t.host(); err != nil {
		return nil, err
	}
	said, err := pairs(fields[3:])
	if err != nil {
		return nil, err
	}
	if t, err = t.say(given); err != nil {
		return nil, err
	}
	return t.say(said)
}

func pairs(fields []string) (list [][2]string, err error) {
	if len(fields)%2 != 0 {
		return nil, fmt.Errorf("%q has no value: after method and path stand pairs such as `role staff`", fields[len(fields)-1])
	}
	for i := 0; i < len(fields); i += 2 {
		list = append(list, [2]string{fields[i], fields[i+1]})
	}
	return list, nil
}

func (t *policyTest) say(said [][2]string) (*policyTest, error) {
	for _, pair := range said {
		if pair[0] == "by" {
			t.by = pair[1]
		} else if err := t.Say(pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// fieldsOf splits a line at blanks outside of quotes; # outside of them ends it.
func fieldsOf(line string) (fields []string, err error) {
	var field strings.Builder
	within, quoted := false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted, within = !quoted, true
		case !quoted && r == '#' && !within:
			return fields, nil
		case !quoted && (r == ' ' || r == '\t'):
			if within {
				fields, within = append(fields, field.String()), false
				field.Reset()
			}
		default:
			within = true
			field.WriteRune(r)
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if within {
		fields = append(fields, field.String())
	}
	return fields, nil
}

// try runs one test; the error says what came out instead.
func (a *oracle) try(t policyTest) error {
	if host, _ := t.host(); host != "" && !a.serves(host) {
		return fmt.Errorf("%s is no name of this site: its names are %s", host, few(a.hosts))
	}
	got, err := a.answer(t.Question)
	if err != nil {
		return err
	}
	if got.Outcome != t.want {
		return fmt.Errorf("`%s`: it is %s, by %s", t.text, got.Outcome, got.Rule)
	}
	if !strings.Contains(got.Rule, t.by) {
		return fmt.Errorf("`%s`: it is decided by %s", t.text, got.Rule)
	}
	return nil
}

// runFiles runs the tests in the files, of which a name may be a glob, and returns how many there are. The error names file
// and line of the first that fails.
func (a *oracle) runFiles(files []string) (n int, err error) {
	for _, pattern := range files {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			return n, fmt.Errorf("policy_tests %s: there is no such file", pattern)
		}
		for _, name := range names {
			tests, err := loadTests(name)
			if err != nil {
				return n, err
			}
			for _, t := range tests {
				if err := a.try(t); err != nil {
					return n, fmt.Errorf("policy test %s:%d: %w", name, t.line, err)
				}
				n++
			}
		}
	}
	return n, nil
}

// loadTests reads a file of policy tests. Errors name it.
func loadTests(name string) ([]policyTest, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("policy tests: %w", err)
	}
	defer file.Close()
	tests, err := readTests(file)
	if err != nil {
		return nil, fmt.Errorf("policy test %s:%w", name, err)
	}
	return tests, nil
}
