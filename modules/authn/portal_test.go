package authn_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	neturl "net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/gatetest"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/verdict"
	_ "gatehouse.internal/modules/standard"
)

func init() { caddy.RegisterModule(vouch{}) }

// vouch is an identity provider elsewhere, without the elsewhere: whoever its callback names has proven to be that.
type vouch struct {
	Approve bool `json:"approve_new,omitempty"`
}

func (vouch) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.identity_providers.vouch", New: func() caddy.Module { return new(vouch) }}
}

func (v *vouch) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	v.Approve = d.NextArg()
	return nil
}

func (v *vouch) ApprovesNew() bool       { return v.Approve }
func (*vouch) Name() string              { return "vouch" }
func (*vouch) Label() string             { return "Voucher" }
func (*vouch) Form() bool                { return false }
func (*vouch) Open(*gatehouse.App) error { return nil }

func (*vouch) ServeLogin(w http.ResponseWriter, r *http.Request, l gatehouse.Login) (*gatehouse.Vouching, error) {
	if l.Sub == "" {
		w.Header().Set("Location", "https://idp.test/auth?state="+l.Flow.Token)
		w.WriteHeader(http.StatusFound)
		return nil, nil
	}
	if l.Flow.Fresh {
		return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired}
	}
	who := r.URL.Query().Get("who")
	return &gatehouse.Vouching{
		Identity: identity.Identity{Issuer: "https://idp.test", Subject: who, Name: "Dr. " + who, Roles: []string{"staff"}, AuthTime: time.Now()},
		Keep:     []byte("hint-of-" + who), SID: r.URL.Query().Get("sid"),
	}, nil
}

func (*vouch) EndURL(_ context.Context, keep []byte, returnTo, state string) (string, error) {
	return "https://idp.test/end?hint=" + string(keep) + "&to=" + neturl.QueryEscape(returnTo) + "&state=" + state, nil
}

func (*vouch) LogoutNotice(r *http.Request) (*gatehouse.LogoutNotice, error) {
	if r.PostForm.Get("logout_token") != "good" {
		return nil, errors.New("not signed by the provider")
	}
	lasts, err := time.ParseDuration(r.PostForm.Get("lasts"))
	if err != nil {
		lasts = time.Minute
	}
	return &gatehouse.LogoutNotice{
		Subject: r.PostForm.Get("sub"), SID: r.PostForm.Get("sid"), ID: r.PostForm.Get("jti"), Expires: time.Now().Add(lasts),
	}, nil
}

const portalSite = `{
	{{house}}
	gatehouse {
		state_dir {{dir}}/state
		vouch
		{{idp}}
		session {
			idle {{idle}}
			admin_idle {{idle}}
			max 1h
			renewal_grace 1m
			{{session}}
		}
	}
}
https://app.test:{{addr}} {
	{{tls}}
	gatehouse {
		allow authenticated
		insecure_waf_off
		rate_limit 1000r/s /.gatehouse/*
	}
	reverse_proxy {{backend}}
}
`

// gate is a gateway in front of an application that remembers what it was sent.
type gate struct {
	*gatetest.Gateway
	t *testing.T

	mu   sync.Mutex
	sent []string // guarded by mu; method, path and body
}

func openGate(t *testing.T, change ...string) *gate {
	h := &gate{t: t}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		h.sent = append(h.sent, r.Method+" "+r.RequestURI+" "+string(body))
		h.mu.Unlock()
		_, _ = io.WriteString(w, "the application")
	}))
	t.Cleanup(app.Close)
	set := []string{"{{idle}}", "10m", "{{idp}}", "", "{{session}}", "", "{{backend}}", strings.TrimPrefix(app.URL, "http://")}
	h.Gateway = gatetest.Start(t, strings.NewReplacer(append(change, set...)...).Replace(portalSite))
	return h
}

