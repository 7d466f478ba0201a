package authn_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/standing"
)

// judge writes what an administrator decides about somebody of the provider vouch.
func (h *gate) judge(subject string, change func(*standing.Record)) {
	h.t.Helper()
	state, err := gatehouse.Running().State()
	if err != nil {
		h.t.Fatal(err)
	}
	_, err = state.Standing.Update(h.t.Context(), standing.Person{Provider: "vouch", Subject: subject}, func(r *standing.Record) error {
		change(r)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func as(s standing.State) func(*standing.Record) { return func(r *standing.Record) { r.State = s } }

// TestApproval tells the story of somebody whom the provider knows and the house does not (CER-10).
func TestApproval(t *testing.T) {
	h := openGate(t, "\t\tvouch\n", "\t\tvouch approve_new\n")
	b := h.browser()
	attempt := func(want int, says string) {
		t.Helper()
		a := b.get(callback(b.begin("/.gatehouse/login?next=/files"), "ada", "1"))
		if a.StatusCode != want || !strings.Contains(a.body, says) {
			t.Fatalf("status %d, want %d and %q:\n%s", a.StatusCode, want, says, a.body)
		}
		if strings.Contains(a.Header.Get("Set-Cookie"), "__Host-gatehouse=") != (want == http.StatusSeeOther) {
			t.Errorf("cookies %q", a.Header.Values("Set-Cookie"))
		}
	}
	attempt(http.StatusForbidden, "waiting for approval")
	attempt(http.StatusForbidden, "account_pending") // once more, which files nobody anew
	if a := b.get("/files"); a.StatusCode == http.StatusOK || len(h.sent) != 0 {
		t.Errorf("the application saw %q", h.sent)
	}
	eventually(t, "the event", func() bool { return strings.Count(h.Log(), `"user.pending"`) == 1 })
	state, _ := gatehouse.Running().State()
	waiting, err := state.Standing.List(t.Context(), "vouch", standing.Pending)
	if err != nil || len(waiting) != 1 || waiting[0].Name != "Dr. ada" {
		t.Fatalf("waiting: %+v, %v", waiting, err)
	}

	h.judge("ada", as(standing.Rejected))
	attempt(http.StatusForbidden, "account_disabled")
	h.judge("ada", as(standing.Approved))
	attempt(http.StatusSeeOther, "")
	if a := b.get("/files"); a.StatusCode != http.StatusOK || len(h.sent) != 1 {
		t.Errorf("approved: status %d, the application saw %q", a.StatusCode, h.sent)
	}
	if h.ended("revoked by an administrator") != 0 || strings.Count(h.Log(), `"login.failed"`) < 3 {
		t.Error("each refused login is an event of its own")
	}
}

// Whoever may not use the house any more is nobody with the next request, even in a session that nobody could end.
func TestDisabledIsNobody(t *testing.T) {
	h := openGate(t)
	ada, eve := h.browser().login("ada", "1"), h.browser().login("eve", "2")
	h.judge("ada", as(standing.Disabled))
	ada.wantAlive("ada", false)
	eve.wantAlive("eve", true)
	if a := ada.get("/"); a.StatusCode != http.StatusFound || len(h.sent) != 0 {
		t.Errorf("status %d, the application saw %q", a.StatusCode, h.sent)
	}
	h.judge("ada", as(standing.Approved))
	ada.wantAlive("ada, enabled again", true)
	h.judge("ada", func(r *standing.Record) { r.NotBefore = time.Now() })
	ada.wantAlive("ada, whose older sessions are void", false)
	ada.login("ada", "3").wantAlive("ada, logged in anew", true)
}

// The house ends sessions for whoever asks: all of a person's, or all but one.
func TestHouseEndsSessions(t *testing.T) {
	h := openGate(t)
	first, second, eve := h.browser().login("ada", "1"), h.browser().login("ada", "2"), h.browser().login("eve", "3")
	house, person := gatehouse.Running(), standing.Person{Provider: "vouch", Subject: "ada"}
	n, err := house.EndSessions(t.Context(), person, "no such name", "for a test")
	if n != 2 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	first.wantAlive("the first", false)
	second.wantAlive("the second", false)
	eve.wantAlive("somebody else", true)
	first.login("ada", "4")
	if n, err := house.EndSessions(t.Context(), person, "", "for a test"); n != 1 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	first.wantAlive("the first", false)
	eventually(t, "three events", func() bool { return h.ended("for a test") == 3 })
	if n, err := house.ResetFactors(t.Context(), person); n != 0 || err != nil {
		t.Errorf("%d factors of somebody who has none: %v", n, err)
	}
}

// What an administration endpoint asks is the house that runs, not one that failed to load.
func TestRunningHouse(t *testing.T) {
	h := openGate(t)
	house := gatehouse.Running()
	if err := h.Load("{\n{{house}}\ngatehouse {\nstate_dir {{dir}}/state\nsession {\nidle 1m\nadmin_idle 2m\n}\n}\n}\n"); err == nil {
		t.Fatal("a broken configuration was loaded")
	}
	if gatehouse.Running() != house {
		t.Error("a house that never ran is taken for the running one")
	}
	if state, err := gatehouse.Running().State(); err != nil || state == nil {
		t.Error(err)
	}
}
