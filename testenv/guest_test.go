package testenv

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestBrowserGuest is how somebody without an account opens a link they were sent, and how a person pairs a program, as they
// see it: in Chromium, in light and in dark (BRF-08, RFC 8628).
func TestBrowserGuest(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{
		Backend: be.Listen,
		Site:    "allow role staff\n\t\tpublic /assets/*\n\t\troute /search {\n\t\t\tallow role staff\n\t\t\tallow guest\n\t\t}\n\t\tdevice_pairing /search {\n\t\t\tlasts 7d\n\t\t}",
	})
	g.secret(alicesPassword)
	admin := []string{"--address", "unix/" + g.env["ADMIN"]}
	link := strings.TrimSpace(g.cliOut(t, append([]string{"link", "create", "--host", appHost, "--path", "/search", "--start", "/search?q=welcome", "--for", "ines@supplier.example"}, admin...)...))
	_, token, _ := strings.Cut(link, "?t=")
	g.secret(token)

	// The link, as it is in a mail, leads to a button; its address no longer holds the token, without any script.
	b := startBrowser(t)
	p := b.person(t)
	p.withoutScripts(t)
	p.open(t, link)
	p.mustBeAt(t, g.origin()+"/.gatehouse/link")
	p.mustSay(t, "You were sent a link", "works once")
	p.shot(t, "01-link-without-scripts")
	p.click(t, "main form button")
	p.mustBeAt(t, g.origin()+"/search?q=welcome")
	p.mustSay(t, "Welcome")
	if r := p.open(t, g.origin()+"/"); r.Status != 403 {
		t.Errorf("beyond the link: status %d", r.Status)
	}
	p.mustSay(t, "link_invalid")

	// Somebody else who has the mail is told what to do next.
	q := b.person(t)
	if r := q.open(t, link); r.Status != 403 {
		t.Errorf("a second use: status %d", r.Status)
	}
	q.mustSay(t, "This link does not work any more", "Ask the person who sent it to you")
	q.bothShots(t, "02-refused")
	again := strings.TrimSpace(g.cliOut(t, append([]string{"link", "create", "--host", appHost, "--path", "/search", "--for", "ines", "--uses", "5", "--pin"}, admin...)...))
	_, token, _ = strings.Cut(again, "?t=")
	g.secret(token)
	q.open(t, again)
	q.bothShots(t, "03-link")
	q.click(t, "main form button")
	q.open(t, g.origin()+"/.gatehouse/link")
	q.mustSay(t, "You are here by a link")
	q.bothShots(t, "04-leave")

	// A program asks; alice types its code, sees who asks, and approves.
	api := g.newClient()
	ask := func(path string, form url.Values) map[string]any {
		t.Helper()
		a := api.must(t, request{Method: http.MethodPost, Path: path, Body: []byte(form.Encode()), Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}})
		var v map[string]any
		if err := json.Unmarshal(a.Body, &v); err != nil {
			t.Fatalf("%s: %d %s", path, a.Status, a.Body)
		}
		return v
	}
	asked := ask("/.gatehouse/device/code", url.Values{"client_id": {"noticeboard-cli 1.2"}})
	code, _ := asked["user_code"].(string)
	device, _ := asked["device_code"].(string)
	g.secret(device)
	alice := b.person(t)
	alice.open(t, g.setupLink())
	alice.fill(t, "#username", "alice", "#password", alicesPassword, "#password_again", alicesPassword)
	alice.click(t, "button[type=submit]")
	alice.session(t, g)
	alice.open(t, g.origin()+"/.gatehouse/device")
	alice.bothShots(t, "05-pair")
	alice.fill(t, "#user_code", strings.ToLower(code))
	alice.click(t, "main form button")
	alice.mustSay(t, "Is this the code", code, "noticeboard-cli 1.2", "127.0.0.1", "Approve only what you have just started yourself")
	alice.bothShots(t, "06-decide")
	alice.click(t, "button[value=approve]")
	alice.mustSay(t, "The program is connected")
	alice.shot(t, "07-paired")
	got := ask("/.gatehouse/device/token", url.Values{"client_id": {"noticeboard-cli 1.2"}, "device_code": {device}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}})
	key, _ := got["access_token"].(string)
	if !strings.HasPrefix(key, "ghk_") {
		t.Fatalf("the program got %v", got)
	}
	g.secret(key)
	bearer := http.Header{"Authorization": {"Bearer " + key}}
	if a := api.must(t, request{Path: "/search?q=welcome", Header: bearer}); a.Status != 200 {
		t.Errorf("with the key: status %d", a.Status)
	}
	alice.click(t, "a.primary")
	alice.mustSay(t, "Programs and devices", "noticeboard-cli 1.2")
	alice.bothShots(t, "08-keys")
	alice.click(t, "main form button")
	alice.mustSay(t, "It cannot be used any more")
	if a := api.must(t, request{Path: "/search?q=welcome", Header: bearer}); a.Status != 401 {
		t.Errorf("with a key that was removed: status %d", a.Status)
	}
}

// cliOut is what a command writes to standard output alone.
func (g *gateway) cliOut(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, code, err := g.command(args...)
	if err != nil || code != 0 {
		t.Fatalf("gatehouse %s: exit code %d, %v\n%s%s", strings.Join(args, " "), code, err, stdout, stderr)
	}
	return stdout
}
