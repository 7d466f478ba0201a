package mfa_test

import (
	"encoding/json"
	"net/http"
	neturl "net/url"
	"strings"
	"testing"
	"time"
)

type problem struct {
	Reason string `json:"reason"`
	URL    string `json:"step_up_url"`
	Ticket string `json:"step_up_ticket"`
	MaxAge *int64 `json:"max_age"`
}

// refused returns what a script is told whose request lacks a proof.
func (a answer) refused(t *testing.T) (p problem) {
	t.Helper()
	a.says(t, "refused", 401)
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Reason != "mfa_required" {
		t.Fatalf("%v: %s", err, a.body)
	}
	if h := a.Header.Get("Www-Authenticate"); !strings.Contains(h, `error="insufficient_user_authentication"`) {
		t.Errorf("WWW-Authenticate: %s", h)
	}
	return p
}

// confirm proves a factor on the page, and returns what it leads to.
func (b *browser) confirm(page, code string) answer {
	b.t.Helper()
	a := b.get(page).says(b.t, "the page that asks", 200, "Confirm that it is you")
	return b.post("/.gatehouse/mfa/verify", a.with("code", code))
}

// send does what the page's own form does.
func (b *browser) resend(a answer) answer {
	b.t.Helper()
	action := strings.SplitN(strings.SplitN(a.body, `action="`, 2)[1], `"`, 2)[0]
	return b.post(strings.ReplaceAll(action, "&amp;", "&"), a.fields())
}

// TestFreshness: a route that wants a young proof gets one, and lets pass for as long as it is young.
func TestFreshness(t *testing.T) {
	h := openGate(t)
	b := h.browser().login("who=ada&amr=pwd")
	b.get("/some/x").says(t, "without a factor", 302, "/.gatehouse/mfa/verify?next=%2Fsome%2Fx")
	b.get("/fresh/x").says(t, "without a factor", 302, "/.gatehouse/mfa/verify?next=%2Ffresh%2Fx")
	p := b.fetch("GET", "/fresh/x", "").refused(t)
	if p.MaxAge == nil || *p.MaxAge != 600 || p.Ticket != "" || p.URL != "/.gatehouse/mfa/verify?window=1" {
		t.Errorf("a script is told %+v", p)
	}
	if p := b.fetch("GET", "/some/x", "").refused(t); p.MaxAge != nil {
		t.Errorf("a script is told %+v", p)
	}
	b.enrol()
	b.get("/fresh/x").says(t, "fresh", 200, "the application")
	b.get("/some/x").says(t, "proven", 200, "the application")
	time.Sleep(1100 * time.Millisecond) // what is asked for is a second: the clock is the session's own
	b.get("/old/x").says(t, "too old", 302, "/.gatehouse/mfa/verify")
	before := b.cookie("__Host-gatehouse")
	b.confirm("/.gatehouse/mfa/verify?next=%2Fold%2Fx", b.code()).says(t, "confirmed", 303, "/old/x")
	b.get("/old/x").says(t, "young again", 200, "the application")
	if b.cookie("__Host-gatehouse") != before {
		t.Error("a second proof makes another session, and cuts what runs in this one")
	}
	// The window that a script opens is told to close.
	b.confirm("/.gatehouse/mfa/verify?window=1", b.spare()).says(t, "a window", 200, "You can close this window", "Codes left: 9")
	h.took()
}

// TestFormsWait: what a person has sent while the proof was too old is sent on after it, by them (CER-05).
func TestFormsWait(t *testing.T) {
	h := openGate(t)
	b := h.browser().login("who=ada&amr=pwd").enrol()
	time.Sleep(1100 * time.Millisecond)
	form := neturl.Values{"name": {"Zoë & <co>"}, "empty": {""}, "text": {"a\r\nb"}}
	a := b.post("/old/save?id=7", form).says(t, "a form", 303, "/.gatehouse/mfa/verify?challenge=")
	page := b.get(a.leads()).says(t, "asked", 200, "By this you confirm:", "POST /old/save", "text", "4 characters")
	if strings.Contains(page.body, "<co>") || strings.Contains(page.body, "Zoë") {
		t.Error("the page shows what was typed")
	}
	a = b.post("/.gatehouse/mfa/verify", page.with("code", b.code())).says(t, "confirmed", 200, `action="/old/save?id=7"`, "script-src"[:0])
	if !strings.Contains(a.Header.Get("Content-Security-Policy"), "script-src 'sha256-") {
		t.Error("the page does not send by itself")
	}
	b.resend(a).says(t, "sent on", 200, "the application")
	h.wantTook("ada POST /old/save?id=7 " + form.Encode())
}

