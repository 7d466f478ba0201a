package standard_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An auditor of one tenant reads what is on record of that tenant, and of no other, whatever they ask for (CAL-26).
func TestAuditorOfATenant(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	house := fmt.Sprintf(`voucher
		tenant acme {
			providers voucher
		}
		tenant basel {
			providers voucher
		}
		operators {
			auditor unix/%[1]s/auditor|0600
			tenant_auditor acme unix/%[1]s/acme|0600
			tenant_auditor basel unix/%[1]s/basel|0600
		}`, dir)
	more := "https://b.test:{{addr}} {\n{{tls}}\ngatehouse {\ntenant basel\nallow role staff\n}\nrespond hello\n}"
	// Two more sites have one name.
	for host, tenant := range map[string]string{"d.test": "acme", "e.test": "basel"} {
		more += "\nhttps://" + host + ":{{addr}} {\n{{tls}}\ngatehouse {\nname shop\ntenant " + tenant + "\nallow role staff\n}\nrespond hello\n}"
	}
	g := operate(t, "idp", house, "policy", "tenant acme\nallow role staff", "more", more)
	anna := browserOf(t, g, "as=anna&roles=staff") // at acme's site
	anna.Get("/").Want(t, 200, "hello")
	as(t, g.Gateway, "b.test", "as=bert&roles=staff")
	as(t, g.Gateway, "d.test", "as=dora&roles=staff")
	as(t, g.Gateway, "e.test", "as=emil&roles=staff")
	g.ok("service-account", "add", "robot", "--role", "staff", "--tenant", "basel")
	g.ok("ban", "add", "198.51.100.7", "--detail", "of the house")

	ask := func(socket, uri string) (int, string) {
		t.Helper()
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, socket))
		}}}
		res, err := c.Get("http://x" + uri)
		if err != nil {
			t.Fatalf("%s %s: %v", socket, uri, err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	const records = "/gatehouse/audit/records"
	for tenant, tt := range map[string]struct{ own, others []string }{
		"acme":  {[]string{`"user":"voucher:anna"`, `"kind":"session.created"`, `"site":"app.test"`, `"user":"voucher:dora"`, `"kind":"audit.exported"`, `"tenant":["acme"]`}, []string{"bert", "emil", "b.test", "basel", "robot", "198.51.100.7"}},
		"basel": {[]string{`"user":"voucher:bert"`, `"kind":"session.created"`, `"site":"b.test"`, `"service-accounts/add`, `"user":"voucher:emil"`, `"kind":"audit.exported"`}, []string{"anna", "dora", "app.test", "acme", "198.51.100.7"}},
	} {
		for _, uri := range []string{records, records + "?tenant=" + tenant, records + "?tenant=acme", records + "?tenant=basel", records + "?tenant=acme&tenant=basel", records + "?tenant=&from=0"} {
			status, body := ask(tenant, uri)
			if status != 200 {
				t.Fatalf("%s asks for %s: %d %s", tenant, uri, status, body)
			}
			for _, want := range tt.own {
				if !strings.Contains(body, strings.Replace(want, `"service-accounts`, `/gatehouse/service-accounts`, 1)) {
					t.Errorf("%s asks for %s, and does not see %s:\n%s", tenant, uri, want, body)
				}
			}
			for _, no := range tt.others {
				if strings.Contains(body, no) {
					t.Errorf("%s asks for %s, and sees %s:\n%s", tenant, uri, no, body)
				}
			}
		}
		for _, uri := range []string{"/gatehouse/audit", "/gatehouse/users", "/gatehouse/sessions", "/gatehouse/audit/holds", "/config/"} {
			if status, body := ask(tenant, uri); status != 403 {
				t.Errorf("%s asks for %s: %d %s", tenant, uri, status, body)
			}
		}
	}
	if status, _ := ask("auditor", records+"?tenant=acme"); status != 403 {
		t.Errorf("the house's auditor, who has the files, asks for a tenant's: %d", status)
	}
	if out := g.ok("audit", "export", "--tenant", "acme"); !strings.Contains(out, "voucher:anna") || strings.Contains(out, "bert") || strings.Count(out, "\n") == 0 {
		t.Errorf("the export:\n%s", out)
	}
	g.no("no tenant", "audit", "export", "--tenant", "corp")
	g.WantEvent("audit.exported", `"operator":"olga"`, `"tenant":"acme"`, `"from":"0"`)
	g.no("leave /elsewhere out", "audit", "export", "/elsewhere", "--tenant", "acme")
	g.no("leave --key out", "audit", "export", "--tenant", "acme", "--key", "k")
	g.no("all of the tenant's", "audit", "export", "--tenant", "acme", "--kind", "user")
	if err := g.Load(g.text("idp", strings.Replace(house, "tenant_auditor basel", "tenant_auditor corp", 1), "policy", "tenant acme\nallow role staff", "more", more)); err == nil || !strings.Contains(err.Error(), "no such tenant") {
		t.Errorf("an auditor of nobody: %v", err)
	}
	// What is not as it was is no record of anybody.
	files, err := filepath.Glob(filepath.Join(g.Dir, "state", "audit", "segment-*.log"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], []byte(strings.Replace(string(text), `"kind":"session.created"`, `"kind":"session.creatad"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, body := ask("acme", records); status != 500 || strings.Contains(body, "anna") {
		t.Errorf("of a record that was changed: %d %s", status, body)
	}
}
