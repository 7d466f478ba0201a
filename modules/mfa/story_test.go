package mfa_test

import (
	"net/http"
	neturl "net/url"
	"strings"
	"testing"
)

// TestAdministratorsNeedAFactor: whoever holds an administrative role reaches nothing but where a factor is set up (CER-05).
// Controls: CTB-01.
func TestAdministratorsNeedAFactor(t *testing.T) {
	h := openGate(t)
	root, staff := h.browser().login("who=root&role=admin&amr=pwd"), h.browser().login("who=bob&role=staff&amr=pwd")
	staff.get("/").says(t, "staff", 200, "the application")
	h.wantTook("bob GET / ")

	root.get("/files?x=1").says(t, "an administrator", 302, "/.gatehouse/mfa/verify?next=%2Ffiles%3Fx%3D1")
	a := root.get("/.gatehouse/mfa/verify?next=%2Ffiles%3Fx%3D1").says(t, "without a factor", 303, "/.gatehouse/mfa?next=")
	a = root.get(a.leads()).says(t, "the choice", 200, "Your account needs this", "/.gatehouse/mfa/app?next=", "/.gatehouse/mfa/passkey?next=")
	if strings.Contains(a.body, "/.gatehouse/account") {
		t.Error("the account is offered to whose login is not complete")
	}
	root.get("/.gatehouse/account").says(t, "the account", 302, "/.gatehouse/mfa/verify")
	root.fetch("GET", "/api", "").says(t, "a script", 401, `"reason":"mfa_required"`, `"step_up_url":"/.gatehouse/mfa/verify?window=1"`)
	root.get("/.gatehouse/logout").says(t, "the way out", 200, "Sign out?")
	// What is open to all stays so; the application is not told who it is.
	root.get("/open/x").says(t, "a public path", 200, "the application")
	h.wantTook(" GET /open/x ")

	before := root.cookie("__Host-gatehouse")
	root.enrol()
	if after := root.cookie("__Host-gatehouse"); after == before || after == "" {
		t.Error("the session's cookie is the same as before the factor")
	}
	root.get("/files?x=1").says(t, "with a factor", 200, "the application")
	h.wantTook("root GET /files?x=1 ")
	thief := h.browser()
	thief.get("/files", "Cookie", "__Host-gatehouse="+before).says(t, "the cookie from before", 302, "/.gatehouse/login")
	h.logged(`"factor.enrolled"`, `"user":"witness:root"`, `"factor":"totp"`)

	// The next login asks for it.
	again := h.browser().login("who=root&role=admin&amr=pwd")
	again.key, again.step, again.codes = root.key, root.step, root.codes
	again.get("/files").says(t, "logged in again", 302, "/.gatehouse/mfa/verify?next=%2Ffiles")
	again.get("/.gatehouse/mfa/app").says(t, "another app, without the first", 303, "/.gatehouse/mfa/verify")
	a = again.get("/.gatehouse/mfa/verify?next=%2Ffiles").says(t, "asked", 200, "Confirm that it is you", "or a backup code")
	again.post("/.gatehouse/mfa/verify", a.with("code", again.code())).says(t, "proven", 303, "/files")
	again.get("/files").says(t, "inside", 200, "the application")
	h.logged(`"factor.used"`, `"user":"witness:root"`, `"factor":"totp"`)
}

// TestWhatTheProviderProves: of an ID token counts what it proves, not what was asked for (CER-05, CER-08).
func TestWhatTheProviderProves(t *testing.T) {
	h := openGate(t, "{{mfa}}", "acr silver")
	for says, inside := range map[string]bool{
		"who=a&role=admin":                            false,
		"who=b&role=admin&amr=pwd":                    false,
		"who=c&role=admin&amr=pwd&amr=sms":            false,
		"who=d&role=admin&amr=pwd&amr=sms&amr=mfa":    false,
		"who=e&role=admin&amr=pwd&amr=otp":            true,
		"who=f&role=admin&amr=hwk":                    true,
		"who=g&role=admin&acr=silver":                 true,
		"who=h&role=admin&acr=gold":                   false, // it is not asked for second factors here
		"who=i&role=admin&amr=pwd&acr_values=silver":  false,
		"who=j&role=admin&amr=pwd&acr=bronze&tried=1": false,
		"who=k&role=admin&acr=silver&amr=pwd&amr=otp": true,
		"who=l&role=admin&acr=silver&amr=pwd&amr=sms": false,
	} {
		b := h.browser().login(says)
		if a := b.get("/"); (a.StatusCode == http.StatusOK) != inside {
			t.Errorf("%s: status %d", says, a.StatusCode)
		}
	}
	// How old it may be is judged by auth_time, and without it not at all.
	for says, inside := range map[string]bool{
		"who=m&amr=otp&age=1m": true, "who=n&amr=otp&age=11m": false, "who=o&amr=otp": false, "who=p&amr=pwd&age=1s": false,
		"who=q&amr=otp&age=-30s": true, "who=r&amr=otp&age=-5m": false,
	} {
		b := h.browser().login(says)
		if a := b.get("/fresh/x"); (a.StatusCode == http.StatusOK) != inside {
			t.Errorf("%s: status %d for what must be fresh", says, a.StatusCode)
		}
	}
	b := h.browser().login("who=s&amr=otp")
	b.get("/some/x").says(t, "of unknown age", 200, "the application")
}

