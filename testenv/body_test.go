package testenv

import (
	"net/http"
	"testing"
	"time"
)

// TestRefusedBeforeTheBody: who is refused is told so at once, not after having sent everything. Otherwise a stranger
// holds a connection for as long as they like by announcing a body, and a client that asks first (Expect:
// 100-continue) gets neither a yes nor a no.
func TestRefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	for name, lines := range map[string][]string{
		"a small body":        {"Content-Length: 10"},
		"a large body":        {"Content-Length: 10000000"},
		"chunks":              {"Transfer-Encoding: chunked"},
		"asked first":         {"Content-Length: 10", "Expect: 100-continue"},
		"asked first, chunks": {"Transfer-Encoding: chunked", "Expect: 100-continue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			lines := append(lines, "User-Agent: testenv", "Accept: */*", "Content-Type: application/x-www-form-urlencoded")
			a, err := g.raw1(g.lines1("POST", "/notes", lines...))
			if err != nil || a.Status != http.StatusUnauthorized {
				t.Errorf("after %v: %v, %v", time.Since(start), a, err)
			}
		})
	}
}
