// Package obligationtest gives tests small rule programs in which everything depends on everything.
package obligationtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// maker makes programs in which everything depends on everything.
type maker struct {
	*rand.Rand
	id    int
	lines []string
}

func (m maker) of(words ...string) string { return words[m.IntN(len(words))] }

func (m maker) key() string { return m.of("a", "b", "c") }

// setvar makes an assignment, most of them constant.
func (m maker) setvar() string {
	key := m.of("a", "b", "c", "a", "b", "c", "d_x", "d_%{MATCHED_VAR}", "%{tx.a}", "%{tx.1}k")
	value := m.of("1", "2", "+1", "-1", "x", "%{tx.a}", "+%{tx.b}", "x%{tx.c}", "%{MATCHED_VAR}", "%{tx.1}", "%{tx.d_x}")
	if m.IntN(12) == 0 {
		key = "!tx." + key
	} else {
		key = "tx." + key
	}
	return "setvar:'" + key + "=" + value + "'"
}

func (m maker) condition() string {
	targets := m.of("ARGS", "ARGS:a", "ARGS:b", "&ARGS", "&ARGS:a", "REQUEST_METHOD", "ARGS_NAMES|TX:b", "ARGS|!ARGS:a", "TX:"+m.key(), "TX:"+m.key(),
		"TX:"+m.key()+"|TX:"+m.key(), "&TX:"+m.key(), "TX:/^d_/", "&TX:/^d_/", "TX:1", "TX:1", "TX:d_x", "TX:/"+m.key()+"/",
		"TX:a|TX:b|TX:c", "&ARGS", "&TX:/./")
	op := m.of("@streq 1", "@streq x", "@contains 1", "@eq 0", "@eq 1", "@gt 0", "@ge 2", "@lt 2", "@within 12x", "@within %{tx.a}", "@streq %{tx.b}",
		"@beginsWith %{tx.c}", "@rx (.)", "@rx ^(x|1)$", "@unconditionalMatch", "@contains %{tx.1}")
	if m.IntN(4) == 0 {
		op = "!" + op
	}
	return targets + ` "` + op + `"`
}

// actions are those of a link; what only a first rule may say is added by rule.
func (m maker) actions() (actions []string) {
	for m.IntN(3) == 0 {
		actions = append(actions, m.setvar())
	}
	switch m.IntN(18) {
	case 0:
		actions = append(actions, fmt.Sprintf("ctl:ruleRemoveById=%d", 1+m.IntN(14)))
	case 1:
		actions = append(actions, fmt.Sprintf("ctl:ruleRemoveByTag=%s", m.of("t", "u")))
	case 2, 8:
		actions = append(actions, fmt.Sprintf("ctl:ruleRemoveTargetById=%d-14;%s", 1+m.IntN(14), m.of("ARGS", "ARGS:a", "TX", "TX:a", "ARGS:/b/", "TX:/^d/")))
	case 3, 6, 7:
		actions = append(actions, "capture")
	case 4:
		actions = append(actions, m.of("t:lowercase", "t:none", "multiMatch,t:urlDecodeUni"))
	case 5:
		actions = append(actions, m.of("ctl:ruleEngine=Off", "ctl:ruleEngine=DetectionOnly"))
	}
	return actions
}

// chain is a chain as CRS has them: its links ask about what the first one has matched. They transform nothing: Coraza's
// memory of transformations would hand them what another rule has matched.
func (m *maker) chain() {
	own := fmt.Sprintf("%s%d_", m.of("d_", "e_", "b"), m.id)
	first := []string{fmt.Sprintf("id:%d", m.id), fmt.Sprintf("phase:%d", 1+m.IntN(3)), m.of("pass", "pass", "deny"), m.of("log", "msg:m", "msg:m", "nolog"), m.of("capture", "capture", "t:none")}
	if m.IntN(3) > 0 {
		first = append(first, "setvar:'tx."+own+m.of("", "%{MATCHED_VAR}", "%{tx.0}", "%{tx.1}")+"="+m.of("%{MATCHED_VAR}", "/%{tx.0}/", "%{tx.1}", "1", "2")+"'")
	}
	if m.IntN(8) == 0 {
		first = append(first, m.setvar())
	}
	m.lines = append(m.lines, fmt.Sprintf(`SecRule %s "%s" "%s,chain"`, m.of("ARGS", "ARGS_NAMES", "REQUEST_METHOD", "ARGS:a", "ARGS|REQUEST_METHOD"),
		m.of("@rx ^(.)", "@rx (.)(.)", "@rx ^.*$", "!@rx ^1", "@unconditionalMatch", "!@streq 1"), strings.Join(first, ",")))
	m.lines = append(m.lines, fmt.Sprintf(`SecRule %s "%s" "t:none,%s"`, m.of("MATCHED_VAR", "MATCHED_VARS", "TX:/^"+own+"/", "TX:"+own, "TX:0", "TX:1"),
		m.of("@streq 2", "@within 12", "@contains x", "@rx ^2", "!@within 12x", "@streq %{tx.0}", "@beginsWith %{tx.a}"), m.of("multiMatch", m.setvar())))
}

