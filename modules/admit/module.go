package admit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/running"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(Handler{})
	caddy.RegisterModule(OutsideError{})
}

// Handler opens and closes every request of a site. It must be the first of the row.
type Handler struct {
	// What logs, metrics and pages call the site. Default: its first host name.
	Name string `json:"name,omitempty"`
	// Whose site it is, where the house serves several customers.
	Tenant string `json:"tenant,omitempty"`
	// Accept %2F in paths, for applications that put whole names into a segment. Routes then judge it as a slash.
	EncodedSlashes bool `json:"encoded_slashes,omitempty"`
	// Accept // inside paths.
	EmptySegments bool `json:"empty_segments,omitempty"`
	// Further methods to accept, such as WebDAV's.
	Methods []string `json:"methods,omitempty"`
	// How many header fields a request may have. Default: 128. How long they may be together is Caddy's max_header_size.
	MaxHeaders int `json:"max_headers,omitempty"`
	// Request headers that would be dropped because some backends take them for identity or routing, but that this
	// site's application uses for something else.
	KeepHeaders []string `json:"keep_headers,omitempty"`
	// Other origins whose scripts may use the site.
	CORS []Sharing `json:"cors,omitempty"`
	// The application answers preflights itself: they reach it without an identity, wherever they ask for. Otherwise
	// the gateway answers them.
	CORSBackend bool `json:"cors_backend,omitempty"`
	// Paths that pages of other sites may send forms to: payment callbacks, SAML consumers.
	CrossSite []reqpath.Pattern `json:"cross_site,omitempty"`
	// Whom to tell of vulnerabilities, at /.well-known/security.txt. Default: the application answers there.
	SecurityTxt *SecurityTxt `json:"security_txt,omitempty"`
	// Where the site's directive stands, for error messages: file:line.
	Source string `json:"source,omitempty"`
	// Version of the site's configuration, for the record: the Caddyfile's directive fills it in.
	Version string `json:"version,omitempty"`

	site   *gatehouse.Site
	logger *zap.Logger
	paths  reqpath.Options
	keep   map[string]bool
	named  origins
	allow  string
	log    accessLog

	contact []byte      // security.txt; nil: it is the application's
	expiry  *time.Timer // tells before contact expires; nil: there is none
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_admit", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the house and has it harden the server that the site is part of.
func (h *Handler) Provision(ctx caddy.Context) error {
	where := h.Source
	if where != "" {
		where += ": "
	}
	for _, m := range h.Methods {
		if slices.Contains(neverAccepted, strings.ToUpper(m)) || m != strings.ToUpper(m) || m == "" {
			return gatehouse.Refused(fmt.Errorf("%smethods: %q cannot be accepted; name methods in capitals, and never CONNECT or TRACE", where, m))
		}
	}
	if h.MaxHeaders < 0 {
		return gatehouse.Refused(fmt.Errorf("%smax_headers: want a positive number", where))
	}
	h.keep = make(map[string]bool, len(h.KeepHeaders))
	for _, name := range h.KeepHeaders {
		if !keepable(name) {
			return gatehouse.Refused(fmt.Errorf("%skeep_header: %q is the gateway's own header; it cannot come from a client", where, name))
		}
		h.keep[http.CanonicalHeaderKey(name)] = true
	}
	var err error
	if h.named, err = share(h.CORS); err != nil {
		return gatehouse.Refused(fmt.Errorf("%s%w", where, err))
	}
	if h.CORSBackend && slices.ContainsFunc(h.CORS, Sharing.answers) {
		return gatehouse.Refused(fmt.Errorf("%scors: methods, headers and max_age answer preflights, which `cors backend` leaves to the application: take out one or the other", where))
	}
	house, err := gatehouse.House(ctx)
	if err != nil {
		return err
	}
	strangers := newOutside(house)
	hosts, err := house.Harden(ctx, outsideErrorJSON, caddyhttp.HandlerFunc(strangers.unknownHost))
	if err != nil {
		return gatehouse.Refused(fmt.Errorf("%s%w", where, err))
	}
	if err := gatehouse.RegisterMetrics(ctx, requests, seconds); err != nil {
		return err
	}
	name := h.Name
	if name == "" && len(hosts) > 0 {
		name = hosts[0]
	}
	if !house.KnowsTenant(h.Tenant) {
		return gatehouse.Refused(fmt.Errorf("%stenant %q: put `tenant %s` into the gatehouse global option too; names are 1 to 63 of a-z, 0-9 and -", where, h.Tenant, h.Tenant))
	}
	h.site = &gatehouse.Site{Name: cmp.Or(name, "default"), Hosts: hosts, Tenant: h.Tenant, House: house, Version: h.Version, Source: h.Source}
	house.Enter(h.site)
	h.logger = ctx.Logger()
	h.paths = reqpath.Options{AllowEncodedSlash: h.EncodedSlashes, AllowEmptySegments: h.EmptySegments}
	h.allow = strings.Join(append(slices.Clone(methods), h.Methods...), ", ")
	h.log = newAccessLog(house, h.site.Name)
	return h.openSecurityTxt(house, where)
}

// Gates implements [gatehouse.Gate].
func (*Handler) Gates() {}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if gatehouse.FromContext(r.Context()) != nil {
		return caddyhttp.Error(http.StatusInternalServerError, errors.New("the gate stands twice in this site"))
	}
	req, r, w := h.open(rw, r)
	defer req.Run.Leave()
	err := h.run(w, r, req, next)
	cut, wasCut := noteCut(req)
	var v verdict.Verdict
	switch {
	case err == nil:
	case wasCut: // whatever error came of it; an answer that had begun is cut below
		_ = req.Refuse(cut.Verdict())
		if v, _ = req.Verdict(); v.Reason == verdict.ClientClosed { // as a room saw it that read from what was cut
			v = cut.Verdict()
		}
	case errors.As(err, &v): // a room decided; the first verdict is the one that counts
		v, _ = req.Verdict()
		if v.Reason == verdict.LoginRequired && h.crossSite(r, req) { // see shield.go
			v = verdict.Verdict{Reason: verdict.CrossOrigin, Detail: "sent by a page of another site, without a session; " + v.Detail}
		}
	default:
		v = explain(r, err)
		if operatorAnswers(r) && req.Grant.Given() {
			h.finish(w, r, req, v)
			return err
		}
	}
	if v.Given() && w.status == 0 {
		// Before the answer: whoever acts on the event has done so when the client can send the next request.
		h.log.publish(event.RequestRefused, req, r, v, answers(r, req, v))
		w.told = true
		h.refuse(w, r, req, v)
	}
	h.finish(w, r, req, v)
	if v.Given() && w.status < 400 && w.status != 0 && !leadsAway(v) {
		panic(http.ErrAbortHandler) // the answer had begun: cut it, so that it cannot look complete
	}
	return nil
}

