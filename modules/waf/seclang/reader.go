package seclang

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxIncludes is how many files Coraza includes before it refuses.
const maxIncludes = 100

// reader is Coraza's Parser: where it stands, and what directives left behind for later ones.
type reader struct {
	files    fs.FS
	program  *Program
	name     string // of the current source, as Coraza names it
	shown    string // the same, but kept after an Include
	dir      string // of the current file
	total    int    // lines read, over all sources
	line     int    // lines read of the current source
	includes int

	defaults []defaultAction
	datasets map[string][]string
}

// file reads a file or all files that a pattern names. Names are relative to the file that includes them; what a
// pattern yields is not.
func (r *reader) file(name string) error {
	names, isPattern := []string{name}, strings.Contains(name, "*")
	if isPattern {
		var err error
		if names, err = fs.Glob(r.files, name); err != nil {
			return fmt.Errorf("pattern %s: %w", name, err)
		}
	}
	dir, shown, line := r.dir, r.shown, r.line
	for _, name := range names {
		name = strings.TrimSpace(name)
		if !isPattern && !strings.HasPrefix(name, "/") {
			name = path.Join(r.dir, name)
		}
		outer := r.dir
		r.name, r.shown, r.dir, r.line = name, name, path.Dir(name), 0
		data, err := fs.ReadFile(r.files, name)
		if err == nil {
			err = r.lines(string(data))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.dir = outer
	}
	// Coraza forgets the including file's name, and so its later rules have none.
	r.name, r.dir, r.shown, r.line = "", dir, shown, line
	return nil
}

// text reads directives that are no file's.
func (r *reader) text(data string) error {
	old := r.name
	r.name, r.shown, r.line = "_inline_", "_inline_", 0
	err := r.lines(data)
	r.name = old
	return err
}

// lines joins lines to directives and reads each. Like Coraza it ignores comments anywhere, a directive that the last
// line leaves open, and everything from a line on that is too long for bufio.Scanner.
func (r *reader) lines(data string) error {
	scanner := bufio.NewScanner(strings.NewReader(data))
	var joined strings.Builder
	dataset := false
	for scanner.Scan() {
		r.total++
		r.line++
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if !dataset && line[len(line)-1] == '`' {
			dataset = true
		} else if dataset && line[0] == '`' {
			dataset = false
		}
		if dataset {
			joined.WriteString(line + "\n")
			continue
		}
		if rest, open := strings.CutSuffix(line, `\`); open {
			joined.WriteString(rest)
			continue
		}
		joined.WriteString(line)
		if err := r.directive(joined.String()); err != nil {
			return fmt.Errorf("line %d: %w", r.line, err)
		}
		joined.Reset()
	}
	if dataset {
		return errors.New("a dataset is left open")
	}
	return nil
}

// directive reads one directive.
func (r *reader) directive(raw string) error {
	if raw == "" || raw[0] == '#' {
		return errors.New("an empty directive")
	}
	name, value, _ := strings.Cut(raw, " ")
	name = strings.ToLower(name)
	if len(value) >= 3 && value[0] == '"' && value[len(value)-1] == '"' {
		value = strings.Trim(value, `"`)
	}
	if name == "include" {
		if r.includes++; r.includes > maxIncludes {
			return fmt.Errorf("more than %d files are included", maxIncludes)
		}
		return r.file(value)
	}
	if read, ok := about[name]; ok {
		if err := read(r, raw, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	if !slices.Contains(settings, name) {
		return fmt.Errorf("unknown directive %q", name)
	}
	r.program.Settings = append(r.program.Settings, Directive{Name: name, Value: value, File: r.shown, Line: r.line})
	return nil
}

// about are the directives about rules.
var about map[string]func(r *reader, raw, value string) error

func init() { // a literal would be an initialisation cycle: directives include files that hold directives
	about = map[string]func(*reader, string, string) error{
		"secrule":                        (*reader).secRule,
		"secaction":                      (*reader).secAction,
		"secmarker":                      (*reader).secMarker,
		"secdefaultaction":               (*reader).secDefaultAction,
		"secdataset":                     (*reader).secDataset,
		"secruleremovebyid":              (*reader).removeByID,
		"secruleremovebytag":             (*reader).removeByTag,
		"secruleremovebymsg":             (*reader).removeByMsg,
		"secruleupdatetargetbyid":        (*reader).updateTargetByID,
		"secruleupdatetargetbytag":       (*reader).updateTargetByTag,
		"secruleupdateactionbyid":        (*reader).updateActionByID,
		"secignorerulecompilationerrors": (*reader).ignoreErrors,
	}
}

// settings are the directives that do not change rules. SecRuleUpdateTargetByMsg and SecRuleScript are among them:
// Coraza reads and ignores them.
var settings = []string{
	"secargumentseparator", "secargumentslimit", "secauditengine", "secauditlog", "secauditlogdirmode",
	"secauditlogfilemode", "secauditlogformat", "secauditlogparts", "secauditlogrelevantstatus",
	"secauditlogstoragedir", "secauditlogtype", "seccollectiontimeout", "seccomponentsignature", "secconnengine",
	"secconnreadstatelimit", "secconnwritestatelimit", "seccookieformat", "secdatadir", "secdebuglog",
	"secdebugloglevel", "secgsblookupdb", "sechashengine", "sechashkey", "sechashmethodpm", "sechashmethodrx",
	"sechashparam", "sechttpblkey", "secpcrematchlimit", "secpcrematchlimitrecursion", "secremoterulesfailaction",
	"secrequestbodyaccess", "secrequestbodyinmemorylimit", "secrequestbodyjsondepthlimit", "secrequestbodylimit",
	"secrequestbodylimitaction", "secrequestbodynofileslimit", "secresponsebodyaccess",
	"secresponsebodyjsondepthlimit", "secresponsebodylimit", "secresponsebodylimitaction", "secresponsebodymimetype",
	"secresponsebodymimetypesclear", "secruleengine", "secruleperftime", "secrulescript", "secruleupdatetargetbymsg",
	"secrxprefilter", "secsensorid", "secserversignature", "sectmpdir", "secunicodemap", "secuploaddir",
	"secuploadfilelimit", "secuploadfilemode", "secuploadkeepfiles", "secwebappid",
}

// unread notes what is not modelled.
func (r *reader) unread(format string, args ...any) {
	r.program.Unread = append(r.program.Unread, r.at()+": "+fmt.Sprintf(format, args...))
}

// at says where the reader is.
func (r *reader) at() string { return fmt.Sprintf("%s:%d", r.shown, r.line) }

// secDataset remembers a named list.
func (r *reader) secDataset(_, value string) error {
	name, body, ok := strings.Cut(value, " ")
	if !ok {
		return errors.New("want a name and values between backticks")
	}
	var values []string
	for _, line := range strings.Split(strings.Trim(body, "`"), "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			values = append(values, line)
		}
	}
	r.datasets[name] = values
	return nil
}

// ignoreErrors would make Coraza leave out rules that it cannot compile; which these are is not known here.
func (r *reader) ignoreErrors(_, value string) error {
	switch strings.ToLower(value) {
	case "off":
	case "on":
		r.unread("SecIgnoreRuleCompilationErrors leaves out rules that do not compile")
	default:
		return errors.New("want on or off")
	}
	return nil
}
