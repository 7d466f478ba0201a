package ban

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
)

// Handler refuses banned clients, and counts what only the answer shows.
type Handler struct {
	door
	settings *Settings
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_ban", New: func() caddy.Module { return new(Handler) }}
}

// Provision has the desk go by the house's words from the start on.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	if h.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	if h.settings, err = settingsOf(h.house); err != nil {
		return err
	}
	h.house.ShutOut(shutOut)
	h.house.AtStart(func() {
		desk, err := h.open()
		if err == nil {
			err = use(h.house, desk)
		}
		if err != nil { // nobody is shut out, and the log says so
			ctx.Logger().Error("bans are not in force", zap.Error(err))
			return
		}
		if err := desk.Follow(h.settings.Blocklists, h.house.Dir()); err != nil {
			ctx.Logger().Error("the blocklists are those of the configuration before", zap.Error(err))
		}
		logger := h.house.AccessLog().Named("ban")
		desk.Export(h.settings.Nftables, func(err error) { logger.Error("the file for nftables is out of date", zap.Error(err)) })
	})
	if srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		srv.RegisterOnShutdown(h.letGo)
	}
	return gatehouse.RegisterMetrics(ctx, pronounced, cuts, dropped, held, logOffences, logSkipped, logReadable, listEntries, listUnread, listConfirmed)
}

// letGo releases who is kept waiting, so that a server that stops need not wait for them.
func (h *Handler) letGo() {
	if desk, err := h.open(); err == nil {
		desk.pit.release()
	}
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	desk, err := h.open()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	desk.present.enter(req.ClientIP, req.Run, atPortal(req))
	defer desk.present.leave(req.ClientIP, req.Run)
	if b, banned := desk.Banned(req.ClientIP); banned && b.Action.shuts() {
		if b.Action == Tarpit {
			desk.holdRequest(r, req)
		}
		return req.Refuse(b.verdict())
	}
	defer func() { desk.visitors.record(req.ClientIP, req.Identity, time.Now()) }()
	err = next.ServeHTTP(&writer{caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, req, desk}, r)
	// A page of another site can make anybody's browser ask.
	if h.baited(req) && r.Header.Get("Sec-Fetch-Site") != "cross-site" {
		desk.Offend(offenceOf(req, onHoneypot))
	}
	return err
}

// holdRequest keeps a request waiting that is refused already, so that it is not cut for what it waits for.
func (d *Desk) holdRequest(r *http.Request, req *gatehouse.Request) {
	d.present.leave(req.ClientIP, req.Run)
	d.pit.hold(r.Context(), req.ClientIP)
}

func offenceOf(req *gatehouse.Request, on string) Offence {
	return Offence{On: on, Client: req.ClientIP, Who: req.Identity, Path: req.Path, Request: req.ID, Detail: req.Path.Decoded}
}

func (h *Handler) baited(req *gatehouse.Request) bool {
	for _, p := range h.settings.Honeypot {
		if p.MatchFolded(req.Path) {
			return true
		}
	}
	return false
}

// NameHandler refuses who is banned by name, and asks for second factors. It stands after authenticate.
type NameHandler struct{ door }

// CaddyModule returns the Caddy module information.
func (*NameHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_ban_name", New: func() caddy.Module { return new(NameHandler) }}
}

// Provision finds the house.
func (h *NameHandler) Provision(ctx caddy.Context) (err error) {
	if h.house, err = gatehouse.House(ctx); err == nil {
		h.house.RefuseKeys(h.refusesKey)
	}
	return err
}

// refusesKey returns how a key in a form is refused. A ban that asks for a second factor refuses it, too: programs prove none.
func (h *NameHandler) refusesKey(key, owner, tenant string, client netip.Addr) verdict.Verdict {
	desk, err := h.open()
	if err != nil {
		return verdict.Verdict{Reason: verdict.Unavailable, Detail: err.Error()}
	}
	b, banned := desk.BannedKey(key, owner, tenant, client)
	if !banned {
		b, banned = desk.Banned(client) // one that shuts out was told before
	}
	if !banned {
		return verdict.Verdict{}
	}
	return b.verdict()
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *NameHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	desk, err := h.open()
	if err != nil {
		return req.Deny(verdict.Unavailable, err.Error())
	}
	if req.Identity.Known() {
		desk.present.know(req.ClientIP, req.Run, req.Identity)
	}
	if err := h.judge(desk, r, req); err != nil {
		return err
	}
	err = next.ServeHTTP(w, r)
	if v, refused := req.Verdict(); refused && req.Identity.Known() { // before the client has the answer
		desk.Offend(offenceOf(req, string(v.Reason)))
	}
	return err
}

// judge returns the refusal of who is banned by name, or of who has a second factor to prove, or nil.
func (h *NameHandler) judge(desk *Desk, r *http.Request, req *gatehouse.Request) error {
	b, banned := desk.BannedByName(req.Identity, req.ClientIP)
	if !banned || !b.Action.shuts() {
		if ofNet, is := desk.Banned(req.ClientIP); is && !ofNet.met(req.Identity) {
			b, banned = ofNet, true // one that shuts out was told before
		}
	}
	switch {
	case !banned || b.met(req.Identity):
		return nil
	case req.Path.Folded == logoutPath, b.Action == StepUp && atPortal(req): // where the way out is, and factors are proven
		return nil
	case b.Action == Tarpit:
		desk.holdRequest(r, req)
		return req.Refuse(b.verdict())
	case b.Action != StepUp || req.Identity.Known() && req.Identity.Method() != identity.BySession: // programs prove none
		return req.Refuse(b.verdict())
	case !req.Identity.Known():
		return req.ChallengeLogin(r, b.why())
	}
	need := gatehouse.FactorNeed{Required: true, Rule: b.why()}
	if !b.Since.IsZero() {
		need.MaxAge = max(time.Since(b.Since), time.Millisecond)
	}
	return h.house.Factors().Judge(r, req, need)
}

func atPortal(req *gatehouse.Request) bool {
	return strings.HasPrefix(req.Path.Folded, gatehouse.PortalPrefix)
}

const logoutPath = gatehouse.PortalPrefix + "logout"

// writer sees what the application answers.
type writer struct {
	caddyhttp.ResponseWriterWrapper
	req  *gatehouse.Request
	desk *Desk
}

// WriteHeader counts the answer before the client has it.
func (w *writer) WriteHeader(status int) {
	if on := answered(status); on != "" && w.req.Grant.Given() {
		if _, refused := w.req.Verdict(); !refused {
			w.desk.Offend(offenceOf(w.req, on))
		}
	}
	w.ResponseWriterWrapper.WriteHeader(status)
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddy.Provisioner           = (*NameHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*NameHandler)(nil)
)