// browser is a person's; it follows no redirect.
type browser struct {
	t     *testing.T
	http  *http.Client
	agent string
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

func (h *gate) browser() *browser {
	c := h.Client()
	c.Jar, _ = cookiejar.New(nil) // never fails
	return &browser{t: h.t, http: c, agent: firefox}
}

type answer struct {
	*http.Response
	body string
}

// send sends a request as a page load, unless the headers say otherwise: name, value …; an empty value takes it away.
func (b *browser) send(method, path, contentType, body string, header ...string) answer {
	b.t.Helper()
	r, err := http.NewRequest(method, "https://app.test"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	set := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-origin", "User-Agent", b.agent, "Accept", "text/html"}
	if body != "" || method == http.MethodPost {
		set = append(set, "Content-Type", contentType, "Origin", "https://app.test", "Referer", "https://app.test/edit?page=7")
	}
	for set = append(set, header...); len(set) > 0; set = set[2:] {
		if r.Header.Set(set[0], set[1]); set[1] == "" {
			delete(r.Header, set[0])
		}
	}
	res, err := b.http.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{res, string(got)}
}

func (b *browser) get(path string, header ...string) answer {
	b.t.Helper()
	return b.send("GET", path, "", "", header...)
}

func (b *browser) post(path string, fields neturl.Values, header ...string) answer {
	b.t.Helper()
	return b.send("POST", path, "application/x-www-form-urlencoded", fields.Encode(), header...)
}

// begin follows a login page to the provider and returns the state that goes there.
func (b *browser) begin(login string) (state string) {
	b.t.Helper()
	a := b.get(login)
	to := regexp.MustCompile(`<a class="button[^"]*" href="([^"]*)"`).FindStringSubmatch(a.body)
	if a.StatusCode != 200 || to == nil {
		b.t.Fatalf("%s: status %d\n%s", login, a.StatusCode, a.body)
	}
	away, err := b.get(to[1]).Location()
	if err != nil || away.Host != "idp.test" {
		b.t.Fatalf("%s leads to %v, %v", to[1], away, err)
	}
	return away.Query().Get("state")
}

func callback(state, who, sid string) string {
	return "/.gatehouse/login/vouch/callback?" + neturl.Values{"state": {state}, "who": {who}, "sid": {sid}}.Encode()
}

// login logs in as who, whose provider calls its session sid.
func (b *browser) login(who, sid string) *browser {
	b.t.Helper()
	if a := b.get(callback(b.begin("/.gatehouse/login"), who, sid)); a.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("logging in: status %d\n%s", a.StatusCode, a.body)
	}
	return b
}

func (b *browser) alive() bool {
	b.t.Helper()
	return b.get("/.gatehouse/session").StatusCode == http.StatusOK
}

func (b *browser) wantAlive(who string, want bool) {
	b.t.Helper()
	if b.alive() != want {
		b.t.Errorf("%s is logged in: %v, want %v", who, !want, want)
	}
}

func (b *browser) cookie(name string) string {
	u, _ := neturl.Parse("https://app.test/")
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (a answer) csrf() string {
	m := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(a.body)
	if m == nil {
		return ""
	}
	return m[1]
}

// ended counts the sessions whose end was told of with this detail.
func (h *gate) ended(detail string) (n int) {
	for line := range strings.Lines(h.Log()) {
		if strings.Contains(line, `"session.ended"`) && strings.Contains(line, `"`+detail+`"`) {
			n++
		}
	}
	return n
}

// eventually polls, since the log is written behind the request.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAccountListsAndEndsSessions(t *testing.T) {
	h := openGate(t)
	here, phone, old, bob := h.browser(), h.browser(), h.browser(), h.browser()
	phone.agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
	old.agent = "<script>alert(1)</script>"
	here.login("ada", "1")
	phone.login("ada", "2")
	old.login("ada", "3")
	bob.login("bob", "4")

	a := here.get("/.gatehouse/account", "Accept-Language", "de")
	for _, want := range []string{"Dr. ada", "Firefox unter Linux", "Safari unter iPhone", "Unbekanntes Gerät", "127.0.0.0/24", "Hier</strong>", "app.test"} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the account does not say %q", want)
		}
	}
	if strings.Contains(a.body, "alert(1)") || strings.Count(a.body, "<li>\n<p class=\"device\"") != 3 || strings.Contains(a.body, here.cookie("__Host-gatehouse")) {
		t.Errorf("the account says too much:\n%s", a.body)
	}
	names := regexp.MustCompile(`name="end" value="([0-9a-f]+)"`).FindAllStringSubmatch(a.body, -1)
	if len(names) != 2 { // this one ends by logging out
		t.Fatalf("%d sessions can be ended", len(names))
	}
	end := func(b *browser, csrf, what string) int {
		return b.post("/.gatehouse/account", neturl.Values{"csrf": {csrf}, "end": {what}}).StatusCode
	}
	// What is no form of this session's ends nothing.
	others := bob.get("/.gatehouse/account").csrf()
	for name, status := range map[string]int{
		"no token":        end(here, "", "others"),
		"another's token": end(here, others, "others"),
		"nobody":          end(h.browser(), a.csrf(), "others"),
	} {
		if status != http.StatusForbidden && status != http.StatusUnauthorized {
			t.Errorf("%s: status %d", name, status)
		}
	}
	if s := here.post("/.gatehouse/account", neturl.Values{"csrf": {a.csrf()}, "end": {"others"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test").StatusCode; s != http.StatusForbidden {
		t.Errorf("from another site: status %d", s)
	}
	if s := end(bob, others, names[0][1]); s != http.StatusSeeOther { // as if it had been gone
		t.Errorf("another person's session: status %d", s)
	}
	if s := end(here, a.csrf(), ""); s != http.StatusBadRequest {
		t.Errorf("nothing: status %d", s)
	}
	for _, b := range []*browser{here, phone, old, bob} {
		b.wantAlive("everybody", true)
	}

	if s := end(here, a.csrf(), names[0][1]); s != http.StatusSeeOther {
		t.Errorf("ending one: status %d", s)
	}
	if phone.alive() == old.alive() {
		t.Error("not one of the two has ended")
	}
	if a := here.get("/.gatehouse/account?done=1"); !strings.Contains(a.body, `role="status"`) {
		t.Error("it does not say that it is done")
	}
	for _, b := range []*browser{phone, old} {
		if !b.alive() { // whichever was listed first
			b.login("ada", "2")
		}
	}
	end(here, a.csrf(), "others")
	phone.wantAlive("phone", false)
	old.wantAlive("old", false)
	here.wantAlive("here", true)
	phone.login("ada", "2")
	if a := here.post("/.gatehouse/account", neturl.Values{"csrf": {a.csrf()}, "end": {"all"}}); a.StatusCode != 200 || !strings.Contains(a.body, "You are signed out") {
		t.Errorf("ending all: status %d\n%s", a.StatusCode, a.body)
	}
	here.wantAlive("here", false)
	phone.wantAlive("phone", false)
	bob.wantAlive("bob", true)
	if here.cookie("__Host-gatehouse") != "" {
		t.Error("the cookie is left")
	}
	eventually(t, "the ends of five sessions are told of", func() bool { return h.ended("revoked") == 5 })
}

func TestLogoutLeadsToTheProvider(t *testing.T) {
	for _, tt := range []struct{ name, option, want, refresh string }{
		{"plain", "", "", ""}, {"clearing", "clear_site_data", `"cache","cookies","storage"`, ""},
		{"by itself", "provider_logout", "", "0;url=https://idp.test/end?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := openGate(t, "{{session}}", tt.option)
			b := h.browser().login("ada", "1")
			token := b.cookie("__Host-gatehouse")
			a := b.get("/.gatehouse/logout")
			if !strings.Contains(a.body, "Dr. ada") || a.Header.Get("Clear-Site-Data") != "" {
				t.Errorf("asking: %s", a.body)
			}
			if a := b.post("/.gatehouse/logout", neturl.Values{"csrf": {"AAAA"}}); a.StatusCode != http.StatusForbidden {
				t.Errorf("without the token: status %d", a.StatusCode)
			}
			b.wantAlive("ada", true)
			a = b.post("/.gatehouse/logout", neturl.Values{"csrf": {a.csrf()}})
			want := "https://idp.test/end?hint=hint-of-ada&amp;to=https%3A%2F%2Fapp.test%2F.gatehouse%2Flogout&amp;state="
			if a.StatusCode != 200 || !strings.Contains(a.body, want) || !strings.Contains(a.body, "Voucher") {
				t.Errorf("status %d\n%s", a.StatusCode, a.body)
			}
			if got := a.Header.Get("Clear-Site-Data"); got != tt.want {
				t.Errorf("Clear-Site-Data: %q", got)
			}
			if got := a.Header.Get("Refresh"); !strings.HasPrefix(got, tt.refresh) || (got == "") != (tt.refresh == "") {
				t.Errorf("Refresh: %q", got)
			}
			if a := h.browser().get("/", "Cookie", "__Host-gatehouse="+token); a.StatusCode != http.StatusFound {
				t.Errorf("the old cookie: status %d", a.StatusCode)
			}
			if a := b.get("/.gatehouse/logout?state=x"); a.StatusCode != 200 || !strings.Contains(a.body, "You are signed out") {
				t.Errorf("coming back: status %d", a.StatusCode)
			}
			eventually(t, "the end is told of", func() bool { return h.ended("logout") == 1 })
		})
	}
}

