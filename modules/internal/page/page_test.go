package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/verdict"
)

var (
	update = flag.Bool("update", false, "write the golden files")
	serve  = flag.String("serve", "", "show the pages of TestServe at this address until interrupted, to look at them")
)

// sample is one answer to look at.
type sample struct {
	name  string
	write func(w http.ResponseWriter, r *http.Request)
}

const (
	sampleSite = "intranet.example.com"
	sampleID   = "01K5QZ8M3V7T9C2XH4RNW6BDPE"
)

// samples are the pages in the states that people meet them in.
func samples() []sample {
	show := func(name string, p Page) sample {
		return sample{name, func(w http.ResponseWriter, r *http.Request) { Write(w, r, http.StatusOK, p) }}
	}
	refuse := func(name string, ref Refusal) sample {
		ref.Site, ref.RequestID = sampleSite, sampleID
		return sample{name, func(w http.ResponseWriter, r *http.Request) { WriteRefusal(w, r, ref) }}
	}
	providers := []Button{{"Example Workspace", "/.gatehouse/login/workspace?flow=f1"}, {"Partner login", "/.gatehouse/login/partner?flow=f1"}}
	local := &LocalForm{Action: "/.gatehouse/login/local"}
	now := time.Date(2026, 9, 17, 12, 5, 0, 0, time.UTC)
	erika := Account{Site: sampleSite, RequestID: sampleID, Name: "Erika Mustermann", Email: "erika.mustermann@example.com",
		Provider: "Example Workspace", Roles: []string{"accounting", "staff"}, LogoutURL: "/.gatehouse/logout", CSRF: "c1",
		Since: now.Add(-4 * time.Hour)}
	here := Session{ID: "s1", Agent: "Firefox on Linux", Network: "192.0.2.0/24", Site: sampleSite, Since: erika.Since, Used: now, This: true}
	sessions := erika
	sessions.FactorsURL = "/.gatehouse/mfa"
	sessions.Now, sessions.Action, sessions.Done = now, "/.gatehouse/account", true
	sessions.PasswordURL = "/.gatehouse/account/password"
	sessions.Sessions = []Session{here,
		{ID: "s2", Agent: "Safari on iPhone", Network: "2001:db8:1:2::/64", Site: "wiki.example.com", Since: now.Add(-50 * time.Hour), Used: now.Add(-70 * time.Minute)},
		{ID: "s3", Network: "198.51.100.0/24", Site: sampleSite, Since: now.Add(-5 * time.Minute), Used: now.Add(-time.Minute)}}
	only := erika
	only.Now, only.Action, only.Sessions = now, "/.gatehouse/account", []Session{here}
	kept := Kept{Site: sampleSite, RequestID: sampleID, Action: "/wiki/save?page=7", Enctype: "multipart/form-data", CancelURL: "/wiki/",
		Fields: []Field{{Name: "title", Value: "Café"}, {Name: "text", Value: strings.Repeat("a\r\n", 600)}, {Name: "tags"}, {Name: "upload", Empty: true}}}
	factors := Factors{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/mfa", CSRF: "c1", AppURL: "/.gatehouse/mfa/app",
		PasskeyURL: "/.gatehouse/mfa/passkey", AccountURL: "/.gatehouse/account", Now: now}
	must, many := factors, factors
	must.Must, must.AccountURL = true, ""
	many.App = &FactorRow{Added: now.Add(-50 * time.Hour), Used: now.Add(-5 * time.Minute)}
	many.Passkeys = []FactorRow{{ID: "p1", Name: "office laptop", Site: sampleSite, Added: now.Add(-3 * time.Hour)},
		{ID: "p2", Name: strings.Repeat("k", 64), Site: "wiki.example.com", Added: now.Add(-300 * time.Hour), Used: now.Add(-200 * time.Hour)}}
	many.Codes, many.CodesOf, many.Done = 8, 10, FactorAdded
	app := EnrolApp{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/mfa/app", CSRF: "c1", Flow: "f3", Next: "/reports",
		Secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", QR: QR{Size: 21, Path: "M0 0h7v7h-7zM14 0h7v7h-7zM0 14h7v7h-7z"}, CancelURL: "/.gatehouse/mfa"}
	appWrong := app
	appWrong.Error = CodeWrong
	passkey := EnrolPasskey{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/mfa/passkey", CSRF: "c1", Flow: "f4", Next: "/",
		Options: `{"challenge":"AAAA","user":{"id":"AAAA"}}`, Name: "Firefox on Linux", CancelURL: "/.gatehouse/mfa"}
	codes := BackupCodes{Site: sampleSite, RequestID: sampleID, ContinueURL: "/reports"}
	for i := range 10 {
		codes.Codes = append(codes.Codes, fmt.Sprintf("abcd-efgh-%04d", i))
	}
	verify := Verify{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/mfa/verify", CSRF: "c1", Next: "/reports", Code: true,
		Backup: true, CancelURL: "/.gatehouse/logout"}
	passkeyToo, errand, wrong, elsewhere := verify, verify, verify, verify
	passkeyToo.Flow, passkeyToo.Options = "f5", `{"challenge":"AAAA"}`
	errand.Challenge = "c9"
	errand.For = &Errand{Method: "POST", URI: "/orders/17/approve?x=1", Fields: []Field{{Name: "amount", Value: "1200.00"}, {Name: "note"}}}
	wrong.Error, wrong.Wait = Paused, 15*time.Second
	elsewhere.Code, elsewhere.Backup = false, false
	elsewhere.Elsewhere, elsewhere.EnrolURL = &Button{"Example Workspace", "/.gatehouse/login/workspace?step=1"}, "/.gatehouse/mfa"
	proven := Proven{Site: sampleSite, RequestID: sampleID, Errand: errand.For, Enctype: "application/x-www-form-urlencoded", CodesLeft: -1}
	spent := Proven{Site: sampleSite, RequestID: sampleID, URL: "/reports", CodesLeft: 2, CodesURL: "/.gatehouse/mfa"}
	last := proven
	last.CodesLeft, last.CodesURL = 0, "/.gatehouse/mfa"
	base := Password{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/login/local/change", Flow: "f1", Username: "erika", MinPassword: 12}
	password := func(change func(p *Password)) Password {
		p := base
		change(&p)
		return p
	}
	seal := BreakGlass{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/login/break_glass", Flow: "f1", Any: true, LoginURL: "/.gatehouse/login", Minutes: 30}
	sealWrong := seal
	sealWrong.Purpose, sealWrong.Error = "The identity provider does not answer; the on-call lead asked me.", SealWrong
	return []sample{
		show("password_change", password(func(p *Password) {
			p.Action, p.CSRF, p.Flow, p.AskCurrent, p.CancelURL = "/.gatehouse/account/password", "c1", "", true, "/.gatehouse/account"
		})),
		show("password_wrong", password(func(p *Password) { p.AskCurrent, p.Error = true, CurrentWrong })),
		show("password_first", password(func(p *Password) { p.Why = WhyFirst })),
		show("password_compromised", password(func(p *Password) { p.Why, p.Ticket = WhyCompromised, "t1" })),
		show("password_leaked", password(func(p *Password) { p.Why, p.Error = WhyLeaked, PasswordSame })),
		show("password_too_weak", password(func(p *Password) { p.Why = WhyTooWeak })),
		show("register", Register{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/login/local/register", Flow: "f1", MinPassword: 12, LoginURL: "/.gatehouse/login"}),
		show("register_wrong", Register{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/login/local/register", Flow: "f1", MinPassword: 12,
			Username: "erika m", Name: "Erika Mustermann", Email: "erika@example.com", Error: UsernameInvalid}),
		show("registered", Notice{Site: sampleSite, RequestID: sampleID, Of: Registered, URL: "/.gatehouse/login"}),
		show("password_set", Notice{Site: sampleSite, RequestID: sampleID, Of: PasswordSet, URL: "/.gatehouse/account"}),
		show("link_over", Notice{Site: sampleSite, RequestID: sampleID, Of: LinkOver}),
		show("breakglass", seal),
		show("breakopen", BreakOpen{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/login/break_glass/open", Flow: "f1", Token: "t1", Minutes: 30}),
		show("guestlink", GuestLink{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/link", Lasts: time.Hour, Left: 1}),
		show("guestlink_often", GuestLink{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/link", Lasts: 12 * time.Hour, Left: 20, Pin: true}),
		show("guestlink_in", GuestLink{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/link", Leave: "leave", Lasts: 42 * time.Minute}),
		show("guestlink_nocookie", GuestLink{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/link", Error: NoCookie}),
		refuse("link_invalid", Refusal{Reason: verdict.LinkInvalid, LoginURL: "/.gatehouse/login?next=%2Freports"}),
		show("device", Device{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/device", AccountURL: "/.gatehouse/account"}),
		show("device_wrong", Device{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/device", Error: DeviceCodeWrong}),
		show("device_asks", Device{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/device", CSRF: "c1", UserCode: "WDJB-MJHT", Client: "gatehouse-sync", Address: "192.0.2.7",
			Host: "app.example.com", Name: "Erika", Far: true, Paths: []string{"/api/*"}, Methods: []string{"GET"}, Scopes: []string{"files.read"}, Lasts: 30 * 24 * time.Hour}),
		show("device_paired", Notice{Site: sampleSite, RequestID: sampleID, Of: DevicePaired, URL: "/.gatehouse/account/keys"}),
		show("device_denied", Notice{Site: sampleSite, RequestID: sampleID, Of: DeviceDenied, URL: "/.gatehouse/account/keys"}),
		show("keys", Keys{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/account/keys", CSRF: "c1", AccountURL: "/.gatehouse/account", PairURL: "/.gatehouse/device", Done: true, Now: time.Unix(1e9, 0),
			Keys: []Key{{ID: "k3v7q2m5xa", Name: "gatehouse-sync", Hosts: []string{"app.example.com"}, Created: time.Unix(1e9-7200, 0), Expires: time.Unix(1e9+86400*20, 0), Used: time.Unix(1e9-60, 0)},
				{ID: "abcdefghij", Hosts: []string{"app.example.com"}, Created: time.Unix(1e9-7200, 0), Expires: time.Unix(1e9+86400*20, 0)}}}),
		show("keys_none", Keys{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/account/keys"}),
		show("verification", Verification{Site: sampleSite, RequestID: sampleID, Held: "ABCDEFGHIJ", Why: []string{"new_network", "new_device"}, Action: "/.gatehouse/verify", CSRF: "c1", Next: "/x",
			FactorURL: "/.gatehouse/mfa/verify?next=%2Fx", Provider: "Example", ProviderURL: "/.gatehouse/login/oidc?step=for+verify", MailTo: "e…@example.com", LogoutURL: "/.gatehouse/logout"}),
		show("verification_code", Verification{Site: sampleSite, RequestID: sampleID, Held: "ABCDEFGHIJ", Why: []string{"impossible_travel"}, Action: "/.gatehouse/verify", CSRF: "c1", Next: "/x",
			MailTo: "e…@example.com", Sent: true, Error: CodeWrong, LogoutURL: "/.gatehouse/logout"}),
		show("verification_wait", Verification{Site: sampleSite, RequestID: sampleID, Held: "ABCDEFGHIJ", Why: []string{"listed_network"}, Action: "/.gatehouse/verify", Wait: true, LogoutURL: "/.gatehouse/logout"}),
		show("verification_none", Verification{Site: sampleSite, RequestID: sampleID, Held: "ABCDEFGHIJ", Why: []string{"new_device"}, Action: "/.gatehouse/verify", LogoutURL: "/.gatehouse/logout"}),
		show("visitreport", VisitReport{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/verify/report", Token: "t1", Network: "192.0.2.0/24", At: time.Unix(1e9, 0)}),
		show("visitreport_done", VisitReport{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/verify/report", Done: true, Ended: 2}),
		show("visits", Visits{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/account/devices", CSRF: "c1", AccountURL: "/.gatehouse/account", Now: time.Unix(1e9, 0),
			Devices:  []VisitRow{{ID: "d1", Name: "Firefox on Linux", Used: time.Unix(1e9-60, 0), This: true}, {ID: "d2", Name: "Safari on iPhone", Used: time.Unix(1e9-86400, 0)}},
			Networks: []VisitRow{{ID: "192.0.2.0/24", Name: "192.0.2.0/24", Used: time.Unix(1e9-60, 0), This: true}}}),
		show("breakglass_wrong", sealWrong),
		show("breakglass_none", BreakGlass{Site: sampleSite, RequestID: sampleID, Action: seal.Action, LoginURL: "/.gatehouse/login"}),
		show("factors_none", must),
		show("factors", many),
		show("enrol_app", app),
		show("enrol_app_wrong", appWrong),
		show("enrol_passkey", passkey),
		show("backup_codes", codes),
		show("verify", verify),
		show("verify_passkey", passkeyToo),
		show("verify_errand", errand),
		show("verify_paused", wrong),
		show("verify_elsewhere", elsewhere),
		show("proven", proven),
		show("proven_spent", spent),
		show("proven_last", last),
		show("proven_window", Proven{Site: sampleSite, RequestID: sampleID, CodesLeft: -1}),
		show("nudge", Nudge{Site: sampleSite, RequestID: sampleID, SetupURL: "/.gatehouse/mfa?next=%2Freports", Action: "/.gatehouse/mfa", CSRF: "c1", Next: "/reports"}),
		refuse("mfa_required", Refusal{Reason: verdict.MFARequired, LoginURL: "/.gatehouse/mfa/verify?next=%2Freports"}),
		show("login_local", Login{Site: sampleSite, RequestID: sampleID, Flow: "f1", Local: local}),
		show("login_providers", Login{Site: sampleSite, RequestID: sampleID, Flow: "f1", Providers: providers}),
		show("login_both", Login{Site: sampleSite, RequestID: sampleID, Flow: "f1", Providers: providers, Local: local}),
		show("login_more", Login{Site: sampleSite, RequestID: sampleID, Flow: "f1", Local: local, Error: ProviderAway,
			RegisterURL: "/.gatehouse/login/local/register", EmergencyURL: "/.gatehouse/break-glass"}),
		show("login_wrong", Login{Site: sampleSite, RequestID: sampleID, Flow: "f1", Error: BadCredentials,
			Local: &LocalForm{Action: local.Action, Username: "erika"}}),
		show("login_idle", Login{Site: sampleSite, RequestID: sampleID, Flow: "f1", Error: SignedOutIdle, Local: local}),
		show("login_none", Login{Site: sampleSite, RequestID: sampleID}),
		show("setup", Setup{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/setup", Flow: "f2", Token: "t0ken", MinPassword: 15}),
		show("setup_wrong", Setup{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/setup", Flow: "f2",
			Username: "erika", MinPassword: 15, Error: PasswordsDiffer}),
		show("setup_token", Setup{Site: sampleSite, RequestID: sampleID, Action: "/.gatehouse/setup", Flow: "f2", Token: "old",
			Username: "erika", Error: TokenInvalid}),
		show("account", erika),
		show("account_sessions", sessions),
		show("account_alone", only),
		show("account_long", Account{Site: strings.Repeat("long-", 20) + "name.example", RequestID: strings.Repeat("9", 128),
			Name: strings.Repeat("x", 90), Email: strings.Repeat("y", 64) + "@" + strings.Repeat("z", 60) + ".example",
			Roles: slices.Repeat([]string{"role-of-some-length"}, 12), LogoutURL: "/.gatehouse/logout"}),
		show("logout", Logout{Site: sampleSite, RequestID: sampleID, Name: "Erika Mustermann", Action: "/.gatehouse/logout", CSRF: "c1", CancelURL: "/"}),
		show("loggedout", LoggedOut{Site: sampleSite, RequestID: sampleID, LoginURL: "/.gatehouse/login",
			Provider: "Example Workspace", ProviderURL: "https://idp.example.net/logout?client_id=a"}),
		show("loggedout_lead", LoggedOut{Site: sampleSite, RequestID: sampleID, LoginURL: "/.gatehouse/login",
			Provider: "Example Workspace", ProviderURL: "https://idp.example.net/logout?client_id=a", Lead: true}),
		show("kept", kept),
		show("loop", Loop{Site: sampleSite, RequestID: sampleID, RetryURL: "/.gatehouse/login?next=%2Freports"}),
		show("loop_frame", Loop{Site: sampleSite, RequestID: sampleID, Cause: InFrame, RetryURL: "/.gatehouse/login"}),
		show("loop_ended", Loop{Site: sampleSite, RequestID: sampleID, Cause: SessionNotSaved, RetryURL: "/.gatehouse/login"}),
		show("hop", Hop{Site: sampleSite, RequestID: sampleID, Provider: "Example Workspace", To: "/.gatehouse/login/oidc?flow=f1", Key: "gatehouse:f1"}),
		show("hop_back", Hop{Site: sampleSite, RequestID: sampleID, To: "/reports?q=1", Key: "gatehouse:f1", Back: true}),
		show("login_kept", Login{Site: sampleSite, RequestID: sampleID, Flow: "f1", FragmentKey: "gatehouse:f1", Error: FormKept, Local: local, Providers: providers}),
		refuse("waf_blocked", Refusal{Reason: verdict.WAFBlocked}),
		refuse("login_required", Refusal{Reason: verdict.LoginRequired, LoginURL: "/.gatehouse/login?next=%2Freports"}),
		refuse("login_required_kept", Refusal{Reason: verdict.LoginRequired, LoginURL: "/.gatehouse/login?next=%2Freports&kept=1"}),
		refuse("forbidden", Refusal{Reason: verdict.Forbidden}),
		refuse("too_many_attempts", Refusal{Reason: verdict.TooManyAttempts, RetryAfter: 290 * time.Second}),
		refuse("rate_limited", Refusal{Reason: verdict.RateLimited, RetryAfter: 12 * time.Second}),
		refuse("banned", Refusal{Reason: verdict.Banned, RetryAfter: 30 * time.Minute}),
		refuse("upstream_down", Refusal{Reason: verdict.UpstreamDown}),
	}
}

// navigate is a request as a browser makes it to show a page.
func navigate(method string) *http.Request {
	r := httptest.NewRequest(method, "https://intranet.example.com/reports?q=reflected-marker", nil)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	return r
}

var (
	nonceValue = regexp.MustCompile(`nonce="[A-Z2-7]{26}"`)
	styleSheet = regexp.MustCompile(`(?s)(<style[^>]*>|<script[^>]*>).*?(</style>|</script>)`) // and scripts
)

func TestPagesMatchGoldens(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			s.write(w, navigate("GET"))
			got := nonceValue.ReplaceAll(w.Body.Bytes(), []byte(`nonce="N"`))
			got = styleSheet.ReplaceAll(got, []byte("$1$2")) // style.css and the scripts are their own goldens
			golden(t, s.name+".html", got)
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run with -update and read the diff. Got:\n%s", name, got)
	}
}

func TestHeadersOfPages(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			s.write(w, navigate("GET"))
			h := w.Header()
			for name, want := range map[string]string{
				"Content-Type":           "text/html; charset=utf-8",
				"Content-Language":       "en",
				"Content-Length":         strconv.Itoa(w.Body.Len()),
				"Cache-Control":          "no-store",
				"X-Content-Type-Options": "nosniff",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			nonce := regexp.MustCompile(`<style nonce="([^"]+)">`).FindStringSubmatch(w.Body.String())
			if nonce == nil {
				t.Fatal("the style sheet has no nonce")
			}
			scripts := ""
			for _, code := range regexp.MustCompile(`(?s)<script[^>]*>(.*?)</script>`).FindAllStringSubmatch(w.Body.String(), -1) {
				sum := sha256.Sum256([]byte(code[1]))
				scripts = "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; "
			}
			want := "default-src 'none'; " + scripts + "style-src 'nonce-" + nonce[1] +
				"'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
			if got := h.Get("Content-Security-Policy"); got != want {
				t.Errorf("policy %q, want %q", got, want)
			}

			again := httptest.NewRecorder()
			s.write(again, navigate("GET"))
			if strings.Contains(again.Body.String(), nonce[1]) {
				t.Error("two answers share a nonce")
			}

			// HEAD promises exactly what GET would send.
			head := httptest.NewRecorder()
			s.write(head, navigate("HEAD"))
			if head.Code != w.Code || head.Body.Len() != 0 || head.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
				t.Errorf("HEAD: status %d, %d bytes, Content-Length %s", head.Code, head.Body.Len(), head.Header().Get("Content-Length"))
			}
		})
	}
}

// With no-referrer, browsers send "Origin: null" with the form, and a cross-site check by Origin refuses every login.
func TestFormsKeepTheirOrigin(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, navigate("GET"), 200, Login{Local: &LocalForm{Action: "/l"}})
	if got := w.Header().Get("Referrer-Policy"); got != "strict-origin" {
		t.Errorf("portal: Referrer-Policy %q, want strict-origin", got)
	}
	w = httptest.NewRecorder()
	WriteRefusal(w, navigate("GET"), Refusal{Reason: verdict.Forbidden})
	if got := w.Header().Get("Referrer-Policy"); got != "no-referrer" {
		t.Errorf("refusal: Referrer-Policy %q, want no-referrer", got)
	}
}

func TestPageThatLeadsElsewhereIsNotShown(t *testing.T) {
	tests := []struct {
		name string
		page Page
	}{
		{"no page", nil},
		{"login form on another host", Login{RequestID: "r", Local: &LocalForm{Action: "//evil.example/"}}},
		{"login form without action", Login{RequestID: "r", Local: &LocalForm{}}},
		{"setup without action", Setup{RequestID: "r", Token: "secret"}},
		{"setup on another host", Setup{RequestID: "r", Token: "secret", Action: "https://evil.example/"}},
		{"logout by script", Logout{RequestID: "r", Action: "javascript:alert(1)"}},
		{"account with backslash", Account{RequestID: "r", LogoutURL: `/\evil.example`}},
		{"sessions on another host", Account{RequestID: "r", Action: "//evil.example"}},
		{"kept form for another host", Kept{RequestID: "r", Enctype: "multipart/form-data", Action: "//evil.example/"}},
		{"kept form of another kind", Kept{RequestID: "r", Enctype: "text/plain", Action: "/x"}},
		{"loop", Loop{RequestID: "r", RetryURL: "https://evil.example"}},
		{"hop", Hop{RequestID: "r", To: "//evil.example"}},
		{"password", Password{RequestID: "r", Ticket: "secret", Action: "//evil.example"}},
		{"register", Register{RequestID: "r", Action: "https://evil.example"}},
		{"notice", Notice{RequestID: "r", URL: "//evil.example"}},
		{"break glass", BreakGlass{RequestID: "r", Any: true, Action: "//evil.example"}},
		{"device", Device{RequestID: "r", CSRF: "secret", Action: "//evil.example"}},
		{"keys", Keys{RequestID: "r", CSRF: "secret", Action: "//evil.example"}},
		{"guest link", GuestLink{RequestID: "r", Action: "//evil.example"}},
		{"break open", BreakOpen{RequestID: "r", Token: "secret", Action: "//evil.example"}},
		{"factors", Factors{RequestID: "r", Action: "/x", AppURL: "//evil.example", PasskeyURL: "/y"}},
		{"app", EnrolApp{RequestID: "r", Action: "//evil.example"}},
		{"passkey", EnrolPasskey{RequestID: "r", Action: "https://evil.example"}},
		{"backup codes", BackupCodes{RequestID: "r", ContinueURL: "//evil.example"}},
		{"verify", Verify{RequestID: "r", Action: "//evil.example"}},
		{"errand elsewhere", Proven{RequestID: "r", Errand: &Errand{URI: "//evil.example"}, Enctype: "multipart/form-data"}},
		{"errand of another kind", Proven{RequestID: "r", Errand: &Errand{URI: "/x"}, Enctype: "text/plain"}},
		{"nudge", Nudge{RequestID: "r", Action: "//evil.example", SetupURL: "/x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Write(w, navigate("GET"), 200, tt.page)
			body := w.Body.String()
			if w.Code != 500 || !strings.Contains(body, "<code>internal</code>") || strings.Contains(body, "<form") || strings.Contains(body, "evil") {
				t.Errorf("status %d, body %s", w.Code, body)
			}
		})
	}
}

func TestBadLinksAreLeftOut(t *testing.T) {
	bad := []string{"", "x", "//evil.example/", `/\evil.example/`, "https://evil.example/", "javascript:alert(1)", "/\tevil", "/a b", "/é"}
	for _, link := range bad {
		for _, p := range []Page{
			Login{Providers: []Button{{"evil", link}}},
			Logout{Action: "/x", CancelURL: link},
			Password{Action: "/x", CancelURL: link},
			Register{Action: "/x", LoginURL: link},
			BreakGlass{Action: "/x", LoginURL: link},
			Login{RegisterURL: link, EmergencyURL: link},
			Account{PasswordURL: link, FactorsURL: link},
			EnrolApp{Action: "/x", CancelURL: link},
			Verify{Action: "/x", CancelURL: link, Elsewhere: &Button{"evil", link}},
			LoggedOut{LoginURL: link},
		} {
			w := httptest.NewRecorder()
			Write(w, navigate("GET"), 200, p)
			if w.Code != 200 || strings.Contains(w.Body.String(), "<a ") {
				t.Errorf("%T with link %q: status %d\n%s", p, link, w.Code, styleSheet.ReplaceAllString(w.Body.String(), ""))
			}
		}
	}
	for _, link := range []string{"", "/x", "http://idp.example/", "javascript:alert(1)", "https://u:p@idp.example/", "https:///x", "//idp.example/"} {
		w := httptest.NewRecorder()
		Write(w, navigate("GET"), 200, LoggedOut{ProviderURL: link})
		if strings.Contains(w.Body.String(), "<a ") {
			t.Errorf("provider link %q is shown", link)
		}
	}
}

func TestWhatCallersPassIsEscaped(t *testing.T) {
	const evil = `"><script>alert(1)</script>'&amp;{{.}}`
	pages := []Page{
		Login{Site: evil, Flow: evil, Error: evil, Providers: []Button{{evil, "/x"}}, Local: &LocalForm{"/x?" + `"><script>`, evil}},
		Setup{Site: evil, Action: "/x", Flow: evil, Token: evil, Username: evil, MinPassword: 8, Error: evil},
		Account{Site: evil, Name: evil, Email: evil, Provider: evil, Roles: []string{evil}, LogoutURL: "/x", CSRF: evil},
		Logout{Site: evil, Name: evil, Action: "/x", CSRF: evil},
		LoggedOut{Site: evil, Provider: evil, ProviderURL: "https://a.example/?" + evil},
		Account{Action: "/x", Sessions: []Session{{ID: evil, Agent: evil, Network: evil, Site: evil}}},
		Kept{Action: "/x?" + `"><script>`, Enctype: "multipart/form-data", Fields: []Field{{Name: evil, Value: evil}, {Name: evil, Empty: true}}},
		Hop{To: "/x?" + `"><script>`, Key: evil, Provider: evil},
		Password{Site: evil, Action: "/x", Flow: evil, CSRF: evil, Ticket: evil, Username: evil, Error: evil, CancelURL: "/x?" + `"><script>`},
		Register{Site: evil, Action: "/x", Flow: evil, Username: evil, Name: evil, Email: evil, Error: evil},
		Notice{Site: evil, URL: "/x?" + `"><script>`},
		BreakGlass{Site: evil, Action: "/x", Flow: evil, Purpose: evil, Any: true, Error: evil},
		Device{Site: evil, Action: "/x", UserCode: evil, Client: evil, Address: evil, Name: evil, Host: evil, Paths: []string{evil}},
		Keys{Site: evil, Action: "/x", Keys: []Key{{ID: evil, Name: evil, Hosts: []string{evil}}}},
		Verification{Site: evil, Held: evil, Why: []string{evil, "new_device"}, Action: "/x", CSRF: evil, Next: evil, Provider: evil, ProviderURL: "/x?" + `"><script>`, FactorURL: "/x", MailTo: evil, Sent: true, Error: evil},
		VisitReport{Site: evil, Action: "/x", Token: evil, Network: evil},
		Visits{Site: evil, Action: "/x", CSRF: evil, Devices: []VisitRow{{ID: evil, Name: evil}}, Networks: []VisitRow{{ID: evil, Name: evil}}},
		GuestLink{Site: evil, RequestID: evil, Action: "/x", Leave: evil},
		BreakOpen{Site: evil, Action: "/x", Flow: evil, Token: evil},
		Factors{Action: "/x", AppURL: "/x", PasskeyURL: "/x", CSRF: evil, Passkeys: []FactorRow{{ID: evil, Name: evil, Site: evil}}},
		EnrolApp{Action: "/x", CSRF: evil, Flow: evil, Next: evil, Secret: evil, QR: QR{Path: evil}},
		EnrolPasskey{Action: "/x", CSRF: evil, Flow: evil, Next: evil, Options: evil, Name: evil},
		BackupCodes{ContinueURL: "/x", Codes: []string{evil}},
		Verify{Action: "/x", Next: evil, Challenge: evil, Code: true, Flow: evil, Options: evil, For: &Errand{Method: evil, URI: "/" + evil, Fields: []Field{{Name: evil}}}},
		Proven{Errand: &Errand{Method: evil, URI: "/x?" + `"><script>`, Fields: []Field{{Name: evil, Value: evil}}}, Enctype: "multipart/form-data", CodesLeft: -1},
		Nudge{Action: "/x", SetupURL: "/x", CSRF: evil, Next: evil},
	}
	for _, p := range pages {
		t.Run(fmt.Sprintf("%T", p), func(t *testing.T) {
			w := httptest.NewRecorder()
			Write(w, navigate("GET"), 200, p)
			if w.Code != 200 {
				t.Fatalf("status %d", w.Code)
			}
			body, own := w.Body.String(), 0
			if strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'sha256-") {
				own = 1
			}
			if strings.Count(body, "<script") != own || strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<script>") {
				t.Errorf("not escaped:\n%s", body)
			}
			if len(elements(t, w.Body.Bytes())["script"]) != own {
				t.Error("a script element")
			}
		})
	}
}

func TestStatusAndChallengeOfPages(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, navigate("GET"), 401, Login{})
	if w.Code != 401 || w.Header().Get("Www-Authenticate") != challenge {
		t.Errorf("status %d, challenge %q", w.Code, w.Header().Get("Www-Authenticate"))
	}
}

// TestServe shows the samples to a person: go test -run TestServe -serve 127.0.0.1:8080.
func TestServe(t *testing.T) {
	if *serve == "" {
		t.Skip("only with -serve")
	}
	mux := http.NewServeMux()
	var index strings.Builder
	for _, s := range samples() {
		mux.HandleFunc("/"+s.name, s.write)
		fmt.Fprintf(&index, "<p><a href=/%[1]s>%[1]s</a>", s.name)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, index.String()) })
	t.Fatal(http.ListenAndServe(*serve, mux))
}

// element is a start tag and the text right inside it.
type element struct {
	attr map[string]string
	text string
}

// elements reads a page, all of whose elements must be well nested, by their names.
func elements(t *testing.T, page []byte) map[string][]*element {
	t.Helper()
	page = styleSheet.ReplaceAll(page, []byte("$1$2"))
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	found := map[string][]*element{}
	var open []*element
	for {
		token, err := d.Token()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatalf("not well nested: %v\n%s", err, page)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{attr: map[string]string{}}
			for _, a := range token.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			found[token.Name.Local] = append(found[token.Name.Local], e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text += string(token)
			}
		}
	}
}
