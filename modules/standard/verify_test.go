package standard_test

import (
	"context"
	"html"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"gatehouse.internal/modules/internal/gatetest"
)

// place is a browser in some network of this machine.
type place struct {
	*http.Client
	t testing.TB
	g *gatetest.Gateway
}

// comeFrom returns a new browser that comes from an address of 127/8.
func comeFrom(t testing.TB, g *gatetest.Gateway, addr string) *place {
	t.Helper()
	p := &place{Client: g.Browser().HTTP, t: t, g: g}
	return p.move(addr)
}

// move has the browser come from another address from now on.
func (p *place) move(addr string) *place {
	tr := p.g.Transport()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", p.g.Addr)
	}
	p.t.Cleanup(tr.CloseIdleConnections)
	p.Transport = tr
	return p
}

// send is what a browser does when somebody follows a link, or sends a form.
func (p *place) send(method, path string, form url.Values) (int, string, string) {
	p.t.Helper()
	header := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-origin", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
	body := ""
	if form != nil {
		body, header = form.Encode(), append(header, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://app.test")
	}
	res, text := call(p.t, p.Client, method, "https://app.test"+path, body, header...)
	return res.StatusCode, res.Header.Get("Location"), text
}

func (p *place) want(what, path string, status int, leads string) string {
	p.t.Helper()
	got, to, body := p.send("GET", path, nil)
	if got != status || !strings.HasPrefix(to, leads) {
		p.t.Fatalf("%s: %d to %q, want %d to %q\n%s", what, got, to, status, leads, body)
	}
	return body
}

func (p *place) post(what, path, page string, status int, leads string, fields ...string) string {
	p.t.Helper()
	form := url.Values{}
	if m := csrfField.FindStringSubmatch(page); m != nil {
		form.Set("csrf", html.UnescapeString(m[1]))
	}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	got, to, body := p.send("POST", path, form)
	if got != status || !strings.HasPrefix(to, leads) {
		p.t.Fatalf("%s: %d to %q, want %d to %q\n%s", what, got, to, status, leads, body)
	}
	return body
}

var (
	csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)
	heldField = regexp.MustCompile(`<code>([A-Z2-7]{10})</code>`)
	keyField  = regexp.MustCompile(`secret=([A-Z2-7]{32})|([A-Z2-7]{4}( [A-Z2-7]{4}){7})`)
)

func (p *place) logIn(query string) *place {
	p.t.Helper()
	p.want("the login", "/.gatehouse/login/voucher?"+query, 303, "")
	return p
}

func verifying(t testing.TB, words string, change ...string) *operated {
	t.Helper()
	return operate(t, append([]string{"idp", "voucher\nverify {\n" + words + "\n}", "backend", "reverse_proxy " + backend(t)}, change...)...)
}

// The first device and network are learned; another network is told of; another device is held until an administrator lets it
// in; who is denied is out; and a restart changes nothing of that (CER-04).
func TestVerifyDevices(t *testing.T) {
	g := verifying(t, "new_network notify\nnew_device step_up")
	sam := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
	sam.want("the first login", "/x", 200, "")
	sam.want("once more", "/x", 200, "")
	sam.move("127.9.0.1").want("from another network", "/x", 200, "")
	g.WantEvent("verify.noticed", `"user":"voucher:sam"`, "new_network", "127.9.0.0/24")
	sam.want("from there again", "/x", 200, "")
	if n := g.Events("verify.noticed"); n != 1 {
		t.Errorf("told of %d times", n)
	}

	other := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
	other.want("another device", "/x?a=1", 302, "/.gatehouse/verify?next=%2Fx%3Fa%3D1")
	if res, body := call(t, other.Client, "GET", "https://app.test/x", ""); res.StatusCode != 401 || !strings.Contains(body, `"reason":"verification_required"`) {
		t.Errorf("a script: %d %s", res.StatusCode, body)
	}
	// Nothing with which to let oneself in, later or elsewhere, is to be had.
	for _, path := range []string{"/.gatehouse/mfa", "/.gatehouse/mfa/app", "/.gatehouse/mfa/passkey", "/.gatehouse/account", "/.gatehouse/account/devices"} {
		other.want("held, and at "+path, path, 302, "/.gatehouse/verify")
	}
	page := other.want("the page", "/.gatehouse/verify?next=/x", 200, "")
	m := heldField.FindStringSubmatch(page)
	if m == nil || !strings.Contains(page, "a device or browser that you have not used here before") {
		t.Fatalf("the page:\n%s", page)
	}
	g.WantEvent("verify.held", `"user":"voucher:sam"`, "new_device", m[1])
	if list := g.ok("verify", "list"); !strings.Contains(list, m[1]) || !strings.Contains(list, "voucher:sam") || !strings.Contains(list, "waiting") {
		t.Errorf("the list:\n%s", list)
	}
	g.no("or no longer", "verify", "approve", "voucher:sam", "ABCDEFGHIJ")
	g.no("provider:subject", "verify", "approve", "sam", m[1])
	g.ok("verify", "approve", "voucher:sam", m[1])
	g.WantEvent("verify.approved", m[1])
	other.want("approved", "/x", 200, "")
	g.WantEvent("verify.passed", `"user":"voucher:sam"`)

	third := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
	m = heldField.FindStringSubmatch(func() string {
		third.want("a third device", "/x", 302, "/.gatehouse/verify")
		return third.want("its page", "/.gatehouse/verify", 200, "")
	}())
	g.ok("verify", "deny", "voucher:sam", m[1])
	third.want("denied", "/x", 403, "")
	third.want("the way out", "/.gatehouse/logout", 200, "")

	if err := g.Load(g.text("idp", "voucher\nverify {\nnew_network notify\nnew_device step_up\n}", "backend", "reverse_proxy "+backend(t))); err != nil {
		t.Fatal(err)
	}
	sam.want("after a reload", "/x", 200, "")
	third.want("denied, after a reload", "/x", 403, "")

	// What the person sees, and removes.
	page = sam.want("the devices", "/.gatehouse/account/devices", 200, "")
	if !strings.Contains(page, "Firefox") || !strings.Contains(page, "127.9.0.0/24") || !strings.Contains(sam.want("the account", "/.gatehouse/account", 200, ""), "/.gatehouse/account/devices") {
		t.Errorf("the devices:\n%s", page)
	}
	g.ok("verify", "forget", "voucher:sam")
	if known := g.ok("verify", "list", "voucher:sam"); strings.Contains(known, "127.9.0.0/24") {
		t.Errorf("after forget:\n%s", known)
	}
}

