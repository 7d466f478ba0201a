package authn

import (
	"encoding/json"
	"net/http"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/form"
	"gatehouse.internal/modules/internal/verdict"
)

// sessionPath is where pages ask how long their session lasts.
const sessionPath = gatehouse.PortalPrefix + "session"

// remaining is what pages are told, in whole seconds: until the session ends if nobody uses it, and until it ends in
// any case. Field names are part of the gateway's contract with programs.
type remaining struct {
	Idle     int64 `json:"idle"`
	Absolute int64 `json:"absolute"`
}

// remains answers what is left of the session, for pages that warn before it ends: GET counts as no use, POST as one (see
// Handler.use).
func (p *Portal) remains(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return req.Deny(verdict.BadMethod, "")
	}
	if !req.Identity.Known() {
		return req.ChallengeLogin(r, "remaining time")
	}
	if r.Method == http.MethodPost && !form.SameOrigin(r) { // another site's page is nobody at the keyboard
		return req.Deny(verdict.CrossOrigin, "a session is extended by its own site's pages only")
	}
	sessions, err := p.sessions()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	token, _ := cookie.Get(r.Header, sessionCookie)
	idle, absolute, ok := sessions.Remaining(r.Context(), token, hostOf(r), p.limits)
	if !ok { // it has ended since it was looked up
		return req.ChallengeLogin(r, "remaining time")
	}
	body, err := json.Marshal(remaining{Idle: int64(idle / time.Second), Absolute: int64(absolute / time.Second)})
	if err != nil {
		return req.Deny(verdict.Internal, err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // fails only when the client has gone
	}
	return nil
}
