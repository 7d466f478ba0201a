package clientcert

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/recent"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/service"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(Authenticator))
	gatehouse.OnErase("client certificates", erase)
}

// maxRemembered bounds the certificates of a site whose judgement is remembered.
const maxRemembered = 8192

// Handler refuses clients whose certificate does not count, and says whose it is to the rooms behind it.
type Handler struct {
	// Files with the authorities whose certificates count, in PEM.
	CA []string `json:"ca,omitempty"`
	// Files with their revocation lists, in PEM or DER. They are read again when they change.
	CRL []string `json:"crl,omitempty"`
	// Clients may have no certificate. Otherwise TLS lets no client without a good one send a request.
	Optional bool `json:"optional,omitempty"`
	// Where the site's word stands, for error messages: file:line.
	Source string `json:"source,omitempty"`

	trust  *Trust
	judged *recent.Map[*judged]
	book   bookRef
}

// judged is a certificate that was found good.
type judged struct {
	cert  *gatehouse.Certificate
	lists *listed
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_client_certificate", New: func() caddy.Module { return new(Handler) }}
}

// Configured reports whether the site asks for certificates.
func (h *Handler) Configured() bool { return len(h.CA)+len(h.CRL) > 0 }

// Provision reads the authorities, and has TLS ask for certificates.
func (h *Handler) Provision(ctx caddy.Context) (err error) {
	if h.book.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	if h.trust, err = LoadTrust(h.CA, h.CRL); err == nil {
		err = h.book.house.AskForCertificates(ctx, h.trust.Raw(), !h.Optional)
	}
	if err != nil {
		where := h.Source
		if where != "" {
			where += ": "
		}
		return gatehouse.Refused(fmt.Errorf("%sclient_certificates: %w", where, err))
	}
	h.judged = recent.New[*judged](maxRemembered)
	if lists := h.trust.Lists(); lists != nil {
		logger := ctx.Logger()
		h.book.house.AtStart(func() {
			go lists.Follow(ctx, func(err error) {
				if err != nil {
					logger.Error("a revocation list cannot be read; the one before stays in force until it ends", zap.Error(err))
					return
				}
				logger.Info("revocation lists were read again")
			})
		})
	}
	return gatehouse.RegisterMetrics(ctx, shown)
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	req, err := gatehouse.Of(r)
	if err != nil {
		return err
	}
	if req.Probe() {
		return next.ServeHTTP(w, r)
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		if h.Optional {
			return next.ServeHTTP(w, r)
		}
		return h.refuse(w, r, req, errMissing)
	}
	cert, err := h.judge(r, time.Now())
	if err != nil {
		return h.refuse(w, r, req, err)
	}
	book, err := h.book.opened()
	if err == nil {
		err = book.Revoked(r.Context(), cert.Leaf, cert.Names[0])
	}
	switch {
	case errors.Is(err, errRevoked):
		return h.refuse(w, r, req, err)
	case err != nil:
		return req.Deny(verdict.Unavailable, err.Error())
	}
	shown.WithLabelValues("accepted").Inc()
	req.Certificate = cert
	req.Note("client_certificate", short(cert.Sum))
	return next.ServeHTTP(w, r)
}

// judge returns the connection's certificate, if it counts; its revocation by an operator is not looked at.
func (h *Handler) judge(r *http.Request, now time.Time) (*gatehouse.Certificate, error) {
	leaf := r.TLS.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	lists := h.trust.lists.version()
	if known, ok := h.judged.Get(sum, now); ok && known.lists == lists { // Fast path
		return known.cert, nil
	}
	until, err := h.trust.Verify(r.TLS.PeerCertificates, now)
	if err != nil {
		return nil, err
	}
	cert := &gatehouse.Certificate{Leaf: leaf, Sum: sum, Names: Names(leaf, sum)}
	h.judged.Put(sum, &judged{cert, lists}, now, until)
	return cert, nil
}

// refuse has the client come again on another connection: on this one it can show no other certificate. HTTP/3 has no word
// for that.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, req *gatehouse.Request, err error) error {
	shown.WithLabelValues("refused").Inc()
	if r.ProtoMajor < 3 {
		w.Header().Set("Connection", "close")
	}
	return req.Deny(verdict.CertificateBad, err.Error())
}

// Authenticator lets in whom a certificate is bound to.
type Authenticator struct {
	book bookRef
	made *recent.Map[*made]
}

