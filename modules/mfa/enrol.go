package mfa

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

// showApp shows a new secret, as a picture and as text. Nothing is kept of it until a code proves that it was taken over.
func (v *visit) showApp(say page.Message) error {
	a, err := v.account()
	if err != nil {
		return err
	}
	if !v.mayManage(a) {
		return nil
	}
	return v.writeApp(newSecret(), say)
}

func (v *visit) writeApp(secret []byte, say page.Message) error {
	sealed, err := sealFlow(v.state.Keys, flow{Kind: enrolApp, At: time.Now(), Secret: secret}, v.bound())
	if err != nil {
		return v.req.Deny(verdict.Internal, err.Error())
	}
	qr, err := picture(otpauth(v.issuer(), v.who.Subject, secret))
	if err != nil {
		return v.req.Deny(verdict.Internal, err.Error())
	}
	page.Write(v.w, v.r, statusOf(say), page.EnrolApp{
		Site: v.req.Site.Name, RequestID: v.req.ID, Action: appPath, CSRF: v.CSRF, Flow: sealed, Next: v.next(),
		Secret: base32Text.EncodeToString(secret), QR: qr, CancelURL: v.managed(""), Error: say,
	})
	return nil
}

func statusOf(say page.Message) int {
	switch say {
	case "":
		return http.StatusOK
	case page.Paused:
		return http.StatusTooManyRequests
	}
	return http.StatusUnprocessableEntity
}

// enrolApp takes over an application that has shown a right code.
func (v *visit) enrolApp() (*gatehouse.FactorProven, error) {
	a, err := v.account()
	if err != nil {
		return nil, err
	}
	if !v.mayManage(a) {
		return nil, nil
	}
	now := time.Now()
	f, err := openFlow(v.state.Keys, v.r.PostForm.Get("flow"), enrolApp, v.bound(), now)
	if err != nil {
		return nil, v.showApp(page.FactorStale)
	}
	code, _ := typed(v.r.PostForm.Get("code"))
	step, ok := match(f.Secret, code, now)
	if !ok {
		return nil, v.writeApp(f.Secret, page.CodeWrong)
	}
	if err := claim(v.r.Context(), v.state.Store, v.r.PostForm.Get("flow")); errors.Is(err, errStale) {
		return nil, v.showApp(page.FactorStale)
	} else if err != nil {
		return nil, v.req.Deny(verdict.Unavailable, err.Error())
	}
	var codes []string
	err = v.accounts.update(v.r.Context(), v.who, func(a *account) error {
		if a.enrolled() && !v.req.Identity.Factor().Within(manageAge) {
			return errStale // another tab was faster
		}
		a.TOTP = &totp{Secret: f.Secret, Step: step, Added: now.UTC(), Used: now.UTC()}
		codes = a.complete()
		return nil
	})
	return v.enrolled(identity.TOTP, codes, err)
}

// enrolled goes on from a new factor: to the backup codes, when it is the first.
func (v *visit) enrolled(method string, codes []string, err error) (*gatehouse.FactorProven, error) {
	switch {
	case errors.Is(err, errStale):
		v.seeOther(v.managed(""))
		return nil, nil
	case err != nil:
		return nil, v.req.Deny(verdict.Unavailable, err.Error())
	}
	if err := v.record(event.FactorEnrolled, "", event.Attr{Key: "factor", Value: method}); err != nil {
		return nil, err
	}
	proofs.WithLabelValues(method, "proven").Inc()
	then := func(w http.ResponseWriter, r *http.Request, fv gatehouse.FactorVisit) error {
		to := v.beyond(v.next())
		if to == "/" && len(codes) == 0 {
			to = gatehouse.FactorPath + "?done=added"
		}
		if len(codes) == 0 {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusSeeOther)
			return nil
		}
		page.Write(w, r, http.StatusOK, page.BackupCodes{
			Site: fv.Request.Site.Name, RequestID: fv.Request.ID, Codes: codes, ContinueURL: to,
		})
		return nil
	}
	return &gatehouse.FactorProven{Method: method, Then: then}, nil
}

// beyond is where the page that asks for a factor would lead on to: whoever has just added one has proven it. What waits there
// for a proof of its own still asks.
func (v *visit) beyond(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Path != verifyPath {
		return to
	}
	q := u.Query()
	if q.Get("challenge") != "" || q.Get("window") != "" {
		return to
	}
	return v.Next(q.Get("next"))
}

// showPasskey shows the form from which a script has the browser make a passkey.
func (v *visit) showPasskey(say page.Message) error {
	a, err := v.account()
	if err != nil {
		return err
	}
	if !v.mayManage(a) {
		return nil
	}
	handle := a.Handle
	if handle == nil {
		handle = newHandle()
	}
	options, secret, err := v.site().beginCreate(&a, handle)
	if err != nil {
		return v.req.Deny(verdict.Internal, err.Error())
	}
	sealed, err := sealFlow(v.state.Keys, flow{Kind: enrolPasskey, At: time.Now(), Secret: secret, Handle: handle}, v.bound())
	if err != nil {
		return v.req.Deny(verdict.Internal, err.Error())
	}
	page.Write(v.w, v.r, statusOf(say), page.EnrolPasskey{
		Site: v.req.Site.Name, RequestID: v.req.ID, Action: passkeyPath, CSRF: v.CSRF, Flow: sealed, Next: v.next(),
		Options: options, Name: passkeyName(v.r.PostForm.Get("name"), ""), CancelURL: v.managed(""), Error: say,
	})
	return nil
}

// enrolPasskey takes over the passkey that the browser has made.
func (v *visit) enrolPasskey() (*gatehouse.FactorProven, error) {
	a, err := v.account()
	if err != nil {
		return nil, err
	}
	if !v.mayManage(a) {
		return nil, nil
	}
	now, text := time.Now(), v.r.PostForm.Get("flow")
	f, err := openFlow(v.state.Keys, text, enrolPasskey, v.bound(), now)
	if err != nil {
		return nil, v.showPasskey(page.FactorStale)
	}
	p, err := v.site().finishCreate(&a, f.Handle, f.Secret, v.r.PostForm.Get("credential"), now.UTC())
	if err == nil {
		err = claim(v.r.Context(), v.state.Store, text)
	}
	p.Name = passkeyName(v.r.PostForm.Get("name"), v.site().host)
	var codes []string
	if err == nil {
		err = v.accounts.update(v.r.Context(), v.who, func(a *account) error {
			switch {
			case a.enrolled() && !v.req.Identity.Factor().Within(manageAge), a.Handle != nil && !bytes.Equal(a.Handle, f.Handle):
				return errStale
			case len(a.Passkeys) >= maxPasskeys:
				return errMany
			case slices.ContainsFunc(a.Passkeys, func(q passkey) bool { return bytes.Equal(q.ID, p.ID) }):
				return errStale
			}
			a.Handle = f.Handle
			a.Passkeys = append(a.Passkeys, p)
			codes = a.complete()
			return nil
		})
	}
	for _, say := range []struct {
		err error
		msg page.Message
	}{{errPasskey, page.PasskeyWrong}, {errKind, page.PasskeyUnknown}, {errMany, page.PasskeyMany}, {errStale, page.FactorStale}} {
		if errors.Is(err, say.err) {
			v.publish(event.FactorFailed, err.Error(), event.Attr{Key: "factor", Value: identity.Passkey})
			return nil, v.showPasskey(say.msg)
		}
	}
	return v.enrolled(identity.Passkey, codes, err)
}