func TestBackChannelLogout(t *testing.T) {
	h := openGate(t, "{{idp}}", "local")
	laptop, phone, bob := h.browser().login("ada", "s1"), h.browser().login("ada", "s2"), h.browser().login("bob", "s3")
	// The provider's server: no cookies, no browser's headers.
	notify := func(name string, fields neturl.Values) answer {
		t.Helper()
		b := h.browser()
		a := b.send("POST", "/.gatehouse/login/"+name+"/backchannel-logout", "application/x-www-form-urlencoded", fields.Encode(),
			"Sec-Fetch-Mode", "", "Sec-Fetch-Dest", "", "Sec-Fetch-Site", "", "Origin", "", "Referer", "", "User-Agent", "Java/21", "Accept", "")
		if a.Header.Get("Cache-Control") != "no-store" || len(a.Header["Set-Cookie"]) > 0 || a.Header.Get("Location") != "" {
			t.Errorf("%v: headers %v", fields, a.Header)
		}
		return a
	}
	tests := []struct {
		name, provider string
		fields         neturl.Values
		status         int
		alive          [3]bool
	}{
		{"not the provider's", "vouch", neturl.Values{"logout_token": {"bad"}, "sub": {"ada"}, "jti": {"0"}}, 400, [3]bool{true, true, true}},
		{"without an id", "vouch", neturl.Values{"logout_token": {"good"}, "sub": {"ada"}}, 400, [3]bool{true, true, true}},
		{"about nobody", "vouch", neturl.Values{"logout_token": {"good"}, "jti": {"0"}}, 400, [3]bool{true, true, true}},
		{"good for ever", "vouch", neturl.Values{"logout_token": {"good"}, "sub": {"ada"}, "jti": {"0"}, "lasts": {"1000h"}}, 400, [3]bool{true, true, true}},
		{"of a provider that tells nothing", "local", neturl.Values{"logout_token": {"good"}, "sub": {"ada"}, "jti": {"0"}}, 404, [3]bool{true, true, true}},
		{"of no provider", "none", neturl.Values{"logout_token": {"good"}, "sub": {"ada"}, "jti": {"0"}}, 404, [3]bool{true, true, true}},
		{"huge", "vouch", neturl.Values{"logout_token": {strings.Repeat("x", 80<<10)}}, 413, [3]bool{true, true, true}},
		{"one session", "vouch", neturl.Values{"logout_token": {"good"}, "sub": {"ada"}, "sid": {"s2"}, "jti": {"1"}}, 200, [3]bool{true, false, true}},
		{"a session that is not ours", "vouch", neturl.Values{"logout_token": {"good"}, "sid": {"s9"}, "jti": {"2"}}, 200, [3]bool{true, false, true}},
		{"a person", "vouch", neturl.Values{"logout_token": {"good"}, "sub": {"ada"}, "jti": {"3"}}, 200, [3]bool{false, false, true}},
	}
	for _, tt := range tests {
		if a := notify(tt.provider, tt.fields); a.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d\n%s", tt.name, a.StatusCode, tt.status, a.body)
		}
		for i, b := range []*browser{laptop, phone, bob} {
			b.wantAlive(fmt.Sprint(tt.name, ": ", i), tt.alive[i])
		}
	}
	// Used once: whoever has seen a notice cannot log the person out again.
	laptop.login("ada", "s1")
	if a := notify("vouch", neturl.Values{"logout_token": {"good"}, "sub": {"ada"}, "jti": {"3"}}); a.StatusCode != 400 {
		t.Errorf("replayed: status %d", a.StatusCode)
	}
	laptop.wantAlive("laptop", true)
	if a := laptop.get("/.gatehouse/login/vouch/backchannel-logout"); a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d", a.StatusCode)
	}
	eventually(t, "the ends are told of", func() bool { return h.ended("backchannel_logout") == 2 })
}

