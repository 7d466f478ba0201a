package mfa_test

import "testing"

// TestSuspectsStepUp: who has stepped into a jail whose action is step_up proves a second factor, after that and not before, and
// goes on.
func TestSuspectsStepUp(t *testing.T) {
	h := openGate(t, "{{idp}}", "witness\n ban {\n honeypot /trap\n jail honeypot 1 in 1m for 10m scope user action step_up\n }")
	b := h.browser().login("who=ada&amr=pwd").enrol()
	b.get("/some/x").says(t, "before", 200, "the application")
	b.get("/trap")
	b.get("/some/x").says(t, "a proof from before does not count", 302, "/.gatehouse/mfa/verify?next=%2Fsome%2Fx")
	b.fetch("GET", "/open/x", "").refused(t)
	h.browser().login("who=bob&amr=pwd").get("/open/x").says(t, "another person", 200, "the application")
	b.confirm("/.gatehouse/mfa/verify?next=%2Fsome%2Fx", b.code()).says(t, "proven", 303, "/some/x")
	b.get("/some/x").says(t, "after", 200, "the application")
	b.get("/open/x").says(t, "after", 200, "the application")
	h.logged("[honeypot] StepUp user:witness:ada")
	b.get("/trap")
	b.get("/some/x").says(t, "once more", 302, "/.gatehouse/mfa/verify")
	h.took()
}
