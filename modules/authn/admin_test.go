package authn_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/authn"
	"gatehouse.internal/modules/internal/gatetest"
)

// command runs `gatehouse session …` inside the test and returns what it wrote.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := &cobra.Command{Use: "gatehouse", SilenceErrors: true, SilenceUsage: true}
	sub := &cobra.Command{Use: "session"}
	caddycmd.Commands()["session"].CobraFunc(sub)
	root.AddCommand(sub)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs(append([]string{"session"}, args...))
	err := root.Execute()
	return out.String(), err
}

// The administration endpoint and the commands list and revoke what the running gateway has, and show no secret.
func TestSessionCommands(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := ln.Addr().String()
	ln.Close()
	g := gatetest.New(t)
	text := strings.Replace(cutSite, "{{house}}", "{{house}}\n\tadmin "+admin, 1)
	if err := g.Load(text, "{{backend}}", "127.0.0.1:1", "{{flush}}", "0", "{{provider}}", "witness", "admin off", ""); err != nil {
		t.Fatal(err)
	}
	ada, _, eve := sessionFor(t, g, "ada"), sessionFor(t, g, "ada"), sessionFor(t, g, "eve")
	run := func(want string, args ...string) string {
		t.Helper()
		out, err := command(t, append(args, "--address", admin)...)
		if err != nil {
			out += err.Error()
		}
		if !strings.Contains(out, want) {
			t.Errorf("session %s: %q, want %q", args, out, want)
		}
		return out
	}
	alive := func(cookie string, want bool) {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, at(g, "/"), nil)
		req.Header.Set("Cookie", cookie)
		res, err := g.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if (res.StatusCode != http.StatusUnauthorized) != want {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	all := run(`"witness:eve"`, "list")
	if strings.Count(all, `"witness:ada"`) != 2 {
		t.Errorf("the list: %s", all)
	}
	_, token, _ := strings.Cut(ada, "=")
	if strings.Contains(all, token) {
		t.Error("the list shows a cookie")
	}
	run("there are more", "list", "--limit", "1")
	run("provider:subject", "list", "--user", "ada")
	var l struct{ Sessions []authn.Info }
	if err := json.Unmarshal([]byte(run(`"sessions"`, "list", "--json", "--user", "witness:ada")), &l); err != nil || len(l.Sessions) != 2 {
		t.Errorf("JSON: %v, %d sessions", err, len(l.Sessions))
	}
	alive(ada, true)
	run("say which", "revoke")
	run("say which", "revoke", "--all", "--user", "witness:ada")
	run("nothing was revoked", "revoke", "--user", "witness:nobody")
	run("nothing was revoked", "revoke", "0123456789abcdef")
	run("revoked 1 sessions", "revoke", l.Sessions[0].Name)
	run("revoked 1 sessions", "revoke", "--user", "witness:ada")
	alive(ada, false)
	alive(eve, true)
	run("revoked 1 sessions", "revoke", "--all")
	alive(eve, false)
	for _, bad := range []string{"?all=yes", "?all=true&name=x", "", "?user=ada", "?user=:", "?who=ada"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+admin+"/gatehouse/sessions"+bad, nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("DELETE %s: %d", bad, res.StatusCode)
		}
	}
}