func TestRemaining(t *testing.T) {
	h := openGate(t, "{{idle}}", "30s")
	b := h.browser()
	fetch := []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "*/*"}
	if a := b.get("/.gatehouse/session", fetch...); a.StatusCode != 401 || !strings.Contains(a.body, `"reason":"login_required"`) {
		t.Errorf("nobody: status %d, %s", a.StatusCode, a.body)
	}
	b.login("ada", "1")
	left := func(method string, header ...string) (idle, absolute int64) {
		t.Helper()
		a := b.send(method, "/.gatehouse/session", "", "", append(fetch, header...)...)
		got := map[string]int64{}
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || len(got) != 2 || a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%v, status %d, %v: %s", err, a.StatusCode, a.Header, a.body)
		}
		return got["idle"], got["absolute"]
	}
	if idle, absolute := left("GET"); idle < 25 || idle > 30 || absolute < 3590 || absolute > 3600 {
		t.Errorf("idle %d, absolute %d", idle, absolute)
	}
	// Looking is no use, however it is done; saying that one is there is.
	eventually(t, "looking lets the time run out", func() bool { idle, _ := left("GET"); return idle <= 27 })
	if idle, _ := left("GET", "Sec-Fetch-User", "?1"); idle > 27 {
		t.Errorf("looking made it %d", idle)
	}
	if a := b.send("POST", "/.gatehouse/session", "", "", append(fetch, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test")...); a.StatusCode != 403 {
		t.Errorf("another site: status %d", a.StatusCode)
	}
	if idle, _ := left("POST"); idle < 28 {
		t.Errorf("after use: %d", idle)
	}
	if a := b.send("DELETE", "/.gatehouse/session", "", "", fetch...); a.StatusCode != 405 {
		t.Errorf("DELETE: status %d", a.StatusCode)
	}
}