// TestAFactorIsAskedForAtEveryLogin: whoever has set one up is not let in without (BRF-06).
func TestAFactorIsAskedForAtEveryLogin(t *testing.T) {
	h := openGate(t)
	ada := h.browser().login("who=ada&amr=pwd").enrol()
	phone := h.browser().login("who=ada&amr=pwd")
	phone.get("/").says(t, "another browser", 302, "/.gatehouse/mfa/verify")
	a := phone.get("/.gatehouse/mfa/verify?next=/").says(t, "asked", 200)
	page := func(a answer, code, what string, status int, words ...string) answer {
		t.Helper()
		return phone.post("/.gatehouse/mfa/verify", a.with("code", code)).says(t, what, status, words...)
	}
	a = page(a, "000000", "a wrong code", 422, "not right", `aria-invalid="true"`)
	a = page(a, "", "no code", 422, "not right")
	used := ada.spare()
	// The code that has enrolled is used up, by whichever session.
	ada.step--
	a = page(a, ada.code(), "the code that has enrolled", 422, "used before")
	page(a, used, "a backup code", 200, "Codes left: 9")
	phone.get("/").says(t, "inside", 200, "the application")
	h.logged(`"backup_code.used"`, `"left":"9"`)
	h.logged(`"factor.failed"`, `"outcome":"wrong"`)
	h.logged(`"factor.failed"`, `"outcome":"used_before"`)

	third := h.browser().login("who=ada&amr=pwd")
	a = third.get("/.gatehouse/mfa/verify?next=/")
	third.post("/.gatehouse/mfa/verify", a.with("code", used)).says(t, "the backup code once more", 422, "used before")
	// The provider's own second factor is as good.
	h.browser().login("who=ada&amr=pwd&amr=otp").get("/").says(t, "at the provider", 200, "the application")
}

// TestGuessing: after some attempts there is a pause, and attempts made at once count as many.
func TestGuessing(t *testing.T) {
	h := openGate(t)
	ada := h.browser().login("who=ada&amr=pwd").enrol()
	b := h.browser().login("who=ada&amr=pwd")
	a := b.get("/.gatehouse/mfa/verify?next=/")
	paused := false
	for range 8 {
		a = b.post("/.gatehouse/mfa/verify", a.with("code", "123123"))
		if a.StatusCode == http.StatusTooManyRequests && a.Header.Get("Retry-After") != "" && strings.Contains(a.body, "Please wait") {
			paused = true
			break
		}
		a.says(t, "a guess", 422)
	}
	if !paused {
		t.Error("guessing is never slowed down")
	}
	b.post("/.gatehouse/mfa/verify", a.with("code", ada.code())).says(t, "the right code in the pause", 429)
	h.logged(`"factor.failed"`, `"outcome":"paused"`)
	b.get("/").says(t, "after all that", 302, "/.gatehouse/mfa/verify")
}

// TestManaging: factors are changed only by who has proven one just now; removing one is at once.
func TestManaging(t *testing.T) {
	h := openGate(t)
	ada := h.browser().login("who=ada&amr=pwd").enrol()
	a := ada.get("/.gatehouse/mfa").says(t, "the list", 200, "Added", "10 of 10 are left", "Set up another app instead")
	csrf := a.fields().Get("csrf")
	do := func(b *browser, csrf, what string) answer {
		return b.post("/.gatehouse/mfa", neturl.Values{"csrf": {csrf}, "do": {what}})
	}
	do(ada, "", "remove-app").says(t, "without the form", 403)
	do(ada, csrf, "paint-it-black").says(t, "something else", 400)
	old := ada.codes
	a = do(ada, csrf, "codes").says(t, "new codes", 200, "Your backup codes")
	if strings.Contains(a.body, old[0]) {
		t.Error("the new codes are the old ones")
	}
	b := h.browser().login("who=ada&amr=pwd")
	a = b.get("/.gatehouse/mfa/verify?next=/")
	b.post("/.gatehouse/mfa/verify", a.with("code", old[0])).says(t, "an old code", 422, "not right")
	b.get("/.gatehouse/mfa").says(t, "the list, without the factor", 303, "/.gatehouse/mfa/verify")

	do(ada, csrf, "remove-app").says(t, "removing", 303, "done=removed")
	ada.get("/.gatehouse/mfa?done=removed").says(t, "the list", 200, "It can no longer be used", "Set up an authenticator app")
	h.logged(`"factor.removed"`, `"factor":"totp"`)
	h.browser().login("who=ada&amr=pwd").get("/").says(t, "without any", 200, "the application")
}

