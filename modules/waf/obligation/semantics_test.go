package obligation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/seclang"
)

// read derives the set of a program text.
func read(t *testing.T, text string) *obligation.Set {
	t.Helper()
	p, err := seclang.Parse(texts{}, []seclang.Source{{Text: text}})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	s, err := obligation.Read(p)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return s
}

// summary is what a set says, in a line: o obligations (p promoted, g gated), i inert, d decided, P parsing, u phases
// that are unprovable, and constants.
func summary(s *obligation.Set) string {
	var words []string
	for _, o := range s.Rules {
		word := fmt.Sprintf("o%d", o.Rule.ID)
		if o.Promoted {
			word += "p"
		}
		if o.Gate != nil {
			word += fmt.Sprintf("g%d", o.Gate.ID)
		}
		if o.Pinned {
			word += "!"
		}
		words = append(words, word)
	}
	for _, id := range s.Inert {
		words = append(words, fmt.Sprintf("i%d", id))
	}
	for _, id := range s.Decided {
		words = append(words, fmt.Sprintf("d%d", id))
	}
	for _, r := range s.Parsing {
		words = append(words, fmt.Sprintf("P%d", r.ID))
	}
	for phase := 1; phase <= 4; phase++ {
		if len(s.Unprovable[phase]) > 0 {
			words = append(words, fmt.Sprintf("u%d", phase))
		}
	}
	var constants []string
	for key, v := range s.Constants {
		constants = append(constants, key+"="+v)
	}
	slices.Sort(constants)
	return strings.Join(append(words, constants...), " ")
}

