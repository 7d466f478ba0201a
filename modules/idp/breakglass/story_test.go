package breakglass_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
	_ "gatehouse.internal/modules/standard"
)

const site = `{
	{{house}}
	admin {{admin}}
	gatehouse {
		state_dir {{dir}}/state
		oidc https://127.0.0.1:1 client s3cret
		{{break_glass}}
	}
}
https://app.test:{{addr}} {
	{{tls}}
	gatehouse {
		allow role admin
		forward user roles {
			roles *
		}
		insecure_waf_off
		rate_limit 1000r/s /.gatehouse/*
	}
	reverse_proxy {{backend}}
}
`

type gate struct {
	*gatetest.Gateway
	t     *testing.T
	admin string
}

func open(t *testing.T, breakGlass string) *gate {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "the application, for %s with %s", r.Header.Get("X-Gatehouse-User"), r.Header.Get("X-Gatehouse-Roles"))
	}))
	t.Cleanup(app.Close)
	h := &gate{t: t, admin: gatetest.FreeAddr(t)}
	h.Gateway = gatetest.Start(t, site, "{{admin}}", h.admin, "{{backend}}", strings.TrimPrefix(app.URL, "http://"), "{{break_glass}}", breakGlass)
	return h
}

func (h *gate) run(input, says string, args ...string) string {
	h.t.Helper()
	out, err := gatetest.Run(h.t, input, append(append([]string{"break-glass"}, args...), "--address", h.admin, "--operator", "olga")...)
	if err != nil {
		out += err.Error()
	}
	if !strings.Contains(out, says) {
		h.t.Fatalf("break-glass %v said %q, want %q", args, out, says)
	}
	return out
}

var sealedCode = regexp.MustCompile(`seal (\w{4})    ((?:\w{5}-){4}\w{5})`)

// seal makes codes and returns name and code of each.
func (h *gate) seal(args ...string) (names, codes []string) {
	h.t.Helper()
	for _, m := range sealedCode.FindAllStringSubmatch(h.run("", "shown this once", append([]string{"seal"}, args...)...), -1) {
		names, codes = append(names, m[1]), append(codes, m[2])
	}
	return names, codes
}

const why = "the identity provider is down,\r\nMarta asked for it"

// TestBreakGlass tells what the codes are for: nobody can log in, and one code lets one person in, for a while, loudly
// (CAL-06).
func TestBreakGlass(t *testing.T) {
	h := open(t, "break_glass")
	h.WantEvent("break_glass.unsealed")
	h.run("", "no code left", "status")
	h.Browser().Get("/.gatehouse/login/break_glass").Want(t, 200, "There are no sealed codes")
	names, codes := h.seal("-n", "2")
	if len(codes) != 2 {
		t.Fatalf("%d codes", len(codes))
	}
	h.run("", "2 codes left", "status")

	b := h.Browser()
	if a := b.Get("/.gatehouse/login/oidc"); a.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("the provider answers: %d", a.StatusCode)
	}
	to := b.Get("/.gatehouse/break-glass")
	if to.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", to.StatusCode)
	}
	form := b.Get(to.Header.Get("Location")).Want(t, 200, "about 30 minutes")
	b.Submit(form, "code", codes[0], "purpose", "help").Want(t, 422, "Please write why it is needed")
	b.Submit(form, "code", "0000-0000-0000-0000-0000-0", "purpose", why).Want(t, 403, "not right, or was used")
	h.WantEvent("login.failed", `"provider":"break_glass"`)
	b.Submit(form, "code", codes[0], "purpose", why).Want(t, 429, "") // slowly, please
	gatetest.Eventually(t, "the pause is over", func() bool {
		return b.Submit(form, "code", " "+strings.ToLower(strings.ReplaceAll(codes[0], "-", " ")), "purpose", why).StatusCode == http.StatusSeeOther
	})
	b.Get("/admin/panel").Want(t, 200, "for "+names[0]+" with admin")
	b.Send(http.MethodPost, "/admin/restart", "now=1").Want(t, 200, "")

	h.WantEvent("break_glass.used", `"level":"error"`, `"seal":"`+names[0]+`"`, `"purpose":"the identity provider is down, Marta asked for it"`, `"left":"1"`, `"client_ip":"127.0.0.1"`)
	h.WantEvent("break_glass.request", `"path":"/admin/panel"`, `"method":"GET"`, `"status":200`, `"user":"break_glass:`+names[0]+`"`)
	h.WantEvent("break_glass.request", `"path":"/admin/restart"`, `"method":"POST"`)
	if !strings.Contains(h.Log(), `"break_glass":"`+names[0]+`"`) {
		t.Error("the access log does not say it")
	}
	var left struct{ Idle, Absolute int }
	if err := json.Unmarshal([]byte(b.Get("/.gatehouse/session").Body), &left); err != nil || left.Absolute > 30*60 || left.Absolute < 25*60 {
		t.Errorf("the session lasts %+v, %v", left, err)
	}

	// It was the only one of its kind.
	other := h.Browser()
	other.Submit(other.Get("/.gatehouse/login/break_glass"), "code", codes[0], "purpose", why).Want(t, 403, "was used before")
	said := h.run("", "1 codes left", "status")
	if !strings.Contains(said, `used: seal `+names[0]) || !strings.Contains(said, "Marta asked") || !strings.Contains(said, "seal new ones") {
		t.Errorf("status: %s", said)
	}
	// New codes void the one that is left, unless it is kept.
	_, more := h.seal("-n", "1", "--keep", "--roles", "admin,auditor")
	h.run("", "2 codes left", "status")
	fresh, _ := h.seal("-n", "3")
	if len(fresh) != 3 || !b.Alive() {
		t.Errorf("%d new codes; the session that is open lives: %v", len(fresh), b.Alive())
	}
	for _, worthless := range []string{codes[1], more[0]} {
		h.run(worthless+"\n", "wrong, or was used before", "use", "--purpose", why)
	}
	h.WantEvent("break_glass.sealed", `"number":"3"`, `"voided":"2"`, `"operator":"olga"`)
	for _, code := range append(codes, more...) {
		if strings.Contains(h.Log(), code) || strings.Contains(h.Log(), strings.ReplaceAll(code, "-", "")) {
			t.Error("a code is in the log")
		}
	}
}

