package waf

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"

	"gatehouse.internal/modules/waf/seclang"
	"gatehouse.internal/rules"
)

// RuleFiles are a site's own rule files by slash-separated name: before/x.conf and after/x.conf are loaded around
// CRS, in the order of their names; other files are data for the .conf files beside them.
type RuleFiles map[string]string

// maxRuleBytes bounds a site's rule files together: a wrong directory should be an error, not an out-of-memory.
const maxRuleBytes = 16 << 20

// ReadRules takes in a site's rule directory whole, so that what is hashed is what is compiled.
func ReadRules(dir fs.FS) (RuleFiles, error) {
	files, total := RuleFiles{}, int64(0)
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := fs.Stat(dir, name) // follows links, which is how Kubernetes mounts files
		if err != nil {
			return err
		}
		if info.IsDir() || strings.HasPrefix(path.Base(name), ".") || strings.HasPrefix(name, "..") {
			return nil
		}
		if total += info.Size(); total > maxRuleBytes || !info.Mode().IsRegular() {
			return fmt.Errorf("%s: want regular files of %d MiB together at most", name, maxRuleBytes>>20)
		}
		data, err := fs.ReadFile(dir, name)
		files[name] = string(data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	return files, files.lint()
}

// siteDirectives are what a site's files may say. Coraza's settings are not among them: they decide whether bodies
// are read, how much is dropped, and what is written where, which is the gateway's promise and not a rule.
var siteDirectives = []string{
	"secrule", "secaction", "secmarker", "secdataset",
	"secruleremovebyid", "secruleremovebytag", "secruleremovebymsg",
	"secruleupdatetargetbyid", "secruleupdatetargetbytag", "secruleupdatetargetbymsg", "secruleupdateactionbyid",
}

// lint refuses files whose place or directives are not what a site may use.
func (files RuleFiles) lint() error {
	conf := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".conf" {
			continue
		}
		conf++
		if dir := path.Dir(name); dir != "before" && dir != "after" {
			return fmt.Errorf("%s: rule files lie in the folder before (CRS) or after, not here", name)
		}
		if err := lintFile(name, files[name]); err != nil {
			return err
		}
	}
	if len(files) > 0 && conf == 0 {
		return fmt.Errorf("no rule file among %d: they lie in the folders before and after and end in .conf", len(files))
	}
	return nil
}