func TestLoopIsBroken(t *testing.T) {
	h := openGate(t)
	for _, tt := range []struct{ name, cookie, dest, say string }{
		{"the cookie is not kept", "", "document", "does not keep the cookie"},
		{"in a frame", "", "iframe", "inside of another website"},
		{"the session is not found", "__Host-gatehouse=" + strings.Repeat("A", 43), "document", "did send the cookie"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := h.browser()
			u, _ := neturl.Parse("https://app.test/")
			drop := func() {
				b.http.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-gatehouse", MaxAge: -1, Path: "/", Secure: true}})
			}
			for range 3 {
				b.login("ada", "1")
				drop()
			}
			header := []string{"Sec-Fetch-Dest", tt.dest}
			if tt.cookie != "" {
				header = append(header, "Cookie", tt.cookie)
			}
			a := b.get("/.gatehouse/login?next=%2Freports", header...)
			if a.StatusCode != 403 || !strings.Contains(a.body, tt.say) || !strings.Contains(a.body, a.Header.Get("X-Request-Id")) ||
				!strings.Contains(a.body, `href="/.gatehouse/login?next=%2Freports"`) {
				t.Errorf("status %d\n%s", a.StatusCode, a.body)
			}
			b.login("ada", "1") // trying again is possible at once
			b.wantAlive("ada", true)
		})
	}
	// Who logs out and in again is no loop.
	b := h.browser()
	for range 5 {
		b.login("ada", "1")
		b.post("/.gatehouse/logout", neturl.Values{"csrf": {b.get("/.gatehouse/logout").csrf()}})
	}
	eventually(t, "the loops are told of", func() bool { return strings.Count(h.Log(), "logins go round and round") >= 3 })
}

