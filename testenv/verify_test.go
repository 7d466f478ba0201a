package testenv

import (
	"regexp"
	"testing"
)

// TestBrowserNewDevice is how somebody comes with a new browser, as they see it: held, told why, let in by an administrator, and
// known from then on (CER-04). One browser has scripts, the other none.
func TestBrowserNewDevice(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, House: defaultHouse + "\n\t\tverify {\n\t\t\tnew_device step_up\n\t\t}"})
	g.newUser(t, "alice", alicesPassword)
	signIn := func(p *tab) {
		t.Helper()
		p.open(t, g.origin()+"/")
		p.fill(t, "#username", "alice", "#password", alicesPassword)
		p.click(t, "button[type=submit]")
	}
	admin := func(args ...string) string {
		t.Helper()
		said, stderr, code, err := g.command(append(append([]string{"verify"}, args...), "--address", "unix/"+g.env["ADMIN"])...)
		if err != nil || code != 0 {
			t.Fatalf("verify %v: %v, exit code %d\n%s%s", args, err, code, said, stderr)
		}
		return said
	}
	p := startBrowser(t).person(t)
	signIn(p)
	p.mustSay(t, "You are alice")
	p.session(t, g)

	q := startBrowser(t).person(t)
	q.withoutScripts(t)
	signIn(q)
	q.mustSay(t, "Is this you?", "a device or browser that you have not used here before", "Ask your administrator")
	q.bothShots(t, "01-held")
	q.open(t, g.origin()+"/.gatehouse/mfa/app")
	q.mustSay(t, "Is this you?")
	id := regexp.MustCompile(`(?m)^([A-Z2-7]{10}) .*local:alice.* waiting `).FindStringSubmatch(admin("list"))
	if id == nil {
		t.Fatalf("nothing waits:\n%s", admin("list"))
	}
	q.mustSay(t, id[1])
	admin("approve", "local:alice", id[1])
	q.open(t, g.origin()+"/.gatehouse/verify?next=/search%3Fq%3Dboard")
	q.mustBeAt(t, g.origin()+"/search?q=board")
	q.open(t, g.origin()+"/.gatehouse/account/devices")
	q.mustSay(t, "Your devices and networks", "Chrom", "in use now", "127.0.0.0/24")
	q.bothShots(t, "02-devices")
	q.click(t, "main form button")
	q.mustSay(t, "Is this you?")
	q.session(t, g)
	if e := append(p.complaints("/favicon.ico"), q.complaints("/favicon.ico")...); e != nil {
		t.Errorf("the console says %q", e)
	}
}