// One code opens one session, however many send it at once.
func TestCodeOpensOnce(t *testing.T) {
	h := open(t, "break_glass {\n roles operator admin\n lasts 5m\n}")
	_, codes := h.seal("-n", "1")
	forms := make([]gatetest.Answer, 8)
	browsers := make([]*gatetest.Browser, 8)
	for i := range forms {
		browsers[i] = h.Browser()
		forms[i] = browsers[i].Get("/.gatehouse/login/break_glass").Want(t, 200, "about 5 minutes")
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	opened := 0
	for i := range forms {
		wg.Go(func() {
			if browsers[i].Submit(forms[i], "code", codes[0], "purpose", why).StatusCode == http.StatusSeeOther {
				mu.Lock()
				opened++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if opened != 1 {
		t.Errorf("%d sessions were opened", opened)
	}
	gatetest.Eventually(t, "the event", func() bool { return h.Events("break_glass.used") == 1 })
}

// TestUseFromTheCommandLine: a code that is typed on the machine makes a link, which opens the session once, by a button.
func TestUseFromTheCommandLine(t *testing.T) {
	h := open(t, "break_glass")
	_, codes := h.seal("-n", "1", "--roles", "admin,auditor")
	h.run(codes[0], "say what it is used for", "use")
	h.run(codes[0], "at least 10 characters", "use", "--purpose", "help")
	said := h.run(codes[0]+"\n", "is broken", "use", "--purpose", why)
	path := regexp.MustCompile(`https://[^/]+(/\S+)`).FindStringSubmatch(said)[1]
	h.WantEvent("break_glass.used", `"level":"error"`, "Marta asked")
	h.run("", "by olga", "status")
	b := h.Browser()
	b.Get(path) // a scanner looks
	form := b.Get(path).Want(t, 200, "is recorded")
	b.Submit(form).Want(t, 303, "")
	b.Get("/").Want(t, 200, "with admin,auditor")
	h.Browser().Get(path).Want(t, 400, "login_expired")
	again := h.Browser()
	again.Submit(gatetest.Answer{Response: form.Response, Body: form.Body}).Want(t, 400, "")
}

func TestNotConfigured(t *testing.T) {
	h := open(t, "")
	h.Browser().Get("/.gatehouse/break-glass").Want(t, 404, "")
	h.run("", "write `break_glass` into the global gatehouse option", "seal")
	res, err := http.Post("http://"+h.admin+"/gatehouse/break-glass/seal", "application/json", strings.NewReader(`{"numbers":1}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d: %s", res.StatusCode, text)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	for text, says := range map[string]string{
		"break_glass {\n lasts 13h\n}": "from 1m to 12h0m0s", "break_glass {\n lasts soon\n}": "not a duration",
		"break_glass {\n roles\n}": "wrong argument count", "break_glass {\n code 1\n}": "unknown break_glass option",
		"break_glass now": "wrong argument count", "break_glass\n\t\tbreak_glass": "two identity providers",
	} {
		g := gatetest.New(t)
		err := g.Load(site, "{{admin}}", "off", "{{backend}}", "127.0.0.1:1", "{{break_glass}}", text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