// TestEnrolmentForms: a form is its session's, for a while, and once.
func TestEnrolmentForms(t *testing.T) {
	h := openGate(t)
	ada, eve := h.browser().login("who=ada&amr=pwd"), h.browser().login("who=eve&amr=pwd")
	a := ada.get("/.gatehouse/mfa/app")
	ada.takeKey(a)
	wrong := ada.post("/.gatehouse/mfa/app", a.with("code", "000000")).says(t, "a wrong code", 422, "not right")
	if before := ada.key; true {
		if ada.takeKey(wrong); ada.key != before {
			t.Error("after a mistake there is another secret")
		}
	}
	theirs := eve.get("/.gatehouse/mfa/app").fields()
	eve.post("/.gatehouse/mfa/app", neturl.Values{"csrf": theirs["csrf"], "flow": {a.fields().Get("flow")}, "code": {ada.code()}}).says(t, "somebody else's form", 422, "took too long")
	ada.post("/.gatehouse/mfa/app", a.with("code", ada.code(), "next", "/files")).says(t, "its own", 200, "Your backup codes", `href="/files"`)
	ada.get("/.gatehouse/mfa/nonsense").says(t, "no page", 404)
	ada.send("PUT", "/.gatehouse/mfa", formType, "").says(t, "no method", 405)
	for _, next := range []string{"https://evil.test/", "//evil.test", "/.gatehouse/logout", "/\\evil"} {
		a := ada.get("/.gatehouse/mfa/verify?" + neturl.Values{"next": {next}}.Encode())
		if strings.Contains(a.body, "evil") || a.fields().Get("next") != "/" {
			t.Errorf("next %q leads to %q", next, a.fields().Get("next"))
		}
	}
	h.browser().get("/.gatehouse/mfa").says(t, "nobody", 302, "/.gatehouse/login")
}

// TestNudge: people without a factor are asked to set one up, as often as the house says, and may decline (CER-06).
func TestNudge(t *testing.T) {
	h := openGate(t, "{{mfa}}", "nudge 2")
	for i := range 4 {
		b := h.browser()
		state, _ := b.begin("/.gatehouse/login?next=%2Ffiles")
		a := b.back(state, "who=ada&amr=pwd")
		if i >= 2 {
			a.says(t, "asked often enough", 303, "/files")
			continue
		}
		a.says(t, "asked", 303, "/.gatehouse/mfa/nudge?next=%2Ffiles")
		a = b.get(a.leads()).says(t, "the question", 200, "Make your account safer", `href="/.gatehouse/mfa?next=%2Ffiles"`)
		b.get("/files").says(t, "not forced", 200, "the application")
		b.post("/.gatehouse/mfa", a.with("do", "later")).says(t, "not now", 303, "/files")
	}
	state, _ := h.browser().begin("/.gatehouse/login")
	_ = state
	b := h.browser()
	state, _ = b.begin("/.gatehouse/login?next=%2Ffiles")
	b.back(state, "who=bob&amr=pwd&amr=otp").says(t, "whose provider has one", 303, "/files")
}

// TestHalfLoginsPushNobodyOut: who knows the password and has not the second factor neither ends the person's sessions
// nor takes up their places; a login that is complete counts.
func TestHalfLoginsPushNobodyOut(t *testing.T) {
	for _, mode := range []string{"", " refuse"} {
		h := openGate(t, "{{site}}", siteWords+"\n\t\tsession {\n\t\t\tmax_sessions 1"+mode+"\n\t\t}\n")
		ada := h.browser().login("who=ada&amr=pwd").enrol()
		for range 3 {
			h.browser().login("who=ada&amr=pwd")
		}
		ada.get("/some/x").says(t, "ada"+mode, 200, "the application")
		if strings.Contains(h.Log(), "session.limit_exceeded") {
			t.Errorf("%q: half a login counts", mode)
		}
		second := h.browser().login("who=ada&amr=pwd")
		if mode == "" {
			second.confirm("/.gatehouse/mfa/verify?next=%2Fx", ada.spare()).says(t, "the second device", 200, "Codes left: 9")
			second.get("/some/x").says(t, "the second device", 200, "the application")
			ada.get("/some/x").says(t, "the first", 302, "/.gatehouse/login")
			continue
		}
		second.confirm("/.gatehouse/mfa/verify?next=%2Fx", ada.spare()).says(t, "the second device", 403, "too_many_sessions")
		ada.get("/some/x").says(t, "the first", 200, "the application")
	}
}
