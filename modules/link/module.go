package link

import (
	"context"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/cookie"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/verdict"
)

func init() {
	caddy.RegisterModule(new(Authenticator))
	gatehouse.OnErase("links", func(ctx context.Context, house *gatehouse.App, whose gatehouse.Whose, count bool) (int, error) {
		book, err := bookOf(house)
		if err != nil {
			return 0, err
		}
		return book.Erase(ctx, func(l *Link) bool { return whose.Has(l.Owner.Provider, l.Owner.Subject, l.Tenant) }, count)
	})
}

// Authenticator lets in whoever has opened a link of this gateway's, and has the page on which that is done.
type Authenticator struct {
	house *gatehouse.App
	book  gatehouse.Kept[Book]
}

// CaddyModule returns the Caddy module information.
func (*Authenticator) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.authenticators.link", New: func() caddy.Module { return new(Authenticator) }}
}

// Method implements [gatehouse.Authenticator].
func (*Authenticator) Method() identity.Method { return identity.ByLink }

// Provision finds the house, and takes its place in the site's portal.
func (a *Authenticator) Provision(ctx caddy.Context) (err error) {
	if a.house, err = gatehouse.House(ctx); err != nil {
		return err
	}
	a.house.AddPage(gatehouse.LinkPath, a)
	return gatehouse.RegisterMetrics(ctx, presented)
}

// Testify implements [gatehouse.Authenticator]. Browsers send the cookie everywhere on the host: where the link does not lead, its
// guest is nobody, and is told so only where nobody may go.
func (a *Authenticator) Testify(r *http.Request, req *gatehouse.Request) (*gatehouse.Testimony, error) {
	value, ok := cookie.Get(r.Header, cookie.Guest)
	if !ok {
		return nil, nil
	}
	book, err := a.opened()
	if err != nil {
		return nil, err
	}
	l, t, err := book.Session(r.Context(), value, whereOf(r, req))
	if err != nil && !IsVerdict(err) {
		return nil, err
	}
	if err != nil {
		return nil, &gatehouse.CredentialError{Reason: verdict.LinkInvalid, Err: err, Pass: true, Forget: cookie.Guest}
	}
	if !l.from(req.ClientIP) {
		err = ErrNetwork
	} else {
		err = l.Scope.Covers(scope.Request{Host: r.Host, Path: req.Path, Method: r.Method, Client: req.ClientIP})
	}
	if err != nil {
		return nil, &gatehouse.CredentialError{Reason: verdict.LinkInvalid, Err: fmt.Errorf("the link %s: %w", l.ID, err), Pass: true}
	}
	return t, nil
}

// whereOf is from where, and on which site, the request is made.
func whereOf(r *http.Request, req *gatehouse.Request) Where {
	return Where{Host: r.Host, Tenant: req.Site.Tenant, Client: req.ClientIP}
}

func (a *Authenticator) opened() (*Book, error) { return a.book.Of(a.house, bookOf) }

// bookOf returns the house's links, which outlive configurations.
func bookOf(house *gatehouse.App) (*Book, error) {
	state, err := house.State()
	if err != nil {
		return nil, err
	}
	kept, err := state.Keep("link.book", func() (caddy.Destructor, error) {
		return NewBook(state.Store, state.Keys, state.Standing)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the links: %w", err)
	}
	return kept.(*Book), nil
}

var (
	_ caddy.Provisioner       = (*Authenticator)(nil)
	_ gatehouse.Authenticator = (*Authenticator)(nil)
	_ gatehouse.PortalPage    = (*Authenticator)(nil)
)