// noteCut returns why the request was cut while it ran, if it was, and has its log line say so.
func noteCut(req *gatehouse.Request) (running.Cut, bool) {
	cut, ok := req.Run.WasCut()
	if ok {
		req.Note(cut.Note, cut.Why)
	}
	return cut, ok
}

// open makes the request's Request and puts it where the rooms find it.
func (h *Handler) open(rw http.ResponseWriter, r *http.Request) (*gatehouse.Request, *http.Request, *writer) {
	gatehouse.Heard(r.Context())
	served := r
	run := running.New(r.Context(), func() { gatehouse.Sever(rw, served) })
	r = r.WithContext(run)
	req := &gatehouse.Request{ID: newID(), Run: run, Site: h.site, Start: time.Now(), Navigation: page.Navigation(r) && !guessed(r.Header)}
	gatehouse.Attach(r, req)
	if r.URL.RawQuery != "" && strings.HasPrefix(r.URL.Path, gatehouse.PortalPrefix) {
		// Queries of the portal's pages hold what lets people in. Ours leaves them out; Caddy's own access log would not.
		caddyhttp.SetVar(r.Context(), caddyhttp.LogSkipVar, true)
	}
	w := newWriter(rw, r, req)
	w.by = h.named.of(r.Header)
	if !h.CORSBackend { // it knows best
		w.named = h.named
	}
	w.stamp() // whatever answers after an error finds the headers there
	return req, r, w
}

