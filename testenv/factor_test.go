package testenv

import (
	"regexp"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// TestBrowserFactors is how an administrator comes to a second factor and uses it, as a person sees it: in Chromium, with an
// authenticator that Chromium itself plays (CER-05, BRF-05).
// Controls: CER-07, CER-18.
func TestBrowserFactors(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{
		Backend: be.Listen, House: "local {\n\t\t\tfirst_user_roles admin staff\n\t\t}\n\t\tbreak_glass", MFA: "admin_roles admin",
		Site: "allow role staff",
	})
	g.secret(alicesPassword)
	p := startBrowser(t).person(t)
	p.hasAuthenticator(t)

	// The password alone opens nothing but the pages on which a factor is set up.
	p.open(t, g.setupLink())
	p.fill(t, "#username", "alice", "#password", alicesPassword, "#password_again", alicesPassword)
	p.click(t, "button[type=submit]")
	p.mustSay(t, "Two-step verification", "Your account needs this")
	p.bothShots(t, "01-set-up")
	p.click(t, `a[href*="/mfa/app"]`)
	p.mustSay(t, "Six digits")
	p.bothShots(t, "02-app")
	p.open(t, g.origin()+"/")
	p.mustSay(t, "Your account needs this")
	p.click(t, `a[href*="/mfa/passkey"]`)
	p.bothShots(t, "03-passkey")
	p.fill(t, "#name", "office laptop")
	p.click(t, "#create button")
	p.mustSay(t, "Your backup codes")
	if n := eval[int](t, p, `document.querySelectorAll(".codes code").length`); n != 10 {
		t.Errorf("%d backup codes", n)
	}
	spare := eval[string](t, p, `document.querySelector(".codes code").textContent`)
	g.secret(spare)
	p.bothShots(t, "04-codes")
	p.click(t, "a.primary")
	p.mustBeAt(t, g.origin()+"/")
	p.mustSay(t, "Notice board", "You are alice")

	// The factors, beside the account.
	p.open(t, g.origin()+"/.gatehouse/account")
	p.bothShots(t, "05-account")
	p.click(t, `a[href*="/.gatehouse/mfa"]`)
	p.mustSay(t, "office laptop", "10 of 10 are left")
	p.bothShots(t, "06-factors")
	p.session(t, g)

	// The next login asks for it, and a backup code does where there is no passkey.
	p.open(t, g.origin()+"/.gatehouse/account")
	p.click(t, "form.logout button, main form button")
	p.open(t, g.origin()+"/")
	p.fill(t, "#username", "alice", "#password", alicesPassword)
	p.click(t, "button[type=submit]")
	p.mustSay(t, "Confirm that it is you", "or with a code")
	p.bothShots(t, "07-confirm")
	p.fill(t, "#code", "000000")
	p.click(t, `form:not([id]) button[type=submit]`)
	p.mustSay(t, "Confirm that it is you")
	p.shot(t, "08-wrong")
	p.click(t, "#get button")
	p.mustBeAt(t, g.origin()+"/")
	p.mustSay(t, "Notice board", "You are alice")
	p.session(t, g)

	// When all else fails, a sealed code is all that it takes: it counts as the factor, too.
	said, stderr, code, err := g.command("break-glass", "seal", "-n", "1", "--roles", "admin,staff", "--address", "unix/"+g.env["ADMIN"])
	m := regexp.MustCompile(`seal (\w{4})    ((?:\w{5}-){4}\w{5})`).FindStringSubmatch(said)
	if err != nil || code != 0 || m == nil {
		t.Fatalf("sealing: %v, exit code %d\n%s%s", err, code, said, stderr)
	}
	g.secret(m[2])
	q := startBrowser(t).person(t)
	q.open(t, g.origin()+"/.gatehouse/break-glass")
	q.bothShots(t, "09-break-glass")
	q.fill(t, "#code", m[2], "#purpose", "nobody answers at the help desk")
	q.click(t, "button[type=submit]")
	q.mustBeAt(t, g.origin()+"/")
	q.mustSay(t, "Notice board")
	q.session(t, g)
}

// hasAuthenticator gives the tab an authenticator that Chromium plays: it is touched, and its user verified, at once.
func (p *tab) hasAuthenticator(t testing.TB) {
	t.Helper()
	_, err := chromedp.Call(p.ctx, webauthn.Enable, webauthn.EnableParams{})
	if err == nil {
		_, err = chromedp.Call(p.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
			Options: &webauthn.VirtualAuthenticatorOptions{
				Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
				HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
			},
		})
	}
	if err != nil {
		t.Fatalf("adding an authenticator: %v", err)
	}
}

// bothShots keeps pictures of the page in light and in dark colours.
func (p *tab) bothShots(t testing.TB, name string) {
	t.Helper()
	for _, scheme := range []string{"dark", "light"} {
		_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		if err != nil {
			t.Fatalf("colours: %v", err)
		}
		eval[int](t, p, `Promise.allSettled(document.getAnimations().map(a => a.finished)).then(() => 1)`) // colours change slowly
		p.shot(t, name+"-"+scheme)
	}
}