// exemption is a rule that takes a variable away from later rules and does nothing else.
func (m *maker) exemption() {
	m.lines = append(m.lines, fmt.Sprintf(`SecRule %s "%s" "id:%d,phase:%d,pass,nolog,ctl:ruleRemoveTargetById=%d-14;REQUEST_METHOD"`,
		m.of("ARGS", "REQUEST_METHOD", "ARGS:a"), m.of("@rx ^(.)", "!@streq 1", "@contains x"), m.id, 1+m.IntN(2), m.id+1))
}

func (m *maker) rule() {
	m.id++
	switch m.IntN(16) {
	case 0, 1, 2, 3:
		m.chain()
		return
	case 4:
		m.exemption()
		return
	}
	actions := []string{fmt.Sprintf("id:%d", m.id), fmt.Sprintf("phase:%d", 1+m.IntN(4))}
	actions = append(actions, m.of("pass", "pass", "pass", "deny", "deny", "block", "allow", "allow:phase", "allow:request"))
	actions = append(actions, m.of("nolog", "nolog", "nolog", "log", "msg:m"))
	actions = append(actions, m.actions()...)
	switch m.IntN(6) {
	case 0:
		actions = append(actions, "skipAfter:"+m.of("M", "N", "O"))
	case 1:
		actions = append(actions, m.of("skip:1", "skip:2", "skip:3"))
	}
	if m.IntN(3) == 0 {
		actions = append(actions, "tag:"+m.of("t", "u"))
	}
	if m.IntN(4) == 0 { // decided, and quiet, or there would be nothing to prove
		m.lines = append(m.lines, fmt.Sprintf(`SecAction "%s"`, strings.NewReplacer("deny", "pass", "nolog", "nolog", "log", "nolog", "msg:m", "nolog").Replace(strings.Join(actions, ","))))
		return
	}
	links := 1
	for links < 3 && m.IntN(4) == 0 {
		links++
	}
	for link := range links {
		if link > 0 {
			actions = append([]string{"t:none"}, m.actions()...)
		}
		if link < links-1 {
			actions = append(actions, "chain")
		}
		m.lines = append(m.lines, fmt.Sprintf(`SecRule %s "%s"`, m.condition(), strings.Join(actions, ",")))
	}
}

// Exchange is a request for a program, and the answer's status; 0: there is none.
type Exchange struct {
	Method, URI string
	NoBody      bool // the second phase is left out
	Status      int
}

// Program makes a text and some exchanges for it; the same of the same seed.
func Program(seed uint64) (text string, exchanges []Exchange) {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 1))}
	m.lines = []string{"SecRuleEngine On", "SecRequestBodyAccess On", "SecResponseBodyAccess On"}
	for range 3 + m.IntN(11) {
		if m.IntN(6) == 0 {
			m.lines = append(m.lines, "SecMarker "+m.of("M", "N", "O"))
		}
		m.rule()
	}
	if m.IntN(8) == 0 {
		m.lines = append(m.lines, fmt.Sprintf("SecRuleUpdateTargetById %d-14 %s", 1+m.IntN(13), m.of("ARGS", "TX:a", "!ARGS:a")))
	}
	for range 6 {
		x := Exchange{Method: m.of("GET", "POST", "1", "x"), URI: "/", NoBody: m.IntN(4) == 0, Status: 200 * m.IntN(2)}
		for i := range m.IntN(4) {
			x.URI += m.of("?", "&")[:1]
			if i == 0 {
				x.URI = "/?"
			}
			x.URI += m.of("a", "b", "q", "x", "1") + "=" + m.of("1", "x", "2", "12", "b", "")
		}
		exchanges = append(exchanges, x)
	}
	return strings.Join(m.lines, "\n"), exchanges
}
