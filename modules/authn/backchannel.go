package authn

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	backchannel                = "/backchannel-logout"
	noticeBucket  store.Bucket = "notice"
	noticeAtLeast              = time.Minute
	noticeAtMost               = 24 * time.Hour
)

// notified ends the sessions that an identity provider says it has ended (OpenID Connect Back-Channel Logout 2.5 to
// 2.8). The request comes from a server: it has no cookie and gets none.
func (p *Portal) notified(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, idp gatehouse.IdentityProvider) error {
	notifiee, ok := idp.(gatehouse.Notifiee)
	if !ok {
		return req.Deny(verdict.NotFound, "the provider tells of no logouts")
	}
	if !onlyMethods(w, r, http.MethodPost) {
		return req.Deny(verdict.BadMethod, "")
	}
	notice, err := notifiee.LogoutNotice(r)
	if err != nil {
		return req.Deny(verdict.BadRequest, "logout notice: "+err.Error())
	}
	lasts := time.Until(notice.Expires)
	if notice.ID == "" || notice.Subject == "" && notice.SID == "" || lasts > noticeAtMost {
		return req.Deny(verdict.BadRequest, "logout notice without an id or a subject, or of more than a day")
	}
	state, err := p.house.State()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	sum := sha256.Sum256([]byte(notice.ID))
	key := store.Key{Bucket: noticeBucket, ID: idp.Name() + ":" + hex.EncodeToString(sum[:])}
	_, err = state.Store.Put(r.Context(), key, nil, store.PutOptions{Match: store.Absent, TTL: max(lasts, noticeAtLeast)})
	switch {
	case errors.Is(err, store.ErrConflict):
		return req.Deny(verdict.BadRequest, "logout notice: used before")
	case err != nil:
		return req.Deny(verdict.Unavailable, err.Error())
	}
	gone, err := p.endNotified(r, idp.Name(), notice)
	if err != nil {
		_ = state.Store.Delete(r.Context(), key) // so that the provider may try again
		return req.Deny(verdict.Unavailable, err.Error())
	}
	for _, session := range gone {
		e := req.Event(event.SessionEnded)
		e.Session, e.Detail = session, "backchannel_logout"
		if notice.Subject != "" {
			e.User = idp.Name() + ":" + notice.Subject
		}
		state.Bus.Publish(e)
	}
	w.WriteHeader(http.StatusOK) // Cache-Control: no-store is there
	return nil
}

// endNotified ends the one session that is named, or all of the subject.
func (p *Portal) endNotified(r *http.Request, provider string, notice *gatehouse.LogoutNotice) ([]string, error) {
	sessions, err := p.sessions()
	if err != nil {
		return nil, err
	}
	if notice.SID != "" {
		return sessions.EndSID(r.Context(), provider, notice.SID)
	}
	return sessions.EndUser(r.Context(), provider, notice.Subject)
}
