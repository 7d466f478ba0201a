package seclang_test

import (
	"io/fs"
	"strings"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"

	"gatehouse.internal/modules/waf/seclang"
)

// FuzzParse asks two things: that nothing makes the reader panic, and that whatever Coraza compiles is read to the same
// rules, as far as Coraza's observer shows them, or is said to be unread.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`SecRule ARGS|!ARGS:'/a|b/'|&TX:x "!@eq 0" "id:1,phase:1,deny,t:none,t:lowercase,chain,msg:'a, b'"` + "\n" + `SecRule XML:/*|REQUEST_HEADERS:/^X-\S/ "@rx \"x\"" "t:none,setvar:'tx.a=%{tx.b}'"`,
		"SecDefaultAction \"phase:1,log,deny\"\nSecAction \\\n# c\n \"id:1,phase:1,block\"\nSecMarker END\nSecRuleRemoveById 1-3 7",
		"SecDataset d `\na\n#b\n`\nSecRule ARGS \"@pmFromDataset d\" \"id:1,phase:2,pass,capture,multiMatch\"",
		"SecAction \"id:1,phase:1,tag:a,tag:b\"\nSecRuleUpdateTargetByTag a \"!ARGS:x\"\nSecRuleUpdateActionById 1-4 \"nolog,pass\"\nSecRuleRemoveByTag b",
		"SecRuleEngine On\nInclude x.conf\nSecIgnoreRuleCompilationErrors Off",
		`SecRule REQUEST_HEADERS:/a\/b/|ARGS:/a\\/ "@within \\\" x" "id:9,phase:request,status:403,redirect:'http://x/,'"`,
	} {
		f.Add(text)
	}
	if data, err := fs.ReadFile(coreruleset.FS, "@owasp_crs/REQUEST-905-COMMON-EXCEPTIONS.conf"); err == nil {
		f.Add(string(data))
	}
	files := texts{"x.conf": `SecAction "id:77,phase:1,pass"`}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		sources := []seclang.Source{{Text: text}}
		p, err := seclang.Parse(files, sources)
		lower := strings.ToLower(text)
		if strings.Contains(lower, "log") && strings.Contains(lower, "/") || strings.Contains(lower, "dir") {
			return // Coraza would open logs where the text says
		}
		if strings.Contains(lower, "removebymsg") {
			return // which Coraza does not survive
		}
		observed, count, compileErr := compile(files, sources)
		if compileErr != nil {
			return // the engine does not start: nobody asks
		}
		if err != nil {
			t.Fatalf("Coraza compiles what is refused here: %v\n%s", err, text)
		}
		if err := p.Check(observed, count); err != nil && len(p.Unread) == 0 {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}