func TestSemantics(t *testing.T) {
	const set1 = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=1\"\n"
	for _, row := range []struct{ name, text, want string }{
		{"an action is decided", set1, "d1 a=1"},
		{"an action that logs is no use", `SecAction "id:1,phase:1,pass,log"`, "d1 u1 u2 u3 u4"},
		{"from its phase on", `SecAction "id:1,phase:3,pass,log"`, "d1 u3 u4"},
		{"a detection is an obligation", `SecRule ARGS "@contains x" "id:1,phase:1,deny"`, "o1"},
		{"so is a message without nolog", `SecRule ARGS "@contains x" "id:1,phase:4,pass,msg:x"`, "o1"},
		{"and the message of a link", "SecRule ARGS \"@contains x\" \"id:1,phase:1,pass,chain\"\nSecRule ARGS \"@contains y\" \"msg:x,nolog\"", "o1"},
		{"a quiet one is inert", `SecRule ARGS "@contains x" "id:1,phase:1,pass,nolog,msg:x"`, "i1"},
		{"block without a default does nothing", `SecRule ARGS "@contains x" "id:1,phase:1,block,nolog"`, "i1"},
		{"auditlog is a log", `SecRule ARGS "@contains x" "id:1,phase:1,pass,nolog,auditlog"`, "o1"},
		{"keys are folded", `SecAction "id:1,phase:1,pass,nolog,setvar:TX.AbC=1"` + "\n" + `SecRule TX:aBc "@eq 1" "id:2,phase:1,pass,nolog,setvar:tx.b=2"`, "d1 d2 abc=1 b=2"},
		{"arithmetic", `SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=+5,setvar:tx.a=-2,setvar:tx.a=+,setvar:tx.b=+x,setvar:tx.b=+1,setvar:tx.c=+tx.no"`, "d1 a=3 b=+x"},
		{"macros", set1 + `SecAction "id:2,phase:1,pass,nolog,setvar:tx.b=x%{tx.a}y%{TX.none},setvar:tx.%{tx.a}z=1"`, "d1 d2 1z=1 a=1 b=x1yTX.none"},
		{"deletion", set1 + `SecAction "id:2,phase:1,pass,nolog,setvar:!tx.a=0"`, "d1 d2"},
		{"deletion without a value kills Coraza", set1 + `SecAction "id:2,phase:1,pass,nolog,setvar:!tx.a"`, "d1 d2 u1 u2 u3 u4 a=1"},
		{"counts", set1 + `SecRule &TX:a "@eq 1" "id:2,phase:1,pass,nolog,setvar:tx.b=1"` + "\n" + `SecRule &TX:none "@eq 0" "id:3,phase:1,pass,nolog,setvar:tx.c=1"`, "d1 d2 d3 a=1 b=1 c=1"},
		{"an absent key matches nothing, negated or not", `SecRule TX:none "!@eq 5" "id:2,phase:1,deny"`, "d2"},
		{"captures begin empty, not absent", `SecRule TX:1 "@streq x" "id:2,phase:1,deny"` + "\n" + `SecRule &TX:10 "@eq 1" "id:3,phase:1,pass,nolog,setvar:tx.a=1"`, "d2 d3 a=1"},
		{"each matching value acts", set1 + `SecAction "id:2,phase:1,pass,nolog,setvar:tx.b=1"` + "\n" + `SecRule TX:a|TX:b|TX:none "@eq 1" "id:3,phase:1,pass,nolog,setvar:tx.n=+1"`, "d1 d2 d3 a=1 b=1 n=2"},
		{"a pattern of keys", set1 + `SecRule TX:/^A$/ "@eq 1" "id:2,phase:1,pass,nolog,setvar:tx.n=+1"`, "d1 d2 a=1 n=1"},
		{"unknown after an inert write", set1 + `SecRule ARGS "@contains x" "id:2,phase:1,pass,nolog,setvar:tx.a=2"`, "i2 d1"},
		{"the same write changes nothing", set1 + `SecRule ARGS "@contains x" "id:2,phase:1,pass,nolog,setvar:tx.a=1"`, "i2 d1 a=1"},
		{"who decides a detection is promoted", set1 + `SecRule ARGS "@contains x" "id:2,phase:1,pass,nolog,setvar:tx.a=2"` + "\n" + `SecRule TX:a "@eq 2" "id:3,phase:1,deny"`, "o2p d1 d3 a=1"},
		{"through another key", set1 + `SecRule ARGS "@contains x" "id:2,phase:1,pass,nolog,setvar:tx.s=+5"` + "\n" + `SecAction "id:3,phase:1,pass,nolog,setvar:tx.t=+%{tx.s}"` + "\n" + `SecRule TX:t "@ge 5" "id:4,phase:1,deny"`, "o2p d1 d3 d4 a=1"},
		{"a first link acts though the chain fails", set1 + `SecRule ARGS "@contains x" "id:2,phase:1,deny,chain,setvar:tx.a=2"` + "\n" + `SecRule ARGS "@contains y" "setvar:tx.b=2"`, "o2 d1"},
		{"which no promotion mends", set1 + "SecRule ARGS \"@contains x\" \"id:2,phase:1,pass,nolog,chain,setvar:tx.a=2\"\nSecRule ARGS \"@contains y\" \"t:none\"\n" + `SecRule TX:a "@eq 2" "id:3,phase:1,deny"`, "o3 i2 d1"},
		{"a chain that configuration ends", set1 + `SecRule ARGS "@contains x" "id:2,phase:1,deny,chain,setvar:tx.b=2"` + "\n" + `SecRule TX:a "@eq 2" "t:none"`, "d1 d2 a=1"},
		{"a chain whose first link is decided", set1 + `SecRule TX:a "@eq 1" "id:2,phase:1,deny,chain,setvar:tx.b=2"` + "\n" + `SecRule ARGS "@eq 2" "t:none"`, "o2 d1 a=1 b=2"},
		{"a dynamic key may be any that fits", `SecAction "id:1,phase:1,pass,nolog,setvar:tx.p_a=1,setvar:tx.q=1"` + "\n" + `SecRule ARGS "@contains x" "id:2,phase:1,pass,nolog,setvar:tx.P_%{MATCHED_VAR}=2"`, "i2 d1 q=1"},
		{"or any at all", `SecAction "id:1,phase:1,pass,nolog,setvar:tx.p_a=1,setvar:tx.q=1"` + "\n" + `SecRule ARGS "@contains x" "id:2,phase:1,pass,nolog,setvar:tx.%{MATCHED_VAR}=2"`, "i2 d1"},
		{"and a constant again when set", set1 + `SecRule ARGS "@contains x" "id:2,phase:1,pass,nolog,setvar:tx.%{MATCHED_VAR}=2"` + "\n" + `SecAction "id:3,phase:1,pass,nolog,setvar:tx.q=7"`, "i2 d1 d3 q=7"},
		{"skipAfter is followed", `SecAction "id:1,phase:1,pass,nolog,skipAfter:END"` + "\n" + `SecRule ARGS "x" "id:2,phase:1,deny"` + "\nSecMarker END\n" + `SecRule ARGS "x" "id:3,phase:1,deny"`, "o3 d1 d2"},
		{"over phases, if the marker is not behind it", "SecMarker M\n" + `SecRule ARGS "x" "id:2,phase:2,deny,t:none"` + "\n" + `SecAction "id:1,phase:1,pass,nolog,skipAfter:LATE"` + "\n" + `SecRule ARGS "x" "id:3,phase:1,deny"` + "\nSecMarker LATE", "o2 d1 d3"},
		{"until its marker in the next phase", `SecRule ARGS "x" "id:2,phase:2,deny"` + "\nSecMarker M\n" + `SecAction "id:1,phase:1,pass,nolog,skipAfter:M"` + "\n" + `SecRule ARGS "x" "id:3,phase:2,deny"`, "o3 d1 d2"},
		{"for ever without one", `SecAction "id:1,phase:1,pass,nolog,skipAfter:M"` + "\n" + `SecRule ARGS "x" "id:3,phase:2,deny"`, "d1 d3"},
		{"what may be skipped is judged, but its effects are not sure", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,skipAfter:M"` + "\n" + `SecAction "id:2,phase:1,pass,nolog,setvar:tx.a=1"` + "\n" + `SecRule ARGS "x" "id:3,phase:1,deny"` + "\nSecMarker M\n", "o1p o3 d2 a=1"},
		{"skip counts rules of the phase and markers", `SecAction "id:1,phase:1,pass,nolog,skip:2"` + "\n" + `SecRule ARGS "x" "id:2,phase:2,deny"` + "\nSecMarker M\n" + `SecRule ARGS "x" "id:3,phase:1,deny"` + "\n" + `SecRule ARGS "x" "id:4,phase:1,deny"`, "o4 o2 d1 d3"},
		{"what a skip counts is pinned", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,skip:1"` + "\n" + `SecRule ARGS "x" "id:3,phase:1,deny"` + "\n" + `SecRule ARGS "x" "id:4,phase:1,deny"`, "o3! o4 i1"},
		{"a skip ends with its phase", `SecRule ARGS "x" "id:3,phase:2,deny"` + "\n" + `SecAction "id:1,phase:1,pass,nolog,skip:9"`, "o3 d1"},
		{"allow ends the phase, perhaps", `SecRule ARGS "x" "id:1,phase:1,allow:phase,nolog"` + "\n" + `SecAction "id:2,phase:1,pass,nolog,setvar:tx.a=1"` + "\n" + `SecAction "id:3,phase:2,pass,nolog,setvar:tx.b=1"`, "o1p d2 d3 a=1"},
		{"a second phase may be left out", `SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=1"` + "\n" + `SecAction "id:2,phase:2,pass,nolog,setvar:tx.a=2"` + "\n" + `SecRule TX:a "@eq 1" "id:3,phase:3,deny"`, "o3 d1 d2"},
		{"ctl:ruleEngine is idle", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:ruleEngine=Off"`, "i1"},
		{"ctl:auditEngine=On is not", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:auditEngine=On"`, "o1"},
		{"setenv is not", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,setenv:a=b"`, "o1"},
		{"nor in a first link", "SecRule ARGS \"x\" \"id:1,phase:1,pass,nolog,chain,setenv:a=b\"\nSecRule ARGS \"y\" \"t:none\"", "o1 u1 u2 u3 u4"},
		{"parsing", `SecRule REQUEST_HEADERS:Content-Type "json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"`, "i1 P1"},
		{"parsing by an action", `SecAction "id:1,phase:1,pass,nolog,ctl:forceResponseBodyVariable=on"`, "d1 P1"},
		{"parsing by an operator", `SecRule REQUEST_METHOD "@gatehouseDistinct request" "id:1,phase:1,pass,nolog"`, "i1 P1"},
		{"parsing that depends on TX", `SecRule TX:0 "@rx x" "id:1,phase:1,pass,nolog,ctl:requestBodyAccess=Off"`, "i1 u1 u2 u3 u4"},
		{"parsing that logs is an obligation", `SecRule ARGS "x" "id:1,phase:1,pass,log,ctl:requestBodyAccess=Off"`, "o1"},
		{"but not in a first link", "SecRule ARGS \"x\" \"id:1,phase:1,deny,chain,ctl:requestBodyAccess=Off\"\nSecRule ARGS \"y\" \"t:none\"", "o1 u1 u2 u3 u4"},
		{"parsing that may be skipped", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,skipAfter:M"` + "\n" + `SecRule ARGS "y" "id:2,phase:1,pass,nolog,ctl:requestBodyAccess=Off"` + "\nSecMarker M", "o1p i2 P2"},
		{"parsing that may be removed", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=2"` + "\n" + `SecRule ARGS "y" "id:2,phase:1,pass,nolog,ctl:requestBodyAccess=Off"`, "o1p i2 P2"},
		{"an unknown operator that denies", `SecRule REQUEST_METHOD "@gatehouseDistinct request" "id:1,phase:2,deny"`, "o1 u2 u3 u4"},
		{"HIGHEST_SEVERITY", `SecRule HIGHEST_SEVERITY "@lt 5" "id:1,phase:4,deny"`, "o1 u4"},
		{"MATCHED_VAR of another rule", `SecRule MATCHED_VAR "x" "id:1,phase:4,deny"`, "o1 u4"},
		{"and of an earlier link", "SecRule ARGS \"x\" \"id:1,phase:4,deny,chain\"\nSecRule MATCHED_VAR \"y\" \"t:none\"", "o1"},
		{"removing a gate opens it", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=2"` + "\n" + `SecAction "id:2,phase:1,pass,nolog,skipAfter:M"` + "\n" + `SecRule ARGS "x" "id:3,phase:1,deny"` + "\nSecMarker M", "o3 i1 d2"},
		{"unless what is behind it goes too", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveByTag=t"` + "\n" + `SecAction "id:2,phase:1,pass,nolog,tag:t,skipAfter:M"` + "\n" + `SecRule ARGS "x" "id:3,phase:1,deny,tag:t"` + "\nSecMarker M", "i1 d2 d3"},
		{"removing a rule makes its effects unsure", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=2-3"` + "\n" + `SecAction "id:2,phase:1,pass,nolog,setvar:tx.a=1"`, "o1p d2 a=1"},
		{"removing markers is beyond us", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=0-9"`, "i1 u1 u2 u3 u4"},
		{"removing targets lowers counts", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=2;ARGS:a"` + "\n" + `SecRule &ARGS "@eq 1" "id:2,phase:1,deny"`, "o1p o2!"},
		{"and undecides what looks at TX", set1 + `SecRule ARGS "x" "id:2,phase:1,pass,nolog,ctl:ruleRemoveTargetById=3;TX:a"` + "\n" + `SecRule TX:a "@eq 1" "id:3,phase:1,pass,nolog,setvar:tx.b=1"`, "i2 i3 d1 a=1"},
		{"exceptions of TX are not worth it", set1 + `SecRule TX:a|!TX:a "@eq 1" "id:3,phase:1,deny"`, "o3 d1 a=1"},
		{"a skip does not count what is removed", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=3"` + "\n" + `SecAction "id:2,phase:1,pass,nolog,skip:1"` + "\n" + `SecAction "id:3,phase:1,pass,nolog"` + "\n" + `SecAction "id:4,phase:1,pass,nolog,setvar:tx.a=1"`, "o1p! d2 d3 d4 a=1"},
		{"a link may act twice", `SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=0,setvar:tx.b=0"` + "\n" + `SecRule ARGS "x" "id:2,phase:1,pass,nolog,setvar:tx.b=%{tx.a},setvar:tx.a=1"`, "i2 d1"},
		{"which does not matter upwards", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=2;ARGS:a"` + "\n" + `SecRule &ARGS "@gt 1" "id:2,phase:1,deny"`, "o2 i1"},
		{"an added target undecides", set1 + `SecRule TX:a "@eq 2" "id:2,phase:1,deny"` + "\nSecRuleUpdateTargetById 2 ARGS", "o2 d1 a=1"},
		{"gates", `SecRule RESPONSE_BODY "!@pm a b" "id:1,phase:4,pass,nolog,skipAfter:M"` + "\n" + `SecRule RESPONSE_BODY "x" "id:2,phase:4,deny"` + "\nSecMarker M\n" + `SecRule RESPONSE_BODY "x" "id:3,phase:4,deny"`, "o2g1 o3 i1"},
		{"a gate that may be skipped, to within its section", `SecRule ARGS "x" "id:5,phase:4,pass,nolog,skipAfter:W"` + "\n" + `SecRule RESPONSE_BODY "!@pm a b" "id:1,phase:4,pass,nolog,skipAfter:M"` + "\n" + `SecRule RESPONSE_BODY "x" "id:2,phase:4,deny"` + "\nSecMarker W\n" + `SecRule RESPONSE_BODY "x" "id:3,phase:4,deny"` + "\nSecMarker M", "o2g1 o3 i1 i5"},
		{"a gate that may be removed", `SecRule ARGS "x" "id:5,phase:1,pass,nolog,ctl:ruleRemoveById=1"` + "\n" + `SecRule RESPONSE_BODY "!@pm a b" "id:1,phase:4,pass,nolog,skipAfter:M"` + "\n" + `SecRule RESPONSE_BODY "x" "id:2,phase:4,deny"` + "\nSecMarker M", "o2 i1 i5"},
		{"a gate with fewer targets for some", `SecRule ARGS "x" "id:5,phase:1,pass,nolog,ctl:ruleRemoveTargetById=1;ARGS:q"` + "\n" + `SecRule ARGS "!@pm a b" "id:1,phase:4,pass,nolog,skipAfter:M"` + "\n" + `SecRule ARGS "x" "id:2,phase:4,deny"` + "\nSecMarker M", "o2 i1 i5"},
		{"a negated capture leaves a trace", `SecRule ARGS "!@rx (x)" "id:1,phase:1,deny,capture"`, "o1!"},
		{"captures are unknown after any capture", `SecRule ARGS "@rx (x)" "id:1,phase:1,deny,capture"` + "\n" + `SecRule TX:1 "@streq x" "id:2,phase:1,deny"`, "o1 o2"},
		{"actions that Coraza does not implement", `SecRule ARGS "x" "id:1,phase:1,pass,nolog,initcol:ip=x,expirevar:tx.a=5,exec"`, "i1"},
		{"phase 5", `SecRule ARGS "x" "id:1,phase:5,pass,log"`, "o1"},
		{"constants behind transformations", set1 + `SecRule TX:a "@eq 1" "id:2,phase:1,pass,nolog,t:urlDecodeUni,setvar:tx.b=1"` + "\n" + `SecRule TX:a "@eq 1" "id:3,phase:1,pass,nolog,t:sha1,setvar:tx.c=1"`, "i3 d1 d2 a=1 b=1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := summary(read(t, row.text)); got != row.want {
				t.Errorf("%s\nwant %s\n%s", got, row.want, row.text)
			}
		})
	}
}

func TestUnreadProgramsAreRefused(t *testing.T) {
	if _, err := obligation.Read(&seclang.Program{Unread: []string{"x.conf:1: who knows"}}); err == nil {
		t.Error("no error")
	}
}

func TestArgumentsAndTemplates(t *testing.T) {
	s := read(t, `SecAction "id:1,phase:1,pass,nolog,setvar:tx.list=|a| |b|,setvar:tx.odd=%,setvar:tx.late=1"
SecRule REQUEST_METHOD "@within x%{tx.list}%{tx.none}" "id:2,phase:1,deny"
SecRule REQUEST_METHOD "@streq %{tx.odd}{tx.list}" "id:3,phase:1,deny"
SecRule ARGS "@rx (.)" "id:4,phase:1,deny,capture,chain,setvar:'tx.k_%{MATCHED_VAR_NAME}=%{tx.1}',setvar:tx.mine=|%{tx.0}|,setvar:tx.n=+1"
  SecRule TX:mine|TX:1|TX:/^k_/|TX:n|TX:list "@within %{tx.list}%{tx.mine}" "t:none"
SecAction "id:5,phase:2,pass,nolog,setvar:tx.late=2"`)
	byID := map[int]*obligation.Obligation{}
	for _, o := range s.Rules {
		byID[o.Rule.ID] = o
	}
	if got := byID[2].Rule.Op.Argument; got != "x|a| |b|tx.none" {
		t.Errorf("argument %q", got)
	}
	if got := byID[3].Rule.Op.Argument; got != "%{tx.odd}{tx.list}" {
		t.Errorf("what could be read as a macro again: %q", got)
	}
	if got := byID[4].Rule.Chain.Op.Argument; got != "|a| |b|%{tx.mine}" {
		t.Errorf("a chain's own key: %q", got)
	}
	want := `map[k_%{matched_var_name}:[%{tx.1}] mine:[|%{tx.0}|] n:[+1]] [{0 0 list |a| |b| false}]`
	if got := fmt.Sprint(byID[4].Sets, " ", byID[4].Reads); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got, ok := s.Expand("x%{TX.LIST}"); got != "x|a| |b|" || !ok {
		t.Errorf("%q %t", got, ok)
	}
	for _, text := range []string{"%{tx.late}", "%{tx.none}", "%{ARGS.x}", "%{tx", "%{}"} {
		if got, ok := s.Expand(text); ok {
			t.Errorf("%s is no constant, and yet %q", text, got)
		}
	}
}
