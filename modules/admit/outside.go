package admit

import (
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

// unknownHost answers requests for a host that no site has; Caddy alone would answer an empty 200.
func (o *outside) unknownHost(w http.ResponseWriter, r *http.Request) error {
	o.answer(w, r, verdict.Verdict{Reason: verdict.UnknownHost, Detail: "no site has this host"})
	return nil
}

// OutsideError answers what Caddy itself refuses before any site is reached, such as a Host other than the TLS server
// name. The house puts it before an operator's error routes, which see only errors of requests that were granted.
type OutsideError struct{ outside }

// CaddyModule returns the Caddy module information.
func (OutsideError) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_outside_error", New: func() caddy.Module { return new(OutsideError) }}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *OutsideError) ServeHTTP(rw http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if req := gatehouse.FromContext(r.Context()); req != nil && req.Grant.Given() {
		return next.ServeHTTP(newWriter(rw, r, req), r)
	}
	err, _ := r.Context().Value(caddyhttp.ErrorCtxKey).(error)
	if err == nil {
		err = errors.New("an error route was reached without an error")
	}
	h.answer(rw, r, explain(r, err))
	return nil
}

// outside answers requests that have no site.
type outside struct {
	house *gatehouse.App
	log   accessLog
}

// Provision finds the house.
func (o *outside) Provision(ctx caddy.Context) (err error) {
	house, err := gatehouse.House(ctx)
	if err != nil {
		return err
	}
	*o = newOutside(house)
	return nil
}

func newOutside(house *gatehouse.App) outside {
	return outside{house: house, log: newAccessLog(house, "none")}
}

func (o *outside) answer(rw http.ResponseWriter, r *http.Request, v verdict.Verdict) {
	gatehouse.Heard(r.Context())
	req := &gatehouse.Request{
		ID: newID(), Site: &gatehouse.Site{Name: "none", House: o.house}, Start: time.Now(), Navigation: page.Navigation(r),
	}
	address, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	req.ClientIP, _ = clientip.Parse(address)
	w := newWriter(rw, r, req)
	page.WriteRefusal(w, r, page.Refusal{Reason: v.Reason, RequestID: req.ID})
	o.log.write(w, r, req, v)
}

var (
	_ caddy.Provisioner           = (*OutsideError)(nil)
	_ caddyhttp.MiddlewareHandler = (*OutsideError)(nil)
)