// A stolen session's cookie alone, from wherever, opens nothing; and what its owner proves does not help the thief.
func TestVerifyStolenSession(t *testing.T) {
	g := verifying(t, "new_network allow\nnew_device step_up")
	sam := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
	sam.want("the first login", "/x", 200, "")
	key := sam.enrol()
	thief := comeFrom(t, g.Gateway, "127.7.0.1")
	u, _ := url.Parse("https://app.test/")
	for _, c := range sam.Jar.Cookies(u) {
		if c.Name == "__Host-gatehouse" {
			thief.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/", Secure: true}})
		}
	}
	thief.want("a stolen cookie", "/x", 302, "/.gatehouse/verify")
	page := sam.want("the owner's page", "/.gatehouse/mfa/verify?next=/x", 200, "")
	sam.post("the owner proves a factor", "/.gatehouse/mfa/verify", page, 303, "/x", "code", code(t, key, 1), "next", "/x")
	sam.want("the owner", "/x", 200, "")
	thief.want("the thief, afterwards", "/x", 302, "/.gatehouse/verify")
}

// The person's own second factor lets a new device in, and it is known from then on.
func TestVerifyByFactor(t *testing.T) {
	g := verifying(t, "new_device step_up")
	sam := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
	sam.want("the first login", "/x", 200, "")
	key := sam.enrol()

	other := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff")
	other.want("another device", "/x", 302, "/.gatehouse/verify?next=%2Fx")
	other.want("its page asks for the factor first", "/.gatehouse/mfa", 302, "/.gatehouse/verify")
	page := other.want("the factor", "/.gatehouse/mfa/verify?next=/x", 200, "")
	other.post("proven", "/.gatehouse/mfa/verify", page, 303, "/x", "code", code(t, key, 1), "next", "/x")
	other.want("inside", "/x", 200, "")
	g.WantEvent("verify.passed", `"by":"factor totp"`)
}

// enrol sets an authenticator application up, and returns its key.
func (p *place) enrol() string {
	p.t.Helper()
	page := p.want("setting a factor up", "/.gatehouse/mfa/app", 200, "")
	m := keyField.FindStringSubmatch(page)
	if m == nil {
		p.t.Fatalf("no key:\n%s", page)
	}
	key := strings.ReplaceAll(m[1]+m[2], " ", "")
	form := []string{"code", code(p.t, key, 0)}
	for _, name := range []string{"flow", "key", "enrol", "secret", "next"} {
		if m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page); m != nil {
			form = append(form, name, html.UnescapeString(m[1]))
		}
	}
	p.post("the factor is set up", "/.gatehouse/mfa/app", page, 200, "", form...)
	return key
}

