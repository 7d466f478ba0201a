package testenv

import (
	"net/http"
	"strings"
	"testing"
)

// auditedSite is the newcomer's, with a part whose requests go on record before the application hears of them.
const auditedSite = defaultSite + "\n\t\troute /slow {\n\t\t\tallow role staff\n\t\t\taudit\n\t\t}"

// TestAuditedRouteSurvivesKill9: CER-12. The gateway is killed while the application works on a request to an audited route. After
// the restart the record says who asked for what; that there is no second one says that nobody knows what came of it. Of requests
// that were answered, or refused, there is; and all of it verifies, by two verifiers.
// Controls: BRF-24.
func TestAuditedRouteSurvivesKill9(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, Site: auditedSite})
	ada := g.newUser(t, "ada", "correct horse battery")
	be.mustForget(t)
	answered := make(chan error, 1)
	go func() {
		a, err := ada.do(request{Path: "/slow?ms=60000&secret=kw7CANARY"})
		if err == nil {
			t.Errorf("it was answered: status %d %s", a.Status, a.Body)
		}
		answered <- err
	}()
	eventually(t, readyIn, "the application works on it", func() bool {
		s, err := be.seen()
		return err == nil && s.Total > 0
	})
	if err := g.kill9(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err == nil {
		t.Fatal("it was answered: the test tests nothing")
	}
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	dir := g.auditDir()
	key := strings.TrimSpace(g.cli(t, "audit", "key", dir))
	show := g.cli(t, "audit", "show", dir, "--kind", "route", "--key", key)
	for _, want := range []string{"route.requested", "local:ada", `method="GET" path="/slow"`, `route="route /slow"`} {
		if !strings.Contains(show, want) {
			t.Errorf("the record does not say %s:\n%s", want, show)
		}
	}
	if strings.Contains(show, "route.answered") || strings.Contains(show, "CANARY") {
		t.Errorf("the record says too much:\n%s", show)
	}

	ada.reconnect()
	ok, no := ada.get(t, "/slow?ms=0"), g.stranger(t).get(t, "/slow?ms=0")
	if ok.Status != http.StatusOK || no.Status != http.StatusUnauthorized {
		t.Fatalf("status %d, and %d for a stranger", ok.Status, no.Status)
	}
	eventually(t, logSoonIn, "what came of them", func() bool {
		show = g.cli(t, "audit", "show", dir, "--kind", "route", "--key", key)
		return strings.Contains(show, ok.id()) && strings.Contains(show, no.id()) && strings.Count(show, "route.answered") == 2
	})
	for line := range strings.Lines(show) {
		switch {
		case strings.Contains(line, no.id()) && (!strings.Contains(line, "route.answered") || !strings.Contains(line, "login_required")):
			t.Errorf("who was refused never got further: %s", line)
		case strings.Contains(line, ok.id()) && strings.Contains(line, "route.answered") && !strings.Contains(line, `status="200"`):
			t.Errorf("what came of it: %s", line)
		}
	}
	if strings.Count(show, ok.id()) != 2 || strings.Count(show, no.id()) != 1 {
		t.Errorf("records:\n%s", show)
	}
	if why := g.cli(t, "why", ok.id(), "--log", g.env["LOG"], "--audit", dir); !strings.Contains(why, "route.requested") {
		t.Errorf("why says: %s", why)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if theirs := otherVerifier(t, dir, key); !strings.HasPrefix(theirs, "ok ") {
		t.Errorf("the other verifier says %s", theirs)
	}
}
