package testenv

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// privateCaddyfile is the manual's: no line of any local output names anybody.
const privateCaddyfile = `{
	import {$BASE}
	log default {
		output file {$LOG}
		exclude gatehouse.access
		format filter {
			request delete
			wrap json
		}
	}
	log access {
		include gatehouse.access
		output file {$ACCESS}
	}
	gatehouse {
		state_dir {$STATE}
		local_logs pseudonyms
		mfa {
			insecure_admins_without_factor
		}
		local {
			first_user_roles {$ROLES}
		}
		siem {
			send stdout
		}
	}
}
https://app.test:{$PORT} {
	tls {$CERT} {$KEY}
	gatehouse {
		allow role staff
		rate_limit 1000r/s /.gatehouse/*
		waf {
			shadow {
				paranoia 2
			}
		}
	}
	reverse_proxy {$BACKEND}
}
`

// TestLocalLogsNameNobody: what a person and an attacker say, wherever in a request, is in no file and no stream that the gateway
// writes on its machine, also where Caddy itself tells of an application that broke off; and why still tells an operator.
func TestLocalLogsNameNobody(t *testing.T) {
	t.Parallel()
	const canary = "kw7Rt2Xq9ZmCANARY43"
	access := filepath.Join(t.TempDir(), "access.json")
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Caddyfile: privateCaddyfile, Env: []string{"ACCESS=" + access}})
	ann := g.newUser(t, "annabella", "two cranes over a tin roof")
	ann.get(t, "/whoami")
	header := http.Header{"X-" + canary: {canary}, "User-Agent": {canary}, "Referer": {"https://x.test/" + canary}, "Authorization": {"Bearer " + canary}}
	for _, r := range []request{
		{Path: "/half?q=" + canary, Header: header, HTTP: "1.1"}, {Path: "/reset?q=" + canary, Header: header}, {Path: "/" + canary, Header: header},
		{Path: "/search?q=1'+OR+'1'='1'+UNION+SELECT+" + canary + "+FROM+users--"}, {Path: "/search?" + canary + "=<script>alert(1)</script>"},
		{Path: "/search?q=" + canary, Header: http.Header{"Cookie": {"q=<script>" + canary + "</script>"}}},
		{Method: http.MethodPost, Path: "/notes", Body: []byte("text=<script>" + canary + "</script>"), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {g.origin()}}},
		{Method: http.MethodPost, Path: "/api/notes", Body: []byte(`{"` + canary + `":"1' OR 1=1--"}`), Header: http.Header{"Content-Type": {"application/json"}, "Origin": {g.origin()}}},
	} {
		_, _ = ann.do(r) // half an answer is an error
	}
	last := ann.get(t, "/search?q=annabella")
	outputs := map[string]string{"access log": access, "Caddy's log": g.env["LOG"], "standard output": g.stdout(), "standard error": g.stderr()}
	eventually(t, logSoonIn, "the last line of each output", func() bool {
		return strings.Contains(fileText(access), last.id()) && strings.Contains(fileText(g.stdout()), last.id()) && strings.Contains(fileText(g.env["LOG"]), "aborting with incomplete response")
	})
	for name, file := range outputs {
		said := fileText(file)
		for _, secret := range []string{canary, strings.ToLower(canary), "annabella"} {
			if i := strings.Index(said, secret); i >= 0 {
				t.Errorf("%s tells %q: %s", name, secret, said[max(0, i-400):min(len(said), i+100)])
			}
		}
		for line := range strings.Lines(said) {
			if strings.Contains(line, `"127.0.0.1`) && !strings.Contains(line, `"upstream"`) && !strings.Contains(line, `"sans"`) {
				t.Errorf("%s tells an address: %s", name, line)
			}
		}
	}
	lines := strings.Split(fileText(access), "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, last.id()) })
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[i]), &line); err != nil {
		t.Fatal(err)
	}
	her := strings.TrimSpace(g.cli(t, "siem", "pseudonym", "user", "local:annabella", "--why", "case 7", "--address", "unix/"+g.env["ADMIN"]))
	if line["user"] != her || line["client_net"] != "127.0.0.0/24" {
		t.Errorf("her line is %v, and she is %s", line, her)
	}
	if why := g.cli(t, "why", last.id(), "--log", access, "--audit", g.auditDir()); !strings.Contains(why, her) {
		t.Errorf("why says: %s", why)
	}
}

func fileText(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}