func TestManyTabsAtOnce(t *testing.T) {
	h := openGate(t)
	b := h.browser()
	var states []string
	for i := range 10 {
		states = append(states, b.begin(fmt.Sprintf("/.gatehouse/login?next=%%2Ftab%d", i)))
	}
	first := ""
	for i, state := range states {
		a := b.get(callback(state, "ada", "1"))
		if want := fmt.Sprintf("/tab%d", i); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != want {
			t.Errorf("tab %d: status %d to %q", i, a.StatusCode, a.Header.Get("Location"))
		}
		if first == "" {
			first = b.cookie("__Host-gatehouse")
		}
		if b.cookie("__Host-gatehouse") != first {
			t.Fatalf("tab %d took the session of tab 0 away", i)
		}
	}
	// A tab that was left at the provider's button, or comes from a bookmark, finds the session.
	for path, want := range map[string]string{
		"/.gatehouse/login?next=%2Fx": "/x", "/.gatehouse/login/vouch?flow=" + states[0]: "/tab0", callback(states[1], "ada", "1"): "/tab1",
	} {
		if a := b.get(path); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != want {
			t.Errorf("%.60s: status %d to %q, want %q", path, a.StatusCode, a.Header.Get("Location"), want)
		}
	}
	// Another person in a tab that was open before takes over: the session is theirs alone.
	c := h.browser()
	one, two := c.begin("/.gatehouse/login"), c.begin("/.gatehouse/login")
	c.get(callback(one, "ada", "1"))
	adas := c.cookie("__Host-gatehouse")
	c.get(callback(two, "bob", "2"))
	if c.cookie("__Host-gatehouse") == adas || !strings.Contains(c.get("/.gatehouse/account").body, "Dr. bob") {
		t.Error("the second person got the first one's session")
	}
	if a := h.browser().get("/", "Cookie", "__Host-gatehouse="+adas); a.StatusCode != http.StatusFound {
		t.Errorf("the session that was replaced: status %d", a.StatusCode)
	}
}

func TestFragmentIsNotLost(t *testing.T) {
	h := openGate(t)
	b := h.browser()
	a := b.get("/.gatehouse/login?next=%2Fapp")
	key := regexp.MustCompile(`<script data-key="(gatehouse:[A-Z2-7]{26})" data-to="(/\.gatehouse/login/vouch\?flow=[^"]+)">`).FindStringSubmatch(a.body)
	if a.StatusCode != 200 || key == nil || !strings.Contains(a.body, `<noscript><meta http-equiv="refresh" content="0;url=`+key[2]+`">`) {
		t.Fatalf("status %d\n%s", a.StatusCode, a.body)
	}
	if program := b.get("/.gatehouse/login", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", ""); program.StatusCode != http.StatusFound {
		t.Errorf("whoever shows no pages: status %d", program.StatusCode)
	}
	away, err := b.get(key[2] + "&hash=1").Location()
	if err != nil {
		t.Fatal(err)
	}
	a = b.get(callback(away.Query().Get("state"), "ada", "1"))
	if a.StatusCode != 200 || !strings.Contains(a.body, `<script data-key="`+key[1]+`" data-to="/app">`) || b.cookie("__Host-gatehouse") == "" {
		t.Errorf("status %d\n%s", a.StatusCode, a.body)
	}
}