// TestApprovalByForm tells BRF-07 with a form: each approval asks, what was typed is sent once, and only as it was.
func TestApprovalByForm(t *testing.T) {
	h := openGate(t)
	b := h.browser().login("who=ada&amr=pwd").enrol()
	b.get("/approve/7").says(t, "the form itself", 200, "the application")
	h.took()
	approve := neturl.Values{"order": {"7"}, "sum": {"1200.00"}}
	a := b.post("/approve/7", approve).says(t, "approving", 303, "/.gatehouse/mfa/verify?challenge=")
	h.wantTook()
	challenge := a.leads()
	a = b.confirm(challenge, b.code()).says(t, "confirmed", 200, `action="/approve/7"`, "POST /approve/7")

	// With another body, to another address, by another method: none of them passes, and the right one still does.
	altered := neturl.Values{"order": {"7"}, "sum": {"9999.00"}}
	b.post("/approve/7", altered).says(t, "another sum", 303, "/.gatehouse/mfa/verify")
	b.post("/approve/8", approve).says(t, "another order", 303, "/.gatehouse/mfa/verify")
	b.send("PUT", "/approve/7", formType, approve.Encode()).says(t, "another method", 401)
	h.wantTook()
	b.resend(a).says(t, "as it was", 200, "the application")
	h.wantTook("ada POST /approve/7 " + approve.Encode())
	h.logged(`"step_up.succeeded"`, `"factor":"totp"`, `"factor_at":`, `"body_sha256":`, `"path":"/approve/7"`, `"method":"POST"`)
	h.logged(`"step_up.redeemed"`, `"factor":"totp"`, `"body_sha256":`, `"user":"witness:ada"`)

	// Once more is another approval, a second later or in the same one.
	b.resend(a).says(t, "replayed", 303, "/.gatehouse/mfa/verify?challenge=")
	h.wantTook()
	b.get(challenge).says(t, "the old question", 200, "Confirm that it is you") // it may be asked again, and answered again
	again := b.post("/approve/7", approve).says(t, "the second approval", 303)
	b.confirm(again.leads(), b.code()).says(t, "a new code", 200)
	h.wantTook()

	// Somebody else has nothing of it, nor has the same person in another session.
	eve := h.browser().login("who=eve&amr=pwd").enrol()
	eve.get(challenge).says(t, "eve", 200)
	if body := eve.get(challenge).body; strings.Contains(body, "/approve/7") {
		t.Errorf("eve is shown what ada wants to send:\n%s", body)
	}
}

// TestApprovalByScript tells BRF-07 with fetch: a ticket, a window, and one try with the same body.
func TestApprovalByScript(t *testing.T) {
	h := openGate(t)
	b := h.browser().login("who=ada&amr=pwd").enrol()
	const order = `{"order":7,"sum":1200}`
	p := b.fetch("POST", "/approve/7", order).refused(t)
	if p.Ticket == "" || p.MaxAge == nil || *p.MaxAge != 0 || !strings.HasPrefix(p.URL, "/.gatehouse/mfa/verify?challenge=") {
		t.Fatalf("the script is told %+v", p)
	}
	if p := b.fetch("POST", "/approve/7", order, "Step-Up-Ticket", p.Ticket).refused(t); p.Ticket == "" {
		t.Error("a ticket that nobody has confirmed")
	}
	b.confirm(p.URL, b.code()).says(t, "confirmed", 200, "You can close this window")
	b.fetch("POST", "/approve/7", order, "Step-Up-Ticket", p.Ticket).says(t, "with its ticket", 200, "the application")
	h.wantTook("ada POST /approve/7 " + order)
	b.fetch("POST", "/approve/7", order, "Step-Up-Ticket", p.Ticket).refused(t)
	h.wantTook()

	// A page that uses it for something else has lost it.
	p = b.fetch("POST", "/approve/8", order).refused(t)
	b.confirm(p.URL, b.code()).says(t, "confirmed", 200)
	b.fetch("POST", "/approve/8", `{"order":8,"sum":9999}`, "Step-Up-Ticket", p.Ticket).refused(t)
	b.fetch("POST", "/approve/8", order, "Step-Up-Ticket", p.Ticket).refused(t)
	h.wantTook()
	h.logged(`"the ticket is for another request`)

	// Another session of the same person cannot use it, nor can another person.
	p = b.fetch("DELETE", "/approve/9", "").refused(t)
	b.confirm(p.URL, b.spare()).says(t, "confirmed", 200)
	other := h.browser().login("who=ada&amr=pwd&amr=otp")
	other.fetch("DELETE", "/approve/9", "", "Step-Up-Ticket", p.Ticket).refused(t)
	h.wantTook()

	for name, ticket := range map[string]string{"nonsense": "AAAA", "another's": "x", "huge": strings.Repeat("A", 8000)} {
		if a := b.fetch("POST", "/approve/7", order, "Step-Up-Ticket", ticket); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: status %d", name, a.StatusCode)
		}
	}
	if a := b.fetch("POST", "/approve/7", strings.Repeat("x", 1<<20+1)); a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is too large: status %d", a.StatusCode)
	}
	h.wantTook()
}

