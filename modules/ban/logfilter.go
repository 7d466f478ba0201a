package ban

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/clientip"
)

const (
	maxLogFiles    = 32 // of all jails together
	maxLogPatterns = 32 // of a jail
	maxLogPattern  = 4096
)

// LogFilter says which lines of which files are offences, and of whom, in fail2ban's words. A line is judged as it stands in
// the file, its date included: it happened when it was read.
type LogFilter struct {
	Files []string `json:"logpath"`
	// RE2 patterns with <HOST> or <ADDR> where the offender's address is.
	Fail []string `json:"failregex"`
	// Patterns of lines that are no offences after all.
	Ignore []string `json:"ignoreregex,omitempty"`

	fail, ignore []*regexp.Regexp
}

// address is what <HOST> and <ADDR> stand for: names are nobody's, since whoever resolves them believes their owner.
const address = `(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){1,6}:[0-9A-Fa-f]{1,4}(?:(?:\.[0-9]{1,3}){3})?)`

const zone = `(?:%[0-9A-Za-z]+)?`

const offenderGroup = "gatehouse_offender"

// tag finds fail2ban's tags, and what looks like one.
var tag = regexp.MustCompile(`(?:\(\?P?)?</?[A-Z][A-Z0-9_/-]*>`)

// cutting finds a repetition that stands right before the address.
var cutting = regexp.MustCompile(`[*+}]\)?<(HOST|ADDR)>`)

// compileLog makes a pattern ready. With offender it must say where the address is.
func compileLog(text string, offender bool) (*regexp.Regexp, error) {
	hosts, unknown := 0, ""
	re := tag.ReplaceAllStringFunc(text, func(found string) string {
		switch {
		case strings.HasPrefix(found, "("): // a group of the operator's
			return found
		case found != "<HOST>" && found != "<ADDR>":
			unknown = found
			return found
		}
		hosts++
		if hosts > 1 || !offender {
			return `\[?` + address + zone + `\]?`
		}
		return `\[?(?P<` + offenderGroup + `>` + address + `)` + zone + `\]?`
	})
	switch {
	case len(text) > maxLogPattern:
		return nil, fmt.Errorf("it is longer than %d bytes", maxLogPattern)
	case strings.Contains(text, "%("):
		return nil, errors.New("%(…)s is replaced by fail2ban alone: write out what it stands for")
	case unknown != "":
		return nil, fmt.Errorf("%s is known to fail2ban alone: of its tags there are <HOST> and <ADDR>", unknown)
	case offender && hosts == 0:
		return nil, errors.New("it does not say where the address is: write <HOST> there")
	case offender && cutting.MatchString(text):
		return nil, errors.New("what stands before <HOST> may take the beginning of the address: write a space, or what else there is, between them")
	case offender && hosts > 1:
		return nil, errors.New("it has <HOST> more than once, and one address is banned: write two patterns")
	}
	compiled, err := regexp.Compile(re)
	if err != nil {
		return nil, fmt.Errorf("%w: it must be a pattern that RE2 knows (no look-ahead, no back-references)", err)
	}
	if offender && !bound(re) {
		return nil, errors.New("it may begin and end anywhere, so that whoever has a name logged could have others banned: begin it with ^ or end it with $")
	}
	return compiled, nil
}

// bound reports whether what the pattern matches begins where the text does, or ends where it does.
func bound(re string) bool {
	tree, err := syntax.Parse(re, syntax.Perl)
	if err != nil {
		return false
	}
	isEnd := func(op syntax.Op) bool {
		return slices.Contains([]syntax.Op{syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine}, op)
	}
	if tree.Op != syntax.OpConcat {
		return false
	}
	return isEnd(tree.Sub[0].Op) || isEnd(tree.Sub[len(tree.Sub)-1].Op)
}

// checkLogs bounds what is read.
func checkLogs(all []Jail) error {
	files := map[string]bool{}
	for i := range all {
		if l := all[i].Log; l != nil {
			for _, file := range l.Files {
				files[file] = true
			}
		}
	}
	if len(files) > maxLogFiles {
		return fmt.Errorf("jails read %d log files: %d is the most", len(files), maxLogFiles)
	}
	return nil
}

func (f *LogFilter) compile() (err error) {
	switch {
	case len(f.Files) == 0:
		return errors.New("logpath is missing: write which file is read, such as `logpath /var/log/auth.log`")
	case len(f.Fail) == 0:
		return errors.New("failregex is missing: write what a line looks like that is an offence, with <HOST> where the address is")
	case len(f.Fail)+len(f.Ignore) > maxLogPatterns:
		return fmt.Errorf("it has more than %d patterns", maxLogPatterns)
	}
	for _, file := range f.Files {
		if !filepath.IsAbs(file) || filepath.Clean(file) != file || strings.ContainsAny(file, "*?[") {
			return fmt.Errorf("logpath %q: write each file's whole path, which begins with / and has no wildcards", file)
		}
	}
	if f.fail, err = compileAll("failregex", f.Fail, true); err == nil {
		f.ignore, err = compileAll("ignoreregex", f.Ignore, false)
	}
	return err
}

func compileAll(word string, texts []string, offender bool) (all []*regexp.Regexp, err error) {
	for _, text := range texts {
		re, err := compileLog(text, offender)
		if err != nil {
			return nil, fmt.Errorf("%s `%s`: %w", word, text, err)
		}
		all = append(all, re)
	}
	return all, nil
}

// offender returns whose offence the line is; false when it is none.
func (f *LogFilter) offender(line []byte) (netip.Addr, bool) {
	for _, re := range f.fail {
		at := re.FindSubmatchIndex(line)
		if at == nil {
			continue
		}
		group := 2 * re.SubexpIndex(offenderGroup)
		from, to := at[group], at[group+1]
		if from < 0 || !apart(line, from, to) {
			continue
		}
		addr, err := clientip.Parse(string(line[from:to]))
		if err != nil {
			continue
		}
		return addr, !slices.ContainsFunc(f.ignore, func(re *regexp.Regexp) bool { return re.Match(line) })
	}
	return netip.Addr{}, false
}

// apart reports whether line[from:to] is no part of a longer word: 192.0.2.1.example.net is a name of somebody's choice.
func apart(line []byte, from, to int) bool {
	return !wordEnd.Match(line[:from]) && !wordBegin.Match(line[to:])
}

var (
	wordEnd   = regexp.MustCompile(`(?:[0-9A-Za-z][-._]?|[0-9A-Fa-f:]:)$`)
	wordBegin = regexp.MustCompile(`^[-._]?[0-9A-Za-z]`)
)