// made is what a certificate proves, made of its binding and owner as they were then.
type made struct {
	binding   *Binding
	record    any
	testimony *gatehouse.Testimony
}

// CaddyModule returns the Caddy module information.
func (*Authenticator) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.authenticators.client_certificate", New: func() caddy.Module { return new(Authenticator) }}
}

// Method implements [gatehouse.Authenticator].
func (*Authenticator) Method() identity.Method { return identity.ByCertificate }

// Provision finds the house.
func (a *Authenticator) Provision(ctx caddy.Context) (err error) {
	a.made = recent.New[*made](maxRemembered)
	if a.book.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	a.book.house.AddDirectory("client_certificates", a)
	return nil
}

// Testify implements [gatehouse.Authenticator]. Browsers show certificates by themselves: one that is bound to nobody, or not
// for this request, is nobody's, and the request's line in the log says why.
func (a *Authenticator) Testify(r *http.Request, req *gatehouse.Request) (*gatehouse.Testimony, error) {
	cert := req.Certificate
	if cert == nil {
		return nil, nil
	}
	book, err := a.book.opened()
	if err != nil {
		return nil, err
	}
	t, err := a.speaksFor(r, req, book, cert, time.Now())
	if err == nil && t != nil {
		return t, nil
	}
	for _, end := range []error{errSeveral, errOver, errScope, errTenant, owner.ErrNotSeen, service.ErrDisabled, service.ErrUnknown} {
		if errors.Is(err, end) {
			req.Note("client_certificate_unused", err.Error())
			return nil, nil
		}
	}
	return nil, err
}

var (
	errScope  = errors.New("the certificate's binding is not for this request")
	errTenant = errors.New("the certificate's owner is another tenant's")
)

// speaksFor returns what the certificate proves; nil: it is bound to nobody.
func (a *Authenticator) speaksFor(r *http.Request, req *gatehouse.Request, book *Book, cert *gatehouse.Certificate, now time.Time) (*gatehouse.Testimony, error) {
	b, err := book.Find(r.Context(), cert.Names)
	if err != nil || b == nil {
		return nil, err
	}
	if !now.Before(b.Expires) {
		return nil, errOver
	}
	if err := b.Scope.Covers(scope.Request{Host: r.Host, Path: req.Path, Method: r.Method, Client: req.ClientIP}); err != nil {
		return nil, fmt.Errorf("%w: it is %w", errScope, err)
	}
	who, record, err := book.owners.Now(r.Context(), b.whose(), now)
	if err != nil {
		return nil, err
	}
	m, ok := a.made.Get(cert.Sum, now)
	if !ok || m.binding != b || m.record != record {
		m = &made{binding: b, record: record, testimony: &gatehouse.Testimony{
			Identity: who(), Credential: b.credential(cert.Leaf, cert.Sum),
			Check: func() error { return book.Still(b, cert.Leaf, cert.Names[0], record) },
		}}
		a.made.Put(cert.Sum, m, now, b.Expires)
	}
	if m.testimony.Identity.Tenant != req.Site.Tenant {
		return nil, errTenant
	}
	if b.Account == "" && !slices.ContainsFunc(a.book.house.ProvidersOf(req.Site.Tenant), func(p gatehouse.IdentityProvider) bool { return p.Name() == b.Person.Provider }) {
		return nil, owner.ErrNotSeen
	}
	return m.testimony, nil
}

// bookRef finds the book, which outlives configurations.
type bookRef struct {
	house *gatehouse.App
	found gatehouse.Kept[Book]
}

func (f *bookRef) opened() (*Book, error) { return f.found.Of(f.house, bookOf) }

func bookOf(house *gatehouse.App) (*Book, error) {
	state, err := house.State()
	if err != nil {
		return nil, err
	}
	accounts, err := state.Services()
	if err != nil {
		return nil, err
	}
	people, err := state.Roster()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("clientcert.book", func() (caddy.Destructor, error) {
		return NewBook(state.Store, state.Keys, owner.Owners{Accounts: accounts, People: people})
	})
	if err != nil {
		return nil, fmt.Errorf("opening the bindings of client certificates: %w", err)
	}
	return kept.(*Book), nil
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddy.Provisioner           = (*Authenticator)(nil)
	_ gatehouse.Authenticator     = (*Authenticator)(nil)
)