// code is what the application shows, so many steps from now: none works twice.
func code(t testing.TB, key string, steps int) string {
	t.Helper()
	text, err := totp.GenerateCode(key, time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Policies are for roles, and deny is deny.
func TestVerifyPolicies(t *testing.T) {
	g := verifying(t, "new_device allow\nnew_network allow\nfor role boss {\nnew_network deny\n}", "policy", "allow role staff boss")
	for query, status := range map[string]int{"as=sam&roles=staff": 200, "as=ann&roles=staff,boss": 403} {
		p := comeFrom(t, g.Gateway, "127.0.0.1").logIn(query)
		p.want(query, "/x", 200, "")
		p.move("127.8.0.1").want(query+" elsewhere", "/x", status, "")
		p.move("127.0.0.1").want(query+" back", "/x", 200, "")
	}
	g.WantEvent("verify.denied", `"user":"voucher:ann"`, "new_network")
}

// A code by mail: once, for one device, five tries; the notice's link does nothing until it is confirmed, and then ends
// everything (CER-15).
func TestVerifyByMail(t *testing.T) {
	box := newMailbox(t)
	g := verifying(t, "new_device step_up\nsmtp "+box.addr+" {\nfrom gate@mail.test\nca "+box.ca+"\n}")
	const who = "as=sam&roles=staff&email=sam@mail.test"
	sam := comeFrom(t, g.Gateway, "127.0.0.1").logIn(who)
	sam.want("the first login", "/x", 200, "")
	other := comeFrom(t, g.Gateway, "127.0.0.1").logIn("as=sam&roles=staff&email=thief@mail.test")
	other.want("another device", "/x", 302, "/.gatehouse/verify")
	head, notice := box.next(t)
	if !strings.Contains(head, "sam@mail.test") || !strings.Contains(notice, "They were not let through yet") {
		t.Errorf("the notice goes to whom the gateway knows:\n%s\n%s", head, notice)
	}
	page := other.want("the page", "/.gatehouse/verify?next=/x", 200, "")
	if !strings.Contains(page, "s…@mail.test") {
		t.Errorf("the page:\n%s", page)
	}
	page = other.post("a code is asked for", "/.gatehouse/verify", page, 200, "", "do", "send", "next", "/x")
	_, letter := box.next(t)
	m := codeInLetter.FindStringSubmatch(letter)
	if m == nil {
		t.Fatalf("no code:\n%s", letter)
	}
	third := comeFrom(t, g.Gateway, "127.0.0.1").logIn(who)
	third.want("a third device", "/x", 302, "/.gatehouse/verify")
	box.next(t)
	itsPage := third.want("its page", "/.gatehouse/verify", 200, "")
	if body := third.post("another device's code", "/.gatehouse/verify", itsPage, 200, "", "do", "code", "code", m[1]); !strings.Contains(body, "code") {
		t.Error(body)
	}
	wrong := "00000000"
	if m[1] == wrong {
		wrong = "11111111"
	}
	for range 4 {
		other.post("a wrong code", "/.gatehouse/verify", page, 200, "", "do", "code", "code", wrong, "next", "/x")
	}
	other.post("the code", "/.gatehouse/verify", page, 303, "/x", "do", "code", "code", m[1][:4]+" "+m[1][4:], "next", "/x")
	other.want("inside", "/x", 200, "")
	g.WantEvent("verify.passed", `"by":"mail"`)
	if n := g.Events("verify.failed"); n != 5 {
		t.Errorf("%d wrong codes were told of", n)
	}

	page = third.post("a code", "/.gatehouse/verify", itsPage, 200, "", "do", "send", "next", "/x")
	_, letter = box.next(t)
	m = codeInLetter.FindStringSubmatch(letter)
	for range 5 {
		third.post("a wrong code", "/.gatehouse/verify", page, 200, "", "do", "code", "code", wrong, "next", "/x")
	}
	third.post("the code, too late", "/.gatehouse/verify", page, 200, "", "do", "code", "code", m[1], "next", "/x")

	link := linkInLetter.FindStringSubmatch(notice)
	if link == nil {
		t.Fatalf("no link:\n%s", notice)
	}
	stranger := comeFrom(t, g.Gateway, "127.3.0.1")
	report := stranger.want("the link", link[2], 200, "")
	sam.want("looked at only", "/x", 200, "")
	token := regexp.MustCompile(`name="t" value="([^"]+)"`).FindStringSubmatch(report)[1]
	if res, _ := call(t, stranger.Client, "POST", "https://app.test/.gatehouse/verify/report", "t="+token, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.test"); res.StatusCode != 403 {
		t.Errorf("a foreign page reports: %d", res.StatusCode)
	}
	stranger.post("confirmed", "/.gatehouse/verify/report", report, 200, "", "t", token)
	g.WantEvent("incident.user_reported", `"user":"voucher:sam"`)
	for name, p := range map[string]*place{"sam": sam, "other": other, "third": third} {
		p.want(name+" after the report", "/x", 302, "/.gatehouse/login")
	}
	other.logIn(who).want("the reported device", "/x", 403, "")
	for line := range strings.Lines(g.Log()) {
		if strings.Contains(line, m[1]) || strings.Contains(line, token) {
			t.Errorf("a secret is in the log: %s", line)
		}
	}
}

// A code comes by a mail server that wants a password, over TLS from the first byte or STARTTLS; with a wrong password it is
// told that nothing was sent, and the password is in no log.
func TestVerifyByMailWithPassword(t *testing.T) {
	for _, tt := range []struct {
		name, password string
		implicit       bool
	}{{"TLS from the first byte", "s3cret-for-mail", true}, {"STARTTLS", "s3cret-for-mail", false}, {"a wrong password", "s3cret-and-wrong", true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GATEHOUSE_TEST_SMTP", tt.password)
			box := openMailbox(t, 0, &mailbox{implicit: tt.implicit, auth: "\x00gate\x00s3cret-for-mail"})
			words := "from gate@mail.test\nuser gate {env.GATEHOUSE_TEST_SMTP}\nca " + box.ca
			if tt.implicit {
				words += "\nimplicit_tls"
			}
			g := verifying(t, "new_network allow\nnew_device step_up\nsmtp "+box.addr+" {\n"+words+"\n}")
			const who = "as=sam&roles=staff&email=sam@mail.test"
			comeFrom(t, g.Gateway, "127.0.0.1").logIn(who).want("the first login", "/x", 200, "")
			other := comeFrom(t, g.Gateway, "127.0.0.1").logIn(who)
			other.want("another device", "/x", 302, "/.gatehouse/verify")
			if tt.password != "s3cret-for-mail" {
				awaitLog(t, g.Gateway, "message.failed", "535")
			} else {
				box.next(t) // the notice
				page := other.want("the page", "/.gatehouse/verify?next=/x", 200, "")
				page = other.post("a code is asked for", "/.gatehouse/verify", page, 200, "", "do", "send", "next", "/x")
				_, letter := box.next(t)
				other.post("the code", "/.gatehouse/verify", page, 303, "/x", "do", "code", "code", codeInLetter.FindStringSubmatch(letter)[1], "next", "/x")
				other.want("inside", "/x", 200, "")
			}
			if strings.Contains(g.Log(), tt.password) {
				t.Error("the password is in the log")
			}
		})
	}
}

// What waits for a slow mail server is sent by the configuration that took it, though another one has taken over.
func TestNoticesSurviveAReload(t *testing.T) {
	box := openMailbox(t, 0, &mailbox{hold: make(chan struct{})})
	words := "new_network allow\nnew_device step_up\nsmtp " + box.addr + " {\nfrom gate@mail.test\nca " + box.ca + "\n}"
	g := verifying(t, words)
	const who = "as=sam&roles=staff&email=sam@mail.test"
	comeFrom(t, g.Gateway, "127.0.0.1").logIn(who).want("the first login", "/x", 200, "")
	for range 3 {
		comeFrom(t, g.Gateway, "127.0.0.1").logIn(who).want("another device", "/x", 302, "/.gatehouse/verify")
	}
	if err := g.Load(g.text("idp", "voucher\nverify {\n"+words+"\nremember 30d\n}", "backend", "reverse_proxy "+backend(t))); err != nil {
		t.Fatal(err)
	}
	close(box.hold)
	for range 3 {
		box.next(t)
	}
}

// What is misspelt is refused with a sentence.
func TestVerifyMistakes(t *testing.T) {
	for words, says := range map[string]string{
		"new_devices step_up":                `unknown verify option "new_devices"`,
		"new_device maybe":                   `unknown outcome "maybe"`,
		"for admin {\nnew_device deny\n}":    "write `for role <role...> { ... }`",
		"hours mon-fri 9-5 UTC":              "write 07:00-19:00",
		"hours mon-fri 09:00-17:00 Moon/X":   "is no time zone",
		"trusted 10.0.0.1/8":                 "trusted",
		"remember 1h":                        "1d to 400d",
		"smtp mail.test {\nfrom a@b.test\n}": "write host:port",
		"smtp mail.test:25":                  "say with `from <address>`",
		"smtp mail.test:25 {\nfrom a@b.test\nuser a b\ninsecure_smtp_clear\n}": "not sent in the clear",
	} {
		g := gatetest.New(t)
		err := g.Load(fill(newcomer, pairs("idp", "voucher\nverify {\n"+words+"\n}")))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", words, err, says)
		}
	}
}