// run judges the request's shape and lets the rooms have it; a panic in any of them is an internal error (I6).
func (h *Handler) run(w *writer, r *http.Request, req *gatehouse.Request, next caddyhttp.Handler) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if p == http.ErrAbortHandler {
			h.finish(w, r, req, brokenOff(r, req))
			panic(p)
		}
		h.logger.Error("a room panicked", zap.Any("panic", p), zap.String("request_id", req.ID), zap.Stack("stack"))
		err = verdict.Verdict{Reason: verdict.Internal, Detail: "panic"}
		if _, given := req.Verdict(); !given {
			err = req.Deny(verdict.Internal, "panic")
		}
	}()
	if err := h.admit(r, req); err != nil {
		return err
	}
	if gatehouse.IsPreflight(r) && !h.CORSBackend {
		return h.preflight(w, r, req)
	}
	if h.contact != nil && req.Path.Decoded == securityPath {
		return h.showSecurityTxt(w, r, req)
	}
	return next.ServeHTTP(w, r)
}

// admit settles what the request is, or refuses it.
func (h *Handler) admit(r *http.Request, req *gatehouse.Request) error {
	address, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	client, err := clientip.Parse(address)
	if err != nil {
		return req.Deny(verdict.ClientUnknown, "no client address: "+err.Error())
	}
	req.ClientIP = client
	if r.TLS == nil {
		h.site.House.CredentialLeaked(r) // whatever session it named was read by whoever listened
		return req.Deny(verdict.PlainHTTP, "not TLS")
	}
	if !r.TLS.HandshakeComplete {
		return req.Deny(verdict.TooEarly, "0-RTT data")
	}
	if n := fields(r.Header); n > cmp.Or(h.MaxHeaders, maxHeaders) {
		return req.Deny(verdict.HeadersTooLarge, fmt.Sprintf("%d header fields", n))
	}
	if !acceptsMethod(r.Method, h.Methods) {
		return req.Deny(verdict.BadMethod, "")
	}
	path, err := reqpath.FromRequest(r, h.paths)
	if err != nil {
		return req.Deny(verdict.BadPath, err.Error())
	}
	req.Path = path
	path.Apply(r)
	if r.ProtoMajor == 3 && r.ContentLength < 0 && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		// HTTP/3 says only at the stream's end that there was no body. A GET's has no meaning (RFC 9110 9.3.1), so that
		// it is not waited for and never passed on, and the WAF can judge the whole request at once.
		r.ContentLength, r.Body = 0, http.NoBody
	}
	websocket, refused := checkUpgrade(r, h.named)
	if refused.Given() {
		return req.Refuse(refused)
	}
	if ambient(r) && h.crossSite(r, req) {
		return req.Deny(verdict.CrossOrigin, "sent by a page of another origin, with the person's session")
	}
	if gatehouse.IsPreflight(r) {
		if r.ContentLength > 0 || len(r.TransferEncoding) > 0 {
			return req.Deny(verdict.BadRequest, "a preflight has no body")
		}
		onlyTheQuestion(r)
	}
	req.Connection = r.Header["Connection"]
	cleanHead(r, websocket, h.keep)
	r.Header["X-Request-Id"] = []string{req.ID}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		// The proxy in front may have passed on what the client wrote further left; only the judged address goes on.
		r.Header["X-Forwarded-For"] = []string{client.String()}
	}
	return nil
}

// maxHeaders is several times what browsers and proxies send. Each field costs every room that looks at headers.
const maxHeaders = 128

// fields counts header fields: one name may come many times.
func fields(h http.Header) (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}

