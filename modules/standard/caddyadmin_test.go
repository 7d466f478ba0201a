package standard_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

// CER-12: what Caddy's own endpoints change is on record before and after, with whom the kernel saw at the socket; parts of the
// running configuration are not changed, and while nothing can be recorded nothing is done.
func TestCaddysEndpointsAreOnRecord(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "admin.sock")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	ask := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Gatehouse-Operator", "somebody else")
		res, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	o := &operated{t: t, admin: "unix/" + socket + "|0600"}
	o.Gateway = gatetest.Start(t, o.text("idp", "local"))
	config, err := o.Adapt(o.text("idp", "local", "policy", "allow role other"))
	if err != nil {
		t.Fatal(err)
	}
	if status, body := ask("POST", "/load", string(config)); status != http.StatusOK {
		t.Fatalf("another configuration: %d %s", status, body)
	}
	if status, body := ask("POST", "/load", `{"admin":{"listen":"`+o.admin+`"},"apps":{"no_such_app":{}}}`); status != http.StatusBadRequest || !strings.Contains(body, "no_such_app") {
		t.Errorf("a bad configuration: %d %s", status, body)
	}
	if status, body := ask("POST", "/adapt", "{}"); status == http.StatusServiceUnavailable {
		t.Errorf("adapt: %d %s", status, body)
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		for _, path := range []string{"/config/apps/http", "/id/x"} {
			if status, body := ask(method, path, `{}`); status != http.StatusForbidden || !strings.Contains(body, "gatehouse reload") {
				t.Errorf("%s %s: %d %s", method, path, status, body)
			}
		}
	}
	if status, body := ask("GET", "/config/", ""); status != http.StatusOK || !strings.Contains(body, "other") {
		t.Errorf("what runs: %d %s", status, body)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	shown := o.ok("audit", "show", filepath.Join(o.Dir, "state", "audit"), "--kind", "admin")
	for _, want := range []string{
		`method="POST" path="/load" operator="` + me.Username + `" peer="` + me.Username + `" peer_process="uid ` + me.Uid + ` pid `,
		`method="POST" path="/load" status="200" operator="` + me.Username + `"`,
		`method="POST" path="/load" status="400" detail="`,
		`path="/adapt"`, `method="DELETE" path="/config/apps/http" status="403"`,
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("not on record: %s\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "somebody else") {
		t.Error("what a request says of who makes it is on record")
	}
}

func TestCaddysEndpointsWithoutARecord(t *testing.T) {
	o := brokenAudit(t)
	for _, path := range []string{"/load", "/stop", "/adapt"} { // were /stop obeyed, the test would end here
		res, body := call(t, http.DefaultClient, "POST", "http://"+o.admin+path, "{}", "Content-Type", "application/json")
		if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "nothing was done") {
			t.Errorf("%s: %s %s", path, res.Status, body)
		}
	}
	if res, _ := call(t, http.DefaultClient, "GET", "http://"+o.admin+"/config/apps/gatehouse", ""); res.StatusCode != http.StatusOK {
		t.Errorf("the configuration is gone: %s", res.Status)
	}
}
