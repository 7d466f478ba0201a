package authn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/form"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	keptBucket  store.Bucket = "kept"
	keptPurpose              = "authn.kept"
	keptFor                  = 15 * time.Minute
	keptPath                 = gatehouse.PortalPrefix + "kept"
)

// kept is a form whose session had expired when it was sent: stored sealed, for its owner alone, to be shown once.
type keptForm struct {
	Provider string       `json:"p"`
	Issuer   string       `json:"i"`
	Subject  string       `json:"s"`
	Host     string       `json:"h"`
	Action   string       `json:"a"`
	Enctype  string       `json:"e"`
	Fields   []form.Field `json:"f"`
}

func (k *keptForm) of(who identity.Identity) bool {
	return k.Provider == who.Provider && k.Issuer == who.Issuer && k.Subject == who.Subject
}

// keepPost keeps the form that an unauthenticated request sends, when its session has expired only just now, and returns
// the query that the login must get: "" when nothing is kept. The body is read only for who did have a session.
//
// It is no help to attackers: the form is shown to the same person only, who decides, and it is the person's browser that
// sends it, through every check that any request goes through. A session keeps eight forms at the most, so that a cookie
// that was good once cannot fill the store.
func (s *service) keepPost(r *http.Request, req *gatehouse.Request) (query string) {
	if r.Method != http.MethodPost || r.ContentLength > form.MaxBytes || !req.Navigation || !form.TopLevel(r) || !form.SameOrigin(r) ||
		strings.HasPrefix(req.Path.Folded+"/", gatehouse.PortalPrefix) {
		return ""
	}
	token, ok := cookie.Get(r.Header, sessionCookie)
	if !ok {
		return ""
	}
	sessions, err := s.sessions()
	if err != nil {
		return ""
	}
	who, ok := sessions.Expired(r.Context(), token, hostOf(r), s.limits)
	if !ok {
		return ""
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, form.MaxBytes+1))
	if err != nil {
		return ""
	}
	enctype, fields, err := form.Parse(r.Header.Get("Content-Type"), body)
	if err != nil {
		return ""
	}
	id, err := s.storeKept(r.Context(), token, keptForm{
		Provider: who.Provider, Issuer: who.Issuer, Subject: who.Subject, Host: hostOf(r),
		Action: r.URL.RequestURI(), Enctype: enctype, Fields: fields,
	})
	if err != nil {
		req.Note("form_not_kept", err.Error())
		return ""
	}
	req.Note("form_kept", strconv.Itoa(len(body)))
	return page.KeptParam + "=" + id + "&next=" + url.QueryEscape(returnPath(form.CameFrom(r)))
}

// storeKept returns the id under which the form is stored. It is as secret as the cookie that it is made of.
func (s *service) storeKept(ctx context.Context, token string, k keptForm) (id string, err error) {
	state, err := s.house.State()
	if err != nil {
		return "", err
	}
	slot := sha256.Sum256([]byte(k.Action))
	sum := sha256.Sum256([]byte("kept " + strconv.Itoa(int(slot[0]%8)) + " " + token))
	id = hex.EncodeToString(sum[:])
	value, err := json.Marshal(k)
	if err != nil {
		return "", err
	}
	box := state.Keys.Seal(keptPurpose, value, []byte(id))
	_, err = state.Store.Put(ctx, store.Key{Bucket: keptBucket, ID: id}, box, store.PutOptions{TTL: keptFor})
	return id, err
}

// keptID returns what could be the id of a kept form, or "".
func keptID(s string) string {
	if raw, err := hex.DecodeString(s); err != nil || len(raw) != sha256.Size {
		return ""
	}
	return strings.ToLower(s)
}

// takeKept returns the form and deletes it, whoever asks: only its owner on its host gets it.
func (s *service) takeKept(ctx context.Context, id, host string, who identity.Identity) (*keptForm, error) {
	state, err := s.house.State()
	if err != nil {
		return nil, err
	}
	item, err := state.Store.Take(ctx, store.Key{Bucket: keptBucket, ID: id})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	value, err := state.Keys.OpenStored(keptPurpose, item.Value, []byte(id))
	if err != nil {
		return nil, nil // sealed by another house
	}
	k := new(keptForm)
	if json.Unmarshal(value, k) != nil || k.Host != host || !k.of(who) {
		return nil, nil
	}
	return k, nil
}

// kept shows what the person had typed when their session expired, and has their browser send it if they want that.
func (p *Portal) kept(w http.ResponseWriter, r *http.Request, req *gatehouse.Request) error {
	if !onlyMethods(w, r, http.MethodGet) {
		return req.Deny(verdict.BadMethod, "")
	}
	next := returnPath(r.Form.Get("next"))
	if !req.Identity.Known() {
		return req.ChallengeLogin(r, "kept form")
	}
	id := keptID(r.Form.Get("id"))
	if id == "" || !req.Navigation || !form.TopLevel(r) { // a prefetch or a script must not use it up
		seeOther(w, next)
		return nil
	}
	k, err := p.takeKept(r.Context(), id, hostOf(r), req.Identity.Identity())
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if k == nil {
		seeOther(w, next)
		return nil
	}
	view := page.Kept{Site: req.Site.Name, RequestID: req.ID, Action: k.Action, Enctype: k.Enctype, CancelURL: next}
	for _, f := range k.Fields {
		view.Fields = append(view.Fields, page.Field(f))
	}
	page.Write(w, r, http.StatusOK, view)
	return nil
}
