package mfa_test

import (
	"encoding/base32"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	neturl "net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/pquerna/otp/totp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/gatetest"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
	_ "gatehouse.internal/modules/standard"
)

func init() { caddy.RegisterModule(witness{}) }

// witness is an identity provider elsewhere, without the elsewhere: whoever its callback names has proven what it says.
type witness struct {
	CanStepUp bool `json:"step_up,omitempty"`
}

func (witness) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.identity_providers.witness", New: func() caddy.Module { return new(witness) }}
}

func (p *witness) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	p.CanStepUp = d.NextArg()
	return nil
}

func (*witness) Name() string               { return "witness" }
func (*witness) Label() string              { return "The witness" }
func (*witness) Form() bool                 { return false }
func (*witness) Open(*gatehouse.App) error  { return nil }
func (p *witness) StepsUp() bool            { return p.CanStepUp }
func (p *witness) ProvesBy(acr string) bool { return acr == "gold" }
func (p *witness) AnewBy(string) bool       { return true }

func (*witness) ServeLogin(w http.ResponseWriter, r *http.Request, l gatehouse.Login) (*gatehouse.Vouching, error) {
	q := r.URL.Query()
	if l.Sub == "" {
		w.Header().Set("Location", "https://idp.test/auth?"+neturl.Values{"state": {l.Flow.Token}, "step_up": {strconv.FormatBool(l.StepUp)}}.Encode())
		w.WriteHeader(http.StatusFound)
		return nil, nil
	}
	if l.Flow.Fresh {
		return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired, Err: errors.New("no flow")}
	}
	who := identity.Identity{
		Issuer: "https://idp.test", Subject: q.Get("who"), Roles: q["role"], AMR: q["amr"], ACR: q.Get("acr"), AuthTime: time.Now(),
	}
	if age := q.Get("age"); age != "" {
		ago, err := time.ParseDuration(age)
		if err != nil {
			return nil, err
		}
		who.AuthTime, who.Dated = time.Now().Add(-ago), true
	}
	return &gatehouse.Vouching{Identity: who}, nil
}

const siteWords = `
		allow authenticated
		public /open/*
		insecure_waf_off
		route /fresh/* {
			allow authenticated
			mfa 10m
		}
		route /old/* {
			allow authenticated
			mfa 1s
		}
		route /approve/* {
			allow authenticated
			mfa each
		}
		route /any/* {
			allow authenticated
			mfa each any_method
		}
		route /some/* {
			allow authenticated
			mfa
		}
`

const gateSite = `{
	{{house}}
	gatehouse {
		state_dir {{dir}}/state
		{{idp}}
		mfa {
			issuer_label "Test house"
			{{mfa}}
		}
	}
}
https://app.test:{{addr}} {
	{{tls}}
	gatehouse {
		{{site}}
	}
	reverse_proxy {{backend}}
}
`

// gate is a gateway in front of an application that remembers what it was sent.
type gate struct {
	*gatetest.Gateway
	t *testing.T

	mu   sync.Mutex
	sent []string // guarded by mu; user, method, address and body
}

func openGate(t *testing.T, change ...string) *gate {
	h := &gate{t: t}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Step-Up-Ticket") != "" || strings.Contains(r.Header.Get("Cookie"), "__Host-gatehouse") {
			t.Error("the application is told what is the gateway's")
		}
		h.mu.Lock()
		h.sent = append(h.sent, r.Header.Get("X-Gatehouse-User")+" "+r.Method+" "+r.RequestURI+" "+string(body))
		h.mu.Unlock()
		_, _ = io.WriteString(w, "the application")
	}))
	t.Cleanup(app.Close)
	set := []string{"{{idp}}", "witness", "{{mfa}}", "", "{{site}}", siteWords, "{{backend}}", strings.TrimPrefix(app.URL, "http://")}
	h.Gateway = gatetest.Start(t, strings.NewReplacer(append(change, set...)...).Replace(gateSite))
	return h
}

// took returns what the application was sent, and forgets it.
func (h *gate) took() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	sent := h.sent
	h.sent = nil
	return sent
}

func (h *gate) wantTook(want ...string) {
	h.t.Helper()
	if got := h.took(); !slices.Equal(got, want) {
		h.t.Errorf("the application was sent %q, want %q", got, want)
	}
}

// logged polls for a line that has all the words, since the log is written behind the request.
func (h *gate) logged(words ...string) {
	h.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(h.Log()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return
			}
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("the log has no line with %q", words)
		}
	}
}

// browser is a person's; it follows no redirect.
type browser struct {
	t     *testing.T
	http  *http.Client
	step  int64 // of the last code it used
	key   string
	codes []string
}

