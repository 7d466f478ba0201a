package waf

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// rulesIn writes a rule directory.
func rulesIn(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readBack(t *testing.T, dir string) RuleFiles {
	t.Helper()
	files, err := ReadRules(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// commandLine runs the command line.
func commandLine(t *testing.T, sub *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	sub.SetOut(&out)
	sub.SetErr(&out)
	sub.SetArgs(args)
	sub.SilenceUsage = true
	err := sub.Execute()
	return out.String(), err
}

var now = time.Date(2026, 11, 20, 19, 0, 0, 0, time.UTC)

func TestPromote(t *testing.T) {
	root := t.TempDir()
	live := rulesIn(t, filepath.Join(root, "live"), map[string]string{"before/a.conf": "SecMarker A", "after/gone.conf": "SecMarker G"})
	from := rulesIn(t, filepath.Join(root, "candidate"), map[string]string{"before/a.conf": "SecMarker B", "before/words.data": "x", "before/.hidden": "x"})
	p := Promotion{From: from, To: live}
	files, err := p.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"gone after/gone.conf", "changed before/a.conf", "new before/words.data"}, p.Changes(files)); diff != "" {
		t.Error(diff)
	}
	before := readBack(t, live)
	rulesIn(t, from, map[string]string{"before/a.conf": "SecRule ARGS \"@rx (\" \"id:1,phase:1,deny\""}) // what was compiled is what goes in
	backup, err := p.Install(files, now)
	if err != nil || backup != live+".before-20261120T190000Z" {
		t.Fatal(backup, err)
	}
	if diff := cmp.Diff(files, readBack(t, live)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, readBack(t, backup)); diff != "" {
		t.Errorf("the backup: %s", diff)
	}
	if changes := p.Changes(files); len(changes) > 0 {
		t.Errorf("afterwards: %v", changes)
	}
	if _, err := p.Install(files, now); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a backup was overwritten: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(root, ".live.next-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestPromoteByRelativeNames(t *testing.T) {
	t.Chdir(t.TempDir())
	rulesIn(t, "live", map[string]string{"before/a.conf": "SecMarker A"})
	backup, err := Promotion{To: "live"}.Install(RuleFiles{"before/a.conf": "SecMarker B", "before/deep/er/x.data": "x"}, now)
	if err != nil || readBack(t, backup)["before/a.conf"] != "SecMarker A" || readBack(t, "live")["before/deep/er/x.data"] != "x" {
		t.Error(backup, err)
	}
}

func TestPromoteWithoutALiveDirectory(t *testing.T) {
	root := t.TempDir()
	p := Promotion{From: rulesIn(t, filepath.Join(root, "c"), map[string]string{"before/a.conf": "SecMarker A"}), To: filepath.Join(root, "live")}
	files, err := p.Load()
	if err != nil {
		t.Fatal(err)
	}
	if backup, err := p.Install(files, now); err != nil || backup != "" {
		t.Fatal(backup, err)
	}
	if diff := cmp.Diff(files, readBack(t, p.To)); diff != "" {
		t.Error(diff)
	}
}

// A link stays a link: what it leads to is exchanged.
func TestPromoteThroughALink(t *testing.T) {
	root := t.TempDir()
	real := rulesIn(t, filepath.Join(root, "real"), map[string]string{"before/a.conf": "SecMarker A"})
	link := filepath.Join(root, "link")
	if err := os.Symlink(real, link); err != nil {
		t.Skip(err)
	}
	p := Promotion{To: link}
	backup, err := p.Install(RuleFiles{"before/a.conf": "SecMarker B"}, now)
	if err != nil || !strings.HasPrefix(backup, real) {
		t.Fatal(backup, err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 || readBack(t, link)["before/a.conf"] != "SecMarker B" {
		t.Errorf("%v, %v, %v", info, err, readBack(t, link))
	}
}

func TestRenameTwicePutsBack(t *testing.T) {
	root := t.TempDir()
	live := rulesIn(t, filepath.Join(root, "live"), map[string]string{"before/a.conf": "SecMarker A"})
	if err := renameTwice(filepath.Join(root, "missing"), live, live+".before"); err == nil {
		t.Fatal("no error")
	}
	if readBack(t, live)["before/a.conf"] != "SecMarker A" {
		t.Error("the rules before are not back")
	}
	staged := rulesIn(t, filepath.Join(root, "staged"), map[string]string{"before/a.conf": "SecMarker B"})
	if err := renameTwice(staged, live, live+".before"); err != nil {
		t.Fatal(err)
	}
	if readBack(t, live)["before/a.conf"] != "SecMarker B" || readBack(t, live+".before")["before/a.conf"] != "SecMarker A" {
		t.Error("the directories are not exchanged")
	}
}

func TestPromoteCommand(t *testing.T) {
	root := t.TempDir()
	live := rulesIn(t, filepath.Join(root, "live"), map[string]string{"before/a.conf": "SecMarker A"})
	good := rulesIn(t, filepath.Join(root, "good"), map[string]string{"before/a.conf": "SecMarker B"})
	broken := rulesIn(t, filepath.Join(root, "broken"), map[string]string{"before/a.conf": "SecMarker A\nSecRule ARGS \"@rx (\" \"id:1,phase:1,deny\""})
	settings := rulesIn(t, filepath.Join(root, "settings"), map[string]string{"before/a.conf": "SecRuleEngine Off"})
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"does not compile":   {[]string{"--from", broken, "--to", live}, "before/a.conf:2: "},
		"not a site's words": {[]string{"--from", settings, "--to", live}, "SecRuleEngine is not for"},
		"empty":              {[]string{"--from", filepath.Join(root, "empty"), "--to", live}, "no rules are there"},
		"no such candidate":  {[]string{"--from", filepath.Join(root, "none"), "--to", live}, "no such file"},
		"no target":          {[]string{"--from", good}, "--from and --to"},
		"no such log":        {[]string{"--from", good, "--to", live, "--log", filepath.Join(root, "none")}, "no such file"},
	} {
		if out, err := commandLine(t, promoteCommand(), tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q\n%s", name, err, tt.want, out)
		}
		if readBack(t, live)["before/a.conf"] != "SecMarker A" {
			t.Fatalf("%s: the live rules have changed", name)
		}
	}
	if err := os.Chtimes(filepath.Join(good, "before", "a.conf"), now, now); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(root, "log")
	line := func(logger, msg, site, path, rules, ts string) string {
		return `{"ts":` + ts + `,"logger":"` + logger + `","msg":"` + msg + `","site":"` + site + `","path":"` + path + `","shadow_rules":"` + rules + `"}` + "\n"
	}
	const shadow, old, later = "http.handlers.gatehouse_waf.shadow", "1700000000.5", "1900000000.5"
	text := line(shadow, "would_refuse", "a", "/old", "1", old) + line(shadow, "would_refuse", "a", "/x", "942100,942190", later) +
		line(shadow, "would_refuse", "a", "/x", "942100,942190", later) + line(shadow, "would_pass", "a", "/x", "", later) +
		line(shadow, "rules", "a", "/x", "942100", later) + line(shadow, "would_refuse", "b", "/b", "1", later) +
		line("gatehouse.access", "would_refuse", "a", "/not the gatehouse_waf.shadow", "1", later) + "not json gatehouse_waf.shadow\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := commandLine(t, promoteCommand(), "--from", good, "--to", live, "--log", log, "--site", "a", "--dry-run")
	if err != nil || !strings.Contains(out, "nothing was changed") || readBack(t, live)["before/a.conf"] != "SecMarker A" {
		t.Fatalf("dry run: %v\n%s", err, out)
	}
	out, err = commandLine(t, promoteCommand(), "--from", good, "--to", live, "--log", log, "--site", "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"changed before/a.conf", "refused 2 requests", "let 1 pass", "in 1 others", "2      /x            942100,942190", "what it was is in"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "/old") || strings.Contains(out, "/b") || strings.Contains(out, "/not") {
		t.Errorf("lines of another time, site or logger count:\n%s", out)
	}
	if readBack(t, live)["before/a.conf"] != "SecMarker B" {
		t.Error("the live rules are the old ones")
	}
}

// What an exclusion costs is measured on the rules themselves.
func TestCosts(t *testing.T) {
	both, err := Costs([]Match{{Rule: 941100, Target: "ARGS:q"}, {Rule: 941100, Target: "ARGS:r"}, {Rule: 941100, Target: "REQUEST_HEADERS:User-Agent"}, {Rule: 949110, Target: "TX:x"}, {Rule: 10001, Target: "ARGS:q"}}, 1)
	if err != nil || len(both) != 2 {
		t.Fatal(both, err)
	}
	costs, err := Costs([]Match{{Rule: 941110, Target: "ARGS:q"}}, 1)
	if err != nil || len(costs) != 1 {
		t.Fatal(costs, err)
	}
	more, err := Costs([]Match{{Rule: 941110, Target: "ARGS:q"}, {Rule: 941160, Target: "ARGS:q"}, {Rule: 941100, Target: "ARGS:q"}, {Rule: 941390, Target: "ARGS:q"}}, 1)
	if err != nil || len(more) != 4 {
		t.Fatal(more, err)
	}
	t.Log(both, costs, more)
	if c := costs[0]; c.Lost < 1 || c.Lost >= c.Tests || c.Refused < 1 || c.Refused > c.Lost {
		t.Errorf("%+v", c)
	}
	if more[0].Lost != costs[0].Lost || more[0].Refused >= costs[0].Refused {
		t.Errorf("what is excluded together is counted apart: %v, %v", costs, more)
	}
	if len(both[0].Collections) != 2 || both[0].Lost != both[0].Tests || !strings.Contains(both[0].String(), "of CRS's") {
		t.Errorf("two places: %+v", both[0])
	}
	if both[1].Tests != 0 || !strings.Contains(both[1].String(), "no tests") {
		t.Errorf("an operator's rule: %v", both[1])
	}
	p := Proposal{Path: "/a", ID: 1, Author: "ada", Note: "why", Expires: now, Matches: []Match{{941100, "ARGS:q", 1, "text", ""}}, Costs: costs[:1]}
	text, err := p.Text()
	if err != nil || !strings.Contains(text, "\n# costs ") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestUnusedExclusions(t *testing.T) {
	files := RuleFiles{
		"before/a.conf": "# one\nSecRule REQUEST_FILENAME \"@streq /wiki/save\" \\\n    \"id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=941100;ARGS:text\"\n" +
			"SecRule REQUEST_FILENAME \"@streq /gone\" \\\n    \"id:2,phase:1,pass,nolog,ctl:ruleRemoveTargetById=941100;ARGS:text\"\n" +
			"SecRule REQUEST_FILENAME \"@beginsWith /dav/\" \"id:3,phase:1,pass,nolog,ctl:ruleRemoveById=941100\"\n" +
			"SecRule REQUEST_FILENAME \"@beginsWith /away/\" \"id:4,phase:1,pass,nolog,ctl:ruleRemoveById=941100\"\n" +
			"SecRule REQUEST_FILENAME \"@streq /gone\" \"id:5,phase:1,deny\"\n",
		"before/words.data": "SecRule REQUEST_FILENAME \"@streq /gone\" \"ctl:ruleRemove",
	}
	log := `{"ts":1900000000.5,"logger":"gatehouse.access","path":"/wiki/save"}
{"ts":1900000000.5,"logger":"gatehouse.events","path":"/gone"}
{"ts":1900090000.5,"logger":"gatehouse.access","path":"/dav/a/b"}
`
	found, err := Unused(files, strings.NewReader(log))
	if err != nil || len(found) != 2 || found[0].Line != 4 || found[1].Line != 7 || !slices.ContainsFunc(found, func(w Warning) bool {
		return strings.Contains(w.Text, "none of the 2 requests in the log, from 2030-03-17 to 2030-03-18, had the path /gone")
	}) {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := Unused(files, strings.NewReader("{}\n")); err == nil {
		t.Error("a log without requests is accepted")
	}
	dir, file := rulesIn(t, t.TempDir(), files), filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := commandLine(t, lintCommand(), "--log", file, dir)
	if err != nil || strings.Count(out, "warning: before/a.conf") != 3 || !strings.Contains(out, "the rules compile") {
		t.Errorf("%v\n%s", err, out)
	}
}
