package testenv

import (
	"context"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

var firstLink = regexp.MustCompile(`<a class="button primary" href="([^"]+)"`)

// onward is where the main link of a page of the gateway's leads; "" when it has none.
func (a *answer) onward() string {
	if m := firstLink.FindSubmatch(a.Body); m != nil {
		return html.UnescapeString(string(m[1]))
	}
	return ""
}

// led waits until the gateway's page that keeps the fragment has led on.
func (p *tab) led(t testing.TB) {
	t.Helper()
	if err := until(pageIn, "the page leads on", func() bool {
		ctx, cancel := context.WithTimeout(p.ctx, pageIn)
		defer cancel()
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.readyState == "complete" && document.querySelector("script[data-to]") == null`))
		return err == nil && there // asked between two pages, Chromium has none
	}); err != nil {
		t.Fatalf("%v\n%s", err, p.describe())
	}
}

// speaks makes the tab ask for pages in these languages.
func (p *tab) speaks(t testing.TB, accept string) {
	t.Helper()
	if _, err := chromedp.Call(p.ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": accept}}); err != nil {
		t.Fatalf("speaking %s: %v", accept, err)
	}
}

// shots keeps pictures of a page on a desk by day, and in a pocket by night, where it must not be too wide.
func (p *tab) shots(t testing.TB, name string) {
	t.Helper()
	p.shot(t, name)
	scheme := func(value string) chromedp.Action[chromedp.Void] {
		return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
			return err
		})
	}
	p.do(t, "putting it into a pocket by night", chromedp.EmulateViewport(360, 1100), scheme("dark"))
	if wide := eval[float64](t, p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		t.Errorf("%s is %v pixels too wide for a telephone", name, wide)
	}
	p.shot(t, name+"-small-dark")
	p.do(t, "putting it back on the desk", chromedp.EmulateViewport(1280, 800), scheme("light"))
}

// forget takes a cookie away from the browser, as one does that will not keep it.
func (p *tab) forget(t testing.TB, g *gateway, name string) {
	t.Helper()
	if _, err := chromedp.Call(p.ctx, network.DeleteCookies, network.DeleteCookiesParams{Name: name, URL: g.origin() + "/"}); err != nil {
		t.Fatalf("forgetting %s: %v", name, err)
	}
}

// TestPortalAccount: a person who reads German logs in at an address with a fragment, comes back to exactly it, sees
// where else they are logged in, and ends that.
func TestPortalAccount(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	other := g.newUser(t, "alice", alicesPassword) // the same person at another machine
	p := startBrowser(t).person(t)
	p.speaks(t, "de-CH,de;q=0.9,en;q=0.5")
	deep := g.origin() + "/search?q=welcome#note-1=%C3%A9"
	p.open(t, deep)
	p.mustSay(t, "Anmelden", "Benutzername", "Anfragenummer")
	if lang := eval[string](t, p, "document.documentElement.lang"); lang != "de" {
		t.Errorf("the page's language is %q", lang)
	}
	p.shots(t, "01-login-de")
	p.fill(t, "#username", "alice", "#password", "two cranes over a barn")
	p.click(t, "button[type=submit]")
	p.mustSay(t, "passen nicht zusammen")
	p.shots(t, "02-wrong-password-de")
	if err := until(pageIn, "the right password is taken", func() bool { // after a pause
		p.fill(t, "#password", alicesPassword)
		return p.click(t, "button[type=submit]").Status != 429
	}); err != nil {
		t.Fatal(err)
	}
	p.mustBeAt(t, deep)
	p.session(t, g)

	p.open(t, g.origin()+"/.gatehouse/account")
	p.mustSay(t, "Wo Sie angemeldet sind", "Benutzername und Passwort", "Chrome unter Linux", "Firefox unter Linux", "Hier", "127.0.0.0/24")
	p.shots(t, "03-account-de")
	if alive, err := other.alive(); !alive || err != nil {
		t.Fatalf("the other session: %v, %v", alive, err)
	}
	p.click(t, ".sessions button")
	p.mustSay(t, "Erledigt.")
	p.mustBeAt(t, g.origin()+"/.gatehouse/account?done=1")
	p.shots(t, "04-account-done-de")
	if alive, err := other.alive(); alive || err != nil {
		t.Errorf("the session that was ended: %v, %v", alive, err)
	}
	p.open(t, g.origin()+"/.gatehouse/logout")
	p.shots(t, "05-logout-de")
	p.click(t, "main form button")
	p.mustSay(t, "Sie sind abgemeldet")
	p.shots(t, "06-logged-out-de")
	p.speaks(t, "fr")
	p.open(t, g.origin()+"/.gatehouse/login")
	p.mustSay(t, "Se connecter", "Mot de passe")
	p.shot(t, "07-login-fr")
	p.open(t, g.origin()+"/?q=<script>alert(1)</script>")
	p.mustSay(t, "Cette demande a été arrêtée")
	p.shot(t, "08-refusal-fr")
	if e := p.complaints("/favicon.ico", "responded with a status of"); e != nil {
		t.Errorf("the console says %q", e)
	}
}

// TestPortalKeepsForms: what a person types while their session expires is sent once they are back.
func TestPortalKeepsForms(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen, House: defaultHouse + "\n\t\tsession {\n\t\t\tidle 4s\n\t\t\tadmin_idle 4s\n\t\t}"})
	g.newUser(t, "alice", alicesPassword)
	p := startBrowser(t).person(t)
	p.open(t, g.origin()+"/.gatehouse/login")
	p.fill(t, "#username", "alice", "#password", alicesPassword)
	p.click(t, "button[type=submit]")
	p.session(t, g)
	const words = "Half an hour of typing, é and all."
	p.do(t, "typing", typing("[name=text]", words)...)
	p.until(t, "the session expires", `fetch("/.gatehouse/session").then(r => r.status == 401)`)
	if r := p.turn(t, "sending the note", chromedp.Submit(chromedp.CSS("[name=text]"))); r.Status != 401 {
		t.Fatalf("status %d\n%s", r.Status, p.describe())
	}
	p.mustSay(t, "What you typed has been kept")
	p.shots(t, "01-kept")
	p.click(t, "a.button.primary")
	p.mustSay(t, "What you typed has been kept")
	p.shots(t, "02-login-kept")
	p.fill(t, "#username", "alice", "#password", alicesPassword)
	p.click(t, "button[type=submit]")
	p.session(t, g)
	p.mustSay(t, "You were signed out while you were working", "/notes", "text", "34 characters")
	if strings.Contains(p.words(t), "Half an hour") {
		t.Error("what was typed is shown")
	}
	p.shots(t, "03-send-it")
	p.click(t, "main form button")
	p.mustBeAt(t, g.origin()+"/")
	p.mustSay(t, words)
	p.shot(t, "04-sent")
	if e := p.complaints("/favicon.ico", "responded with a status of", "WebSocket"); e != nil {
		t.Errorf("the console says %q", e)
	}
}

// TestPortalBreaksLoops: a browser that does not keep the session's cookie is told so.
func TestPortalBreaksLoops(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	g.newUser(t, "alice", alicesPassword)
	p := startBrowser(t).person(t)
	p.open(t, g.origin()+"/.gatehouse/login")
	if err := until(pageIn, "three logins come within ten seconds", func() bool {
		for range 3 {
			p.fill(t, "#username", "alice", "#password", alicesPassword)
			p.click(t, "button[type=submit]")
			p.session(t, g)
			p.forget(t, g, sessionCookie)
			if r := p.open(t, g.origin()+"/search?q=loop"); r.Status == 403 {
				return true
			}
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	p.mustSay(t, "Signing in keeps starting over", "does not keep the cookie", "Request number")
	p.shots(t, "01-loop")
	p.click(t, "a.button.primary")
	p.mustSay(t, "Sign in", "User name")
}

// TestPortalWithoutCookies: a browser that keeps no cookies at all is not told that it was too slow.
func TestPortalWithoutCookies(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	g.newUser(t, "alice", alicesPassword)
	p := startBrowser(t).person(t)
	p.open(t, g.origin()+"/.gatehouse/login")
	if _, err := chromedp.CallBrowser(p.ctx, storage.ClearCookies, storage.ClearCookiesParams{BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID}); err != nil {
		t.Fatal(err)
	}
	p.fill(t, "#username", "alice", "#password", alicesPassword)
	p.click(t, "button[type=submit]")
	p.mustSay(t, "Please allow cookies for this site")
	p.shots(t, "01-no-cookie")
}

// TestPortalFragmentWithProvider: the fragment survives the provider's pages, which never see it.
func TestPortalFragmentWithProvider(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	op := newProvider(t)
	op.everybody()
	g := op.relying(t, true, config{Backend: be.Listen})
	b := startBrowser(t)
	for _, tt := range []struct{ name, address string }{
		{"with a fragment", "/search?q=welcome#part/2?x=%26"}, {"without", "/search?q=welcome"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := b.person(t)
			p.open(t, g.origin()+tt.address)
			p.until(t, "the provider's page is there", `document.querySelector("input[name=login]") != null`)
			if hash := eval[string](t, p, "location.hash"); hash != "" {
				t.Errorf("the provider's page sees %q", hash)
			}
			signInAtProvider(t, p, "ada")
			p.until(t, "the application is there", `location.origin == "`+g.origin()+`" && document.body.innerText.includes("You are Ada")`)
			p.session(t, g)
			p.mustBeAt(t, g.origin()+tt.address)
			if left := eval[float64](t, p, "sessionStorage.length"); left != 0 {
				t.Errorf("%v things are left in the tab's storage", left)
			}
			// Again, now that the provider knows the person: straight through.
			p.forget(t, g, sessionCookie)
			p.open(t, g.origin()+"/search?q=other"+strings.TrimPrefix(tt.address, "/search?q=welcome"))
			p.until(t, "the application is there", `location.search == "?q=other" && document.body.innerText.includes("You are Ada")`)
			p.session(t, g)
			p.mustBeAt(t, g.origin()+"/search?q=other"+strings.TrimPrefix(tt.address, "/search?q=welcome"))
			if e := p.complaints("/favicon.ico", "fonts.googleapis.com"); e != nil {
				t.Errorf("the console says %q", e)
			}
		})
	}
	// Without scripts, only the fragment is lost.
	p := b.person(t)
	p.withoutScripts(t)
	p.open(t, g.origin()+"/search?q=welcome#part2")
	signInAtProvider(t, p, "ada")
	p.mustSay(t, "You are Ada")
}