func (h *gate) browser() *browser {
	c := h.Client()
	c.Jar, _ = cookiejar.New(nil) // never fails
	return &browser{t: h.t, http: c}
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
	set := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-origin", "Accept", "text/html"}
	if method != http.MethodGet {
		set = append(set, "Content-Type", contentType, "Origin", "https://app.test", "Referer", "https://app.test/orders?page=7")
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

const formType = "application/x-www-form-urlencoded"

func (b *browser) post(path string, fields neturl.Values, header ...string) answer {
	b.t.Helper()
	return b.send("POST", path, formType, fields.Encode(), header...)
}

var script = []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", "application/json"}

// fetch is a script's request.
func (b *browser) fetch(method, path, body string, header ...string) answer {
	b.t.Helper()
	return b.send(method, path, "application/json", body, append(slices.Clone(script), header...)...)
}

// begin follows a login to the provider and returns the state that goes there, and whether a second factor is asked for.
func (b *browser) begin(login string) (state string, stepUp bool) {
	b.t.Helper()
	a := b.get(login)
	if a.StatusCode == http.StatusOK {
		to := regexp.MustCompile(`<a class="button[^"]*" href="([^"]*)"`).FindStringSubmatch(a.body)
		if to == nil {
			b.t.Fatalf("%s leads nowhere\n%s", login, a.body)
		}
		a = b.get(html.UnescapeString(to[1]))
	}
	away, err := a.Location()
	if err != nil || away.Host != "idp.test" {
		b.t.Fatalf("%s: status %d, leads to %v, %v\n%s", login, a.StatusCode, away, err, a.body)
	}
	return away.Query().Get("state"), away.Query().Get("step_up") == "true"
}

// login logs in at the witness, which says of the person what the query has, such as "who=ada&amr=pwd&role=staff".
func (b *browser) login(says string) *browser {
	b.t.Helper()
	state, _ := b.begin("/.gatehouse/login")
	if a := b.back(state, says); a.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("logging in: status %d\n%s", a.StatusCode, a.body)
	}
	return b
}

func (b *browser) back(state, says string) answer {
	b.t.Helper()
	return b.get("/.gatehouse/login/witness/callback?state=" + state + "&" + says)
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

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// fields returns what the hidden fields of a page would send.
func (a answer) fields() neturl.Values {
	v := neturl.Values{}
	for _, m := range hidden.FindAllStringSubmatch(a.body, -1) {
		v.Set(m[1], html.UnescapeString(m[2]))
	}
	return v
}

func (a answer) with(pairs ...string) neturl.Values {
	v := a.fields()
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func (a answer) leads() string { return a.Header.Get("Location") }

// says fails unless the page has the status and the words.
func (a answer) says(t *testing.T, what string, status int, words ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s: status %d, want %d (leads to %q)\n%s", what, a.StatusCode, status, a.leads(), a.body)
	}
	for _, w := range words {
		if !strings.Contains(a.body+a.leads(), w) {
			t.Fatalf("%s: does not say %q (leads to %q):\n%s", what, w, a.leads(), a.body)
		}
	}
	return a
}

// code returns the code of the next step that was not used: the first is of the step before, so that a test has three.
func (b *browser) code() string {
	b.t.Helper()
	now := time.Now().Unix() / 30
	b.step = max(b.step+1, now-1)
	if b.step > now+1 {
		b.t.Fatal("the test wants more codes than there are at a time")
	}
	code, err := totp.GenerateCode(b.key, time.Unix(b.step*30, 0))
	if err != nil {
		b.t.Fatal(err)
	}
	return code
}

// takeKey takes over the secret that the page shows.
func (b *browser) takeKey(a answer) {
	b.t.Helper()
	m := regexp.MustCompile(`<code class="secret">([A-Z2-7 ]+)</code>`).FindStringSubmatch(a.body)
	if m == nil {
		b.t.Fatalf("no secret on the page:\n%s", a.body)
	}
	b.key = strings.ReplaceAll(m[1], " ", "")
	if raw, err := base32.StdEncoding.DecodeString(b.key); err != nil || len(raw) != 20 {
		b.t.Fatalf("the secret is %q: %v", b.key, err)
	}
}

// enrol sets up an authenticator application, and takes the backup codes that come with it.
func (b *browser) enrol() *browser {
	b.t.Helper()
	a := b.get("/.gatehouse/mfa/app").says(b.t, "the form", 200, "Set up an authenticator app")
	b.takeKey(a)
	a = b.post("/.gatehouse/mfa/app", a.with("code", b.code())).says(b.t, "enrolling", 200, "Your backup codes")
	b.codes = nil
	for _, m := range regexp.MustCompile(`<code>([0-9a-z-]{14})</code>`).FindAllStringSubmatch(a.body, -1) {
		b.codes = append(b.codes, m[1])
	}
	if len(b.codes) != 10 {
		b.t.Fatalf("%d backup codes", len(b.codes))
	}
	return b
}

// spare returns a backup code that was not used.
func (b *browser) spare() string {
	b.t.Helper()
	code := b.codes[0]
	b.codes = b.codes[1:]
	return code
}