// directives returns the lines, counted from 0, on which the directives of a rule file begin. It reads lines as Coraza's
// parser does: comments anywhere, continuation by a backslash, datasets between backticks.
func directives(text string) (lines []int) {
	inside, dataset := false, false
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if !inside && !dataset {
			lines = append(lines, i)
		}
		switch {
		case !dataset && strings.HasSuffix(line, "`"):
			dataset = true
		case dataset:
			dataset = line[0] != '`'
		default:
			inside = strings.HasSuffix(line, `\`)
		}
	}
	return lines
}

// lintFile refuses directives that are not a site's.
func lintFile(name, text string) error {
	if part := removesMend(text); part != "" {
		return fmt.Errorf("%s: %s would change the rules 90050 to 90053, without which verdicts depend on chance", name, part)
	}
	lines := strings.Split(text, "\n")
	for _, i := range directives(text) {
		word, _, _ := strings.Cut(strings.TrimSpace(lines[i]), " ")
		if !slices.Contains(siteDirectives, strings.ToLower(strings.TrimSuffix(word, `\`))) {
			return fmt.Errorf("%s:%d: %s is not for a site's rules; they may hold SecRule, SecAction, SecMarker, SecDataset, SecRuleRemoveBy… and SecRuleUpdate…",
				name, i+1, word)
		}
	}
	return nil
}

// The three file systems as Coraza's parser sees them, each below a prefix of its own so that names cannot clash.
const (
	crsDir  = "@owasp_crs" // what coraza-coreruleset calls it
	oursDir = "gatehouse"
	siteDir = "site"
)

// sources is the file system that rules are compiled from. Nothing outside it can be included.
type sources struct {
	site RuleFiles
	fast bool // @rx may be the fast one: prover.go
}

// ReadFile implements fs.ReadFileFS, which is all that Coraza's parser asks for.
func (s sources) ReadFile(name string) ([]byte, error) {
	head, rest, _ := strings.Cut(name, "/")
	switch head {
	case crsDir:
		return fs.ReadFile(coreruleset.FS, name)
	case oursDir:
		return rules.FS.ReadFile(rest)
	case siteDir:
		if text, ok := s.site[rest]; ok {
			return []byte(text), nil
		}
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
}

// Open completes fs.FS; there is nothing to open that ReadFile does not read.
func (s sources) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
}

// texts puts the rules in order; rules/README.md says why it is this one.
func (cfg Config) texts() (all []seclang.Source, err error) {
	text := func(text string) { all = append(all, seclang.Source{Text: text}) }
	files := func(names ...string) {
		for _, name := range names {
			all = append(all, seclang.Source{File: name})
		}
	}
	if !cfg.aliased {
		text(distinctRules)
	}
	files(oursDir + "/coraza.conf")
	text(fmt.Sprintf(`SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d,setvar:tx.detection_paranoia_level=%[1]d"`, cfg.Paranoia))
	files(oursDir + "/crs-setup.conf")
	crs, err := fs.Glob(coreruleset.FS, crsDir+"/*.conf")
	if err != nil {
		return nil, fmt.Errorf("listing CRS: %w", err)
	}
	files(slices.Concat(ours("before"), ours("virtual-patches"), appFiles(cfg.Apps, "before"), cfg.Rules.in("before"))...)
	if len(cfg.Exclude) > 0 {
		text(exclusionDirectives(cfg.Exclude))
	}
	files(slices.Concat(crs, ours("after"), appFiles(cfg.Apps, "after"), cfg.Rules.in("after"))...)
	text(cfg.lastWord())
	return all, nil
}

// assemble gives Coraza the texts.
func (cfg Config) assemble(texts []seclang.Source) coraza.WAFConfig {
	out := coraza.NewWAFConfig().WithRootFS(sources{site: cfg.Rules, fast: cfg.Prover != Off})
	for _, t := range texts {
		if t.File != "" {
			out = out.WithDirectivesFromFile(t.File)
		} else {
			out = out.WithDirectives(t.Text)
		}
	}
	return out
}

// ours returns the names, as Coraza's parser knows them, of our rule files in the folder.
func ours(folder string) (names []string) {
	entries, err := rules.FS.ReadDir(folder)
	if err != nil {
		panic("waf: unreadable embedded rules: " + err.Error()) // the binary itself is broken
	}
	for _, e := range entries {
		names = append(names, path.Join(oursDir, folder, e.Name()))
	}
	return names
}

// in returns the same for the site's. CRS's plugins expect that their settings, *-config.conf, come first.
func (files RuleFiles) in(folder string) (names []string) {
	var settings []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case path.Dir(name) != folder || path.Ext(name) != ".conf":
		case strings.HasSuffix(name, "-config.conf"):
			settings = append(settings, path.Join(siteDir, name))
		default:
			names = append(names, path.Join(siteDir, name))
		}
	}
	return append(settings, names...)
}

// lastWord are the settings that no file can change, being the last. Coraza refuses a body that *reaches* its limit,
// so that its limit is one more than ours; all of it stays in memory, which the budget accounts for.
func (cfg Config) lastWord() string {
	engine := "On"
	if cfg.Mode == Detect {
		engine = "DetectionOnly"
	}
	limit := cfg.BodyLimit + 1
	response := "SecResponseBodyAccess Off"
	if cfg.ResponseLimit > 0 {
		// Which types are read is response.go's to say, so that Coraza reads whatever it is given.
		response = fmt.Sprintf("SecResponseBodyAccess On\nSecResponseBodyLimit %d\nSecResponseBodyLimitAction ProcessPartial\n"+
			`SecAction "id:900999,phase:1,pass,t:none,nolog,ctl:forceResponseBodyVariable=on"`, cfg.ResponseLimit+1)
	}
	return fmt.Sprintf(`SecRuleEngine %s
SecRequestBodyAccess On
SecRequestBodyLimit %d
SecRequestBodyInMemoryLimit %d
SecRequestBodyLimitAction Reject
%s
SecAuditEngine Off
SecUploadKeepFiles Off
SecArgumentsLimit %d`, engine, limit, limit, response, cfg.ArgLimit)
}

// embeddedSum is a hash over every rule file in the binary.
var embeddedSum = sync.OnceValue(func() string {
	h := sha256.New()
	for _, root := range []fs.FS{rules.FS, coreruleset.FS} {
		err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(root, name)
			fmt.Fprintf(h, "%q %d\n", name, len(data))
			_, _ = io.Copy(h, bytes.NewReader(data))
			return err
		})
		if err != nil {
			panic("waf: unreadable embedded rules: " + err.Error()) // the binary itself is broken
		}
	}
	return string(h.Sum(nil))
})