// crossSite reports whether a page of another origin wants to change something that it may not.
func (h *Handler) crossSite(r *http.Request, req *gatehouse.Request) bool {
	if !changes(r.Method) || req.Path.Decoded == "" { // without a path it was refused before
		return false
	}
	named := h.named
	if ours(req) {
		if strings.HasPrefix(req.Path.Decoded, gatehouse.PortalPrefix+"login/") {
			return false // identity providers lead browsers back there; what they bring is sealed to the browser that began
		}
		named = nil // other origins are shown to the application, not to the person's account
	}
	return foreign(r, named) && !slices.ContainsFunc(h.CrossSite, func(p reqpath.Pattern) bool { return p.MatchAll(req.Path) })
}

// ours reports whether some server could take the path for one of the portal's.
func ours(req *gatehouse.Request) bool {
	return strings.HasPrefix(req.Path.Folded+"/", gatehouse.PortalPrefix)
}

// onlyTheQuestion takes off a preflight what no browser sends with one: it passes on to the application, if at all,
// without anybody having been asked who it is from.
func onlyTheQuestion(r *http.Request) {
	for _, name := range []string{"Cookie", "Authorization", "Content-Type"} {
		delete(r.Header, name)
	}
	r.ContentLength, r.Body = 0, http.NoBody // of HTTP/2 and 3 the length may be unknown
}

// preflight answers for the application, which has never heard of other origins and needs no identity to be asked.
func (h *Handler) preflight(w *writer, r *http.Request, req *gatehouse.Request) error {
	if w.by == nil || ours(req) {
		return req.Deny(verdict.CrossOrigin, "preflight from an origin that the site's cors does not name")
	}
	w.Header()["Vary"] = askedWith
	w.by.preflight(w.Header())
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// answers is the status that tells the client of the verdict.
func answers(r *http.Request, req *gatehouse.Request, v verdict.Verdict) int {
	if leadsAway(v) && v.Location != "" && req.Navigation {
		if status := redirect(r.Method, v); status != 0 {
			return status
		}
	}
	return v.Reason.Status()
}

// refuse renders the verdict. A person's page load that a login would help goes there; everything else gets the
// reason, as a page or a problem document.
func (h *Handler) refuse(w *writer, r *http.Request, req *gatehouse.Request, v verdict.Verdict) {
	if v.Reason == verdict.BadMethod {
		w.Header().Set("Allow", h.allow)
	}
	if h.named != nil {
		varyOnOrigin(w.Header())
		if w.by != nil { // or the page's script would see a network error, and could tell nobody to log in
			w.by.expose(w.Header())
		}
	}
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// net/http would read the body to its end before it lets the answer go, for a client that may never send it.
		w.Header()["Connection"] = []string{"close"}
	}
	if status := answers(r, req, v); status == http.StatusFound || status == http.StatusSeeOther {
		w.Header().Set("Location", v.Location)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		return
	}
	page.WriteRefusal(w, r, page.Refusal{
		Reason: v.Reason, RequestID: req.ID, Site: h.site.Name, LoginURL: v.Location, RetryAfter: v.RetryAfter, Apart: v.Apart, StepUp: v.StepUp,
	})
}

// leadsAway reports whether a person can meet the verdict on another page of the site's.
func leadsAway(v verdict.Verdict) bool {
	return v.Reason == verdict.LoginRequired || v.Reason == verdict.MFARequired || v.Reason == verdict.VerifyRequired
}

// redirect is the status with which a person is led to where the verdict is met, 0 when that would lose what they sent.
func redirect(method string, v verdict.Verdict) int {
	switch {
	case method == http.MethodGet || method == http.MethodHead:
		return http.StatusFound
	case v.StepUp != nil && v.StepUp.Kept:
		return http.StatusSeeOther
	}
	return 0
}

// operatorAnswers reports whether the server has error routes besides ours.
func operatorAnswers(r *http.Request) bool {
	srv, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return ok && srv.Errors != nil && len(srv.Errors.Routes) > 1
}

var (
	outsideErrorJSON = json.RawMessage(`{"handler":"gatehouse_outside_error"}`)

	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ gatehouse.Gate              = (*Handler)(nil)
)