// age makes the flow of a state older, as if the person had left for so long.
func (h *gate) age(b *browser, state string, by time.Duration) string {
	h.t.Helper()
	keys, err := keyring.Load(filepath.Join(h.Dir, "state", "keys"))
	if err != nil {
		h.t.Fatal(err)
	}
	binding := sha256.Sum256([]byte("binding " + b.cookie("__Host-gatehouse-login")))
	box, err1 := base64.RawURLEncoding.DecodeString(state)
	plain, err2 := keys.Open("authn.flow", box, binding[:])
	flow := map[string]any{}
	err3 := json.Unmarshal(plain, &flow)
	begun, err4 := time.Parse(time.RFC3339, fmt.Sprint(flow["t"]))
	flow["t"] = begun.Add(-by)
	plain, err5 := json.Marshal(flow)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		h.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(keys.Seal("authn.flow", plain, binding[:]))
}

// Whoever comes back late from the provider is sent there once more by itself, and still arrives where they wanted.
func TestLateAnswersBeginAgainOnce(t *testing.T) {
	h := openGate(t)
	b := h.browser()
	late := h.age(b, b.begin("/.gatehouse/login?next=%2Freports"), time.Hour)
	a := b.get(callback(late, "ada", "1"))
	to := a.Header.Get("Location")
	if a.StatusCode != http.StatusFound || !strings.HasPrefix(to, "/.gatehouse/login/vouch?flow=") || b.cookie("__Host-gatehouse") != "" {
		t.Fatalf("a late answer: status %d to %q", a.StatusCode, to)
	}
	away, err := b.get(to).Location()
	if err != nil {
		t.Fatal(err)
	}
	again := away.Query().Get("state")
	// Late once more: now the person is told.
	if a := b.get(callback(h.age(b, again, time.Hour), "ada", "1")); a.StatusCode != http.StatusBadRequest || !strings.Contains(a.body, "login_expired") {
		t.Errorf("late twice: status %d", a.StatusCode)
	}
	// In another browser it is worth nothing, nor after a day.
	if a := h.browser().get(callback(late, "ada", "1")); a.StatusCode != http.StatusBadRequest {
		t.Errorf("another browser: status %d", a.StatusCode)
	}
	if a := b.get(callback(h.age(b, late, 24*time.Hour), "ada", "1")); a.StatusCode != http.StatusBadRequest {
		t.Errorf("a day later: status %d", a.StatusCode)
	}
	if a := b.get(callback(again, "ada", "1")); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/reports" {
		t.Errorf("in time: status %d to %q", a.StatusCode, a.Header.Get("Location"))
	}
}

// formOf returns where the form on a page goes, how, and with what.
func (a answer) formOf(t *testing.T) (action, enctype string, fields neturl.Values) {
	t.Helper()
	m := regexp.MustCompile(`<form method="post" action="([^"]*)" enctype="([^"]*)"`).FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("no form:\n%s", a.body)
	}
	fields = neturl.Values{}
	for _, f := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(a.body, -1) {
		fields.Add(f[1], f[2])
	}
	return m[1], m[2], fields
}

