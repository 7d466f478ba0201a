package standard_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

const supportPolicy = `allow role staff
		route /customers/* {
			allow role support
		}
		forward user roles`

// Without a grant 403; with one 200 until it ends, the ticket in each line; then what runs by it is cut (BRF-18).
func TestSupportGrants(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "roles="+r.Header.Get("X-Gatehouse-Roles")+"\n")
		_ = http.NewResponseController(w).Flush()
		if strings.HasSuffix(r.URL.Path, "/stream") {
			<-r.Context().Done()
		}
	}))
	defer app.Close()
	up := strings.TrimPrefix(app.URL, "http://")
	g := operate(t, "idp", "voucher", "policy", supportPolicy, "backend", "reverse_proxy "+up,
		"more", "https://b.test:{{addr}} {\n{{tls}}\ngatehouse {\n"+supportPolicy+"\n}\nreverse_proxy "+up+"\n}")
	sam := as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	logIn(t, sam, "b.test", "voucher", "as=sam&roles=staff")
	other := as(t, g.Gateway, "app.test", "as=eve&roles=staff")
	as(t, g.Gateway, "app.test", "as=olga&roles=staff")
	want := func(what string, c *http.Client, url string, status int) string {
		t.Helper()
		res, body := get(t, c, url)
		if res.StatusCode != status {
			t.Fatalf("%s: %d %s", what, res.StatusCode, body)
		}
		return body
	}
	const page = "https://app.test/customers/7"
	want("no grant", sam, page, 403)

	give := func(args ...string) []string {
		return append([]string{"grant", "give", "voucher:sam", "--role", "support", "--ticket", "T-42", "--site", "app.test"}, args...)
	}
	g.no("nobody approves what they receive", give("--approver", "voucher:SAM")...)
	g.no("nobody whom the gateway knows", give("--approver", "voucher:nobody")...)
	g.no("approver", give()...)
	g.no("24h at the most", give("--approver", "voucher:olga", "--lasts", "25h")...)
	g.no("no site", "grant", "give", "voucher:sam", "--role", "support", "--ticket", "T-42", "--site", "other.test", "--approver", "voucher:olga")
	g.no("name sites, or a tenant", "grant", "give", "voucher:sam", "--role", "support", "--ticket", "T-42", "--approver", "voucher:olga")
	g.no("the ticket", "grant", "give", "voucher:sam", "--role", "support", "--site", "app.test", "--approver", "voucher:olga")
	want("refused grants", sam, page, 403)

	stream := func() io.ReadCloser {
		t.Helper()
		res, err := sam.Get(page + "/stream")
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		if _, err := io.ReadFull(res.Body, make([]byte, 6)); err != nil {
			t.Fatal(err)
		}
		return res.Body
	}
	cut := func(what string, body io.ReadCloser, from time.Time) {
		t.Helper()
		if _, err := io.ReadAll(body); err == nil {
			t.Errorf("%s: the stream ended as if it were complete", what)
		}
		if took := time.Since(from); took > 2*time.Second { // a second, and another for a busy machine
			t.Errorf("%s: the stream went on for %v", what, took)
		}
		body.Close()
	}

	id := g.ok(give("--approver", "voucher:olga", "--note", "a customer's call")...)
	if body := want("with it", sam, page, 200); body != "roles=staff,support\n" {
		t.Errorf("the application saw %q", body)
	}
	want("with it, what was allowed anyway", sam, "https://app.test/x", 200)
	want("on another site", sam, "https://b.test/customers/7", 403)
	want("somebody else", other, page, 403)
	if res, body := call(t, sam, "GET", page+"?q=<script>alert(1)</script>", ""); res.StatusCode != 403 || !strings.Contains(body, "waf_blocked") {
		t.Errorf("the WAF: %d %s", res.StatusCode, body)
	}
	if list := g.ok("grant", "list"); !strings.Contains(list, id) || !strings.Contains(list, "T-42") || !strings.Contains(list, "voucher:olga") {
		t.Errorf("the list:\n%s", list)
	}
	g.WantEvent("support_grant.given", `"support_ticket":"T-42"`, `"approver":"voucher:olga"`, `"operator":"olga"`)
	body := stream()
	began := time.Now()
	g.ok("grant", "revoke", id, "--note", "done")
	cut("revoked", body, began)
	want("revoked", sam, page, 403)
	g.no("ended already", "grant", "revoke", id)
	g.WantEvent("support_grant.revoked", `"support_ticket":"T-42"`)

	began = time.Now()
	g.ok(give("--approver", "voucher:olga", "--lasts", "2s", "--role", "staff")...)
	body = stream()
	cut("expired", body, began.Add(2*time.Second))
	if early := 2*time.Second - time.Since(began); early > 0 {
		t.Errorf("it ended %v early", early)
	}
	want("expired", sam, page, 403)
	g.WantEvent("support_grant.expired", `"support_ticket":"T-42"`)
	if n := g.Events("support_grant.expired"); n != 1 {
		t.Errorf("told %d times", n)
	}
	if list := g.ok("grant", "list"); strings.Contains(list, "T-42") {
		t.Errorf("in force:\n%s", list)
	}
	if list := g.ok("grant", "list", "--all"); strings.Count(list, "T-42") != 2 || !strings.Contains(list, "expired") {
		t.Errorf("all:\n%s", list)
	}
	gatetest.Eventually(t, "the lines of requests have the ticket", func() bool {
		n := 0
		for line := range strings.Lines(g.Log()) {
			if strings.Contains(line, `"logger":"gatehouse.access"`) && strings.Contains(line, `"support_ticket":"T-42"`) {
				n++
			}
		}
		return n == 4 // two pages, two streams
	})
}

// Who has an administrator's role for a while needs what administrators need.
func TestSupportGrantsOfAdministrators(t *testing.T) {
	g := operate(t, "idp", "voucher", "policy", "allow role staff\nroute /admin/* {\nallow role admin\n}", "backend", "reverse_proxy "+backend(t))
	sam := as(t, g.Gateway, "app.test", "as=sam&roles=staff")
	as(t, g.Gateway, "app.test", "as=olga&roles=staff")
	g.ok("grant", "give", "voucher:sam", "--role", "admin", "--ticket", "T-1", "--site", "app.test", "--approver", "voucher:olga")
	if res, body := get(t, sam, "https://app.test/admin/x"); res.StatusCode != 401 || !strings.Contains(body, "mfa_required") {
		t.Errorf("without a second factor: %d %s", res.StatusCode, body)
	}
	if res, body := get(t, sam, "https://app.test/x"); res.StatusCode != 200 {
		t.Errorf("what was allowed anyway: %d %s", res.StatusCode, body)
	}
}
