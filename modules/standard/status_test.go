package standard_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"gatehouse.internal/modules/gatehouse"
)

// Balancers ask without a login, and get yes or no; operators are told more.
// Controls: NAT-11.
func TestStatus(t *testing.T) {
	g := operate(t)
	for _, path := range []string{gatehouse.LivePath, gatehouse.ReadyPath} {
		for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405} {
			req, err := http.NewRequest(method, "https://app.test"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", "https://app.test")
			res, err := g.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != want || method == http.MethodGet && string(body) != "ok\n" {
				t.Errorf("%s %s: %d %q, want %d", method, path, res.StatusCode, body, want)
			}
		}
	}
	if out := g.ok("status"); !strings.Contains(out, "embedded") {
		t.Errorf("status says:\n%s", out)
	}
	var s gatehouse.Status
	if err := json.Unmarshal([]byte(g.ok("status", "--json")), &s); err != nil || s.Store.Engine != "embedded" || s.NotReady != "" || s.Store.Problem != "" || s.Audit != "" || s.Nodes != nil {
		t.Errorf("status says %+v, %v", s, err)
	}
}