// TestApprovalByAnyMethod: where even looking is an act of its own.
func TestApprovalByAnyMethod(t *testing.T) {
	h := openGate(t)
	b := h.browser().login("who=ada&amr=pwd").enrol()
	a := b.get("/any/7?really=yes").says(t, "a link", 302, "/.gatehouse/mfa/verify?challenge=")
	b.confirm(a.leads(), b.code()).says(t, "confirmed", 303, "/any/7?really=yes")
	b.get("/any/7?really=yes").says(t, "once", 200, "the application")
	b.get("/any/7?really=yes").says(t, "twice", 302, "/.gatehouse/mfa/verify?challenge=")
	h.wantTook("ada GET /any/7?really=yes ")
}

// TestUploadsAreSentAgain: a form with a file is not kept, but the person's sending it again is what was confirmed.
func TestUploadsAreSentAgain(t *testing.T) {
	h := openGate(t)
	b := h.browser().login("who=ada&amr=pwd").enrol()
	upload := func(boundary, content string) answer {
		body := strings.ReplaceAll("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n"+content+"\r\n--B--\r\n", "B", boundary)
		return b.send("POST", "/approve/files", "multipart/form-data; boundary="+boundary, body)
	}
	a := upload("one", "contract").says(t, "a file", 401, "/.gatehouse/mfa/verify?challenge=", "Confirm")
	link := "/.gatehouse/mfa/verify?challenge=" + strings.SplitN(strings.SplitN(a.body, "/.gatehouse/mfa/verify?challenge=", 2)[1], `"`, 2)[0]
	b.confirm(link, b.code()).says(t, "confirmed", 200, "Send it once more", `href="/orders?page=7"`)
	upload("two", "another contract").says(t, "another file", 401)
	upload("three", "contract").says(t, "the file", 200, "the application")
	upload("four", "contract").says(t, "the file once more", 401)
	if n := len(h.took()); n != 1 {
		t.Errorf("the application was sent %d files", n)
	}
}

// TestStepUpAtTheProvider: a provider that can is asked first, anew, and believed as far as its token goes.
func TestStepUpAtTheProvider(t *testing.T) {
	h := openGate(t, "{{idp}}", "witness step_up")
	b := h.browser().login("who=ada&amr=pwd")
	a := b.get("/fresh/x").says(t, "without", 302, "/.gatehouse/mfa/verify?next=%2Ffresh%2Fx")
	a = b.get(a.leads()).says(t, "led on", 303, "/.gatehouse/login/witness?")
	state, stepUp := b.begin(a.leads())
	if !stepUp {
		t.Error("the provider is not asked for a second factor")
	}
	a = b.back(state, "who=ada&amr=pwd&amr=otp&age=1s").says(t, "proven there", 303, "/.gatehouse/mfa/verify?")
	b.get(a.leads()).says(t, "back", 303, "/fresh/x")
	b.get("/fresh/x").says(t, "inside", 200, "the application")
	h.took()

	// An approval, proven there for that approval.
	approve := neturl.Values{"order": {"7"}}
	a = b.post("/approve/7", approve).says(t, "approving", 303)
	a = b.get(a.leads()).says(t, "led on", 303, "/.gatehouse/login/witness?")
	state, _ = b.begin(a.leads())
	a = b.back(state, "who=ada&amr=pwd&amr=otp&age=0s")
	a = b.get(a.leads()).says(t, "back", 200, `action="/approve/7"`)
	b.resend(a).says(t, "sent on", 200, "the application")
	h.wantTook("ada POST /approve/7 order=7")
	h.logged(`"step_up.succeeded"`, `"factor":"provider"`)

	// What it proved before counts for no approval, nor does what it says without a time, or by SMS.
	for _, says := range []string{"who=ada&amr=otp&age=5m", "who=ada&amr=otp", "who=ada&amr=pwd&amr=sms&age=0s", "who=ada&amr=pwd&age=0s"} {
		a = b.post("/approve/7", approve).says(t, says, 303)
		a = b.get(a.leads()).says(t, says, 303)
		state, _ = b.begin(a.leads())
		a = b.back(state, says)
		a = b.get(a.leads()).says(t, says, 303, "/.gatehouse/mfa?next=") // nothing of its own is set up: it is offered
		h.wantTook()
	}
	// Somebody else who comes back is somebody else, and confirms nothing.
	a = b.post("/approve/7", approve).says(t, "approving", 303)
	a = b.get(a.leads())
	state, _ = b.begin(a.leads())
	a = b.back(state, "who=eve&amr=otp&age=0s").says(t, "eve comes back", 303)
	if a = b.get(a.leads()); strings.Contains(a.body, "/approve/7") {
		t.Errorf("eve is shown ada's form:\n%s", a.body)
	}
	h.wantTook()
	if a := b.get("/.gatehouse/login/witness?step=for+x&next=//evil.test"); strings.Contains(a.leads(), "evil") {
		t.Errorf("leads to %s", a.leads())
	}
}
