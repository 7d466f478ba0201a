package mfa_test

import (
	"bytes"
	"net"
	"net/http"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// TestCommands: who has which factors, and taking them away from whoever has lost them; that ends their sessions.
func TestCommands(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := ln.Addr().String()
	ln.Close()
	h := openGate(t, "admin off", "", "{{house}}", "{{house}}\n\tadmin "+admin)
	run := func(want string, args ...string) string {
		t.Helper()
		root := &cobra.Command{Use: "gatehouse", SilenceErrors: true, SilenceUsage: true}
		sub := &cobra.Command{Use: "mfa"}
		caddycmd.Commands()["mfa"].CobraFunc(sub)
		root.AddCommand(sub)
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(append(append([]string{"mfa"}, args...), "--address", admin))
		said := ""
		if err := root.Execute(); err != nil {
			said = err.Error()
		}
		if said = out.String() + said; !strings.Contains(said, want) {
			t.Errorf("mfa %s: %q, want %q", args, said, want)
		}
		return said
	}
	run("USER", "list")
	ada := h.browser().login("who=ada&amr=pwd").enrol()
	h.browser().login("who=eve&amr=pwd").get("/").says(t, "eve", 200)
	if said := run(`"witness:ada"  yes  0         10`, "list"); strings.Contains(said, "eve") || strings.Contains(said, ada.key) {
		t.Errorf("the list says %s", said)
	}
	run(`{"people":[{"user":"witness:ada","app":true,"passkeys":0,"backup_codes":10,"used":"`, "list", "--json")
	run("provider:subject", "reset", "ada")
	run("witness:eve has no second factors", "reset", "witness:eve")
	ada.get("/").says(t, "before", 200)
	run("witness:ada had 2 second factors, and has none now; 1 sessions ended", "reset", "witness:ada")
	ada.get("/").says(t, "after", 302, "/.gatehouse/login")
	h.logged(`"user.factors_reset"`, `"user":"witness:ada"`)
	h.browser().login("who=ada&amr=pwd").get("/").says(t, "without any", 200)

	res, err := http.Post("http://"+admin+"/gatehouse/mfa", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", res.StatusCode)
	}
}