func TestFormIsKept(t *testing.T) {
	h := openGate(t, "{{idle}}", "1s")
	expired := func(who string) *browser {
		b := h.browser().login(who, "1")
		eventually(t, "the session expires", func() bool { return !b.alive() })
		return b
	}
	typed := neturl.Values{"title": {"Draft"}, "text": {"four thousand words"}}
	// kept sends the form and returns the login that it is told to go to.
	kept := func(b *browser, header ...string) string {
		t.Helper()
		a := b.post("/save?page=7", typed, header...)
		if a.StatusCode != 401 {
			t.Fatalf("status %d\n%s", a.StatusCode, a.body)
		}
		m := regexp.MustCompile(`href="(/\.gatehouse/login\?[^"]*)"`).FindStringSubmatch(a.body)
		if m == nil || !strings.Contains(m[1], "kept=") {
			return ""
		}
		if !strings.Contains(a.body, "What you typed has been kept") {
			t.Errorf("the person is not told:\n%s", a.body)
		}
		return strings.ReplaceAll(m[1], "&amp;", "&")
	}
	back := func(b *browser, login, who string) answer {
		t.Helper()
		return b.get(callback(b.begin(login), who, "1"))
	}

	b := expired("ada")
	login := kept(b)
	if login == "" {
		t.Fatal("the form was not kept")
	}
	a := back(b, login, "ada")
	to := a.Header.Get("Location")
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/.gatehouse/kept?id=") || !strings.HasSuffix(to, "&next=%2Fedit%3Fpage%3D7") {
		t.Fatalf("status %d to %q", a.StatusCode, to)
	}
	if prefetched := b.get(to, "Sec-Purpose", "prefetch"); prefetched.StatusCode != http.StatusSeeOther {
		t.Errorf("prefetched: status %d", prefetched.StatusCode)
	}
	if strings.Contains(h.Log(), "four thousand") {
		t.Error("the log has what was typed")
	}
	a = b.get(to)
	action, enctype, fields := a.formOf(t)
	if action != "/save?page=7" || enctype != "application/x-www-form-urlencoded" || !maps.EqualFunc(fields, typed, func(a, b []string) bool { return a[0] == b[0] }) {
		t.Errorf("%s %s %v", action, enctype, fields)
	}
	if strings.Contains(a.Header.Get("Content-Security-Policy"), "script") || !strings.Contains(a.body, `href="/edit?page=7"`) || !strings.Contains(a.body, "19 characters") {
		t.Errorf("the page:\n%s", a.body)
	}
	if a := b.post(action, fields); a.StatusCode != 200 {
		t.Errorf("sending it: status %d", a.StatusCode)
	}
	h.mu.Lock()
	if want := "POST /save?page=7 text=four+thousand+words&title=Draft"; len(h.sent) != 1 || h.sent[0] != want {
		t.Errorf("the application got %q, want %q once", h.sent, want)
	}
	h.mu.Unlock()
	if a := b.get(to); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/edit?page=7" {
		t.Errorf("a second time: status %d to %q", a.StatusCode, a.Header.Get("Location"))
	}

	// Somebody else gets nothing, and after them nobody does.
	b = expired("ada")
	login = kept(b)
	to = back(b, login, "bob").Header.Get("Location")
	if a := b.get(to); a.StatusCode != http.StatusSeeOther || strings.Contains(a.body, "four thousand") {
		t.Errorf("another person: status %d\n%s", a.StatusCode, a.body)
	}
	if a := h.browser().login("ada", "1").get(to); a.StatusCode != http.StatusSeeOther {
		t.Errorf("the owner, after another person: status %d", a.StatusCode)
	}
	if a := h.browser().get(to); a.StatusCode != http.StatusFound {
		t.Errorf("nobody: status %d", a.StatusCode)
	}

	// What is not kept.
	b = expired("ada")
	if kept(b) == "" {
		t.Fatal("the control is not kept")
	}
	for name, header := range map[string][]string{
		"from a page of another site":     {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.test"},
		"from another origin of the site": {"Sec-Fetch-Site", "same-site", "Origin", "https://other.app.test"},
		"by who knows whom":               {"Sec-Fetch-Site", "", "Origin", ""},
		"by a script":                     {"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"},
		"in a frame":                      {"Sec-Fetch-Dest", "iframe"},
		"as JSON":                         {"Content-Type", "application/json"},
		"without a session ever":          {"Cookie", "__Host-gatehouse=" + strings.Repeat("A", 43)},
	} {
		a := b.post("/save", typed, header...)
		if a.StatusCode < 400 || strings.Contains(a.body, "kept=") {
			t.Errorf("%s: status %d\n%s", name, a.StatusCode, a.body)
		}
	}
	typed.Set("text", strings.Repeat("x", 64<<10))
	if kept(b) != "" {
		t.Error("a large form is kept")
	}
}
