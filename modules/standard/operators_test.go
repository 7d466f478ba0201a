package standard_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

// What each role may do at its socket, at every endpoint of the rooms and of Caddy's (NAT-06).
func TestOperatorRoles(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	words := ""
	for _, role := range []string{"viewer", "integrator", "auditor", "admin"} {
		words += fmt.Sprintf("%s unix/%s|0600\n", role, filepath.Join(dir, role))
	}
	change := []string{"idp", "local\nbreak_glass\noperators {\n" + words + "}"}
	g := operate(t, change...)
	ask := func(role, method, path, body string) (int, string) {
		t.Helper()
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, role))
		}}}
		req, err := http.NewRequest(method, "http://x"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Gatehouse-Operator", "somebody else")
		res, err := c.Do(req)
		if err != nil {
			t.Fatalf("%s %s %s: %v", role, method, path, err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	const viewer, integrator, auditor, admin = "V", "I", "U", "A"
	letters := map[string]string{"viewer": viewer, "integrator": integrator, "auditor": auditor, "admin": admin}
	for request, who := range map[string]string{
		"GET /gatehouse/bans": viewer + admin, "POST /gatehouse/bans": admin, "DELETE /gatehouse/bans": admin,
		"GET /gatehouse/containment": viewer + admin, "POST /gatehouse/containment/throw": admin, "GET /gatehouse/containment/foresee": admin,
		"GET /gatehouse/status": viewer + admin, "GET /gatehouse/posture": viewer + admin, "GET /gatehouse/sessions": viewer + admin, "DELETE /gatehouse/sessions": admin,
		"GET /gatehouse/waf/requests": viewer + admin, "GET /gatehouse/siem": viewer + integrator + admin, "POST /gatehouse/siem/pseudonym": "",
		"POST /gatehouse/policy/explain": viewer + admin, "GET /gatehouse/policy/shadow": viewer + admin,
		"GET /gatehouse/service-accounts": integrator + admin, "POST /gatehouse/service-accounts/add": integrator + admin,
		"GET /gatehouse/api-keys": integrator + admin, "POST /gatehouse/api-keys/create": integrator + admin,
		"GET /gatehouse/client-certificates": integrator + admin, "POST /gatehouse/client-certificates/revoke": integrator + admin,
		"POST /gatehouse/reveal": viewer + admin, "POST /gatehouse/reveal/approve": viewer + admin,
		"GET /gatehouse/audit": auditor + admin, "POST /gatehouse/audit/holds": "", "DELETE /gatehouse/audit/holds": "", "POST /gatehouse/audit/incidents": "",
		"GET /gatehouse/access-review": admin, "POST /gatehouse/access-review/sign-off": admin,
		"GET /gatehouse/support-grants": admin, "POST /gatehouse/support-grants/give": admin,
		"GET /gatehouse/users": admin, "POST /gatehouse/users/add": admin, "GET /gatehouse/mfa": admin, "GET /gatehouse/links": admin,
		"GET /gatehouse/break-glass": admin, "POST /gatehouse/break-glass/seal": admin,
		"GET /config/": "", "POST /load": "", "POST /stop": "", "GET /debug/pprof/": "", "GET /metrics": "", "GET /": "",
		"PUT /gatehouse/bans": "", "GET /gatehouse/audit/../users": "", "GET /gatehouse//users": "", "GET /gatehouse/bans/": admin,
		"GET /GATEHOUSE/users": "", "POST /gatehouse/audit": admin,
	} {
		method, path, _ := strings.Cut(request, " ")
		for role, letter := range letters {
			status, body := ask(role, method, path, "")
			if allowed := !strings.Contains(body, "the role "+role+" may not do that"); allowed != strings.Contains(who, letter) || !allowed && status != 403 {
				t.Errorf("%s: %s: %d %s", role, request, status, body)
			}
		}
	}

	// Who asks is whom the kernel says, whatever the request does.
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	name := me.Username + " (integrator)"
	if status, body := ask("integrator", "POST", "/gatehouse/service-accounts/add", `{"name":"backup","operator":"somebody else"}`); status != 200 || !strings.Contains(body, `"by":"`+name+`"`) {
		t.Errorf("%d %s", status, body)
	}
	g.WantEvent("admin.done", `"operator":"`+name+`"`, "service-accounts/add")
	g.WantEvent("service_account.added", `"operator":"`+name+`"`)
	if strings.Contains(g.Log(), "somebody else") {
		t.Error("the log believes what a request says about who makes it")
	}

	// The sockets outlive a reload.
	if err := g.Load(g.text(change...)); err != nil {
		t.Fatal(err)
	}
	for role := range letters {
		want := map[string]int{"auditor": 200, "admin": 200}[role]
		if want == 0 {
			want = 403
		}
		if status, body := ask(role, "GET", "/gatehouse/audit", ""); status != want {
			t.Errorf("after a reload, %s: %d %s", role, status, body)
		}
	}
}
