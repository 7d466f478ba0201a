package standard_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

var field = regexp.MustCompile(`name="(flow|token)" value="([^"]*)"`)

// firstUser uses the set-up link and returns a client that is logged in.
func firstUser(t testing.TB, g *gatetest.Gateway) *http.Client {
	t.Helper()
	link, err := os.ReadFile(filepath.Join(g.Dir, "state", "setup-link"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(strings.TrimSpace(string(link)))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = gatetest.Host // the client reaches the port anyway
	c := g.Client()
	if c.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	_, form := get(t, c, u.String(), "Accept", "text/html")
	values := url.Values{"username": {"ada"}, "password": {"correct horse battery"}, "password_again": {"correct horse battery"}}
	for _, m := range field.FindAllStringSubmatch(form, -1) {
		values.Set(m[1], m[2])
	}
	u.RawQuery = ""
	res, err := c.PostForm(u.String(), values)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		body, _ := io.ReadAll(res.Body)
		t.Fatalf("set-up answered %d: %s", res.StatusCode, body)
	}
	return c
}

// BenchmarkGET is a keep-alive request from client to backend and back, all in this process: compare the rows with
// each other. What a row has more than plain is what the gate costs.
func BenchmarkGET(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"hello":"world"}`)
	}))
	defer srv.Close()
	up := "reverse_proxy " + strings.TrimPrefix(srv.URL, "http://")
	gate := fill(newcomer, pairs("idp", "local {\n first_user_roles staff\n }", "backend", up))
	rows := []struct{ name, text string }{
		{"plain", "{\n{{house}}\n}\nhttps://app.test:{{addr}} {\n{{tls}}\n" + up + "\n}\n"},
		{"gate", strings.Replace(gate, "allow role staff", "allow role staff\n insecure_waf_off", 1)},
		{"gate+waf", gate},
	}
	for _, row := range rows {
		b.Run(row.name, func(b *testing.B) {
			g := gatetest.Start(b, row.text)
			c := g.Client()
			if row.name != "plain" {
				c = firstUser(b, g)
			}
			get(b, c, "https://app.test/")
			b.ReportAllocs()
			for b.Loop() {
				if res, _ := get(b, c, "https://app.test/api/items?page=2"); res.StatusCode != http.StatusOK {
					b.Fatalf("status %d", res.StatusCode)
				}
			}
		})
	}
}
