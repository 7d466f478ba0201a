package standard_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

// Whom to tell of vulnerabilities is said to everybody, though the application is closed to them; that it expires soon is an event.
// Controls: CAL-25.
func TestSecurityTxt(t *testing.T) {
	soon := time.Now().Add(10 * 24 * time.Hour).UTC().Format(time.DateOnly)
	g := gatetest.Start(t, fill(newcomer, pairs("policy", "allow role staff\n security_txt {\n contact mailto:sec@app.test\n expires "+soon+"\n }")))
	b := g.Browser()
	a := b.Send(http.MethodGet, "/.well-known/security.txt", "")
	if a.StatusCode != http.StatusOK || !strings.Contains(a.Body, "Contact: mailto:sec@app.test\r\n") || !strings.Contains(a.Body, "Expires: "+soon+"T00:00:00Z\r\n") ||
		!strings.Contains(a.Body, "Canonical: https://app.test/.well-known/security.txt") || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" || a.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%d %v\n%s", a.StatusCode, a.Header, a.Body)
	}
	if a := b.Send(http.MethodHead, "/.well-known/security.txt", ""); a.StatusCode != http.StatusOK || a.Body != "" {
		t.Errorf("HEAD: %d", a.StatusCode)
	}
	if a := b.Send(http.MethodPost, "/.well-known/security.txt", "x=1"); a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", a.StatusCode)
	}
	if a := b.Send(http.MethodGet, "/.well-known/other", ""); a.StatusCode == http.StatusOK {
		t.Error("what is beside it is open, too")
	}
	g.WantEvent("security_txt.expiring", "app.test")
}
