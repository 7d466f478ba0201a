package clientcert

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminBindings = "/gatehouse/client-certificates"
	adminRevoked  = adminBindings + "/revoked"

	defaultLife = "365d"
)

// Admin answers for client certificates at Caddy's administration endpoint.
//
//	GET  /gatehouse/client-certificates
//	POST /gatehouse/client-certificates/bind      with a bindAsk
//	POST /gatehouse/client-certificates/unbind    with a nameAsk
//	GET  /gatehouse/client-certificates/revoked
//	POST /gatehouse/client-certificates/{revoke,restore}    with a nameAsk
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_client_certificates", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	at := func(method, pattern string, serve func(*desk, *http.Request) (any, error)) caddy.AdminRoute {
		return gatehouse.AdminRoute(method, pattern, func(r *http.Request) (any, error) {
			house, state, err := gatehouse.RunningState()
			if err != nil {
				return nil, err
			}
			book, err := bookOf(house)
			if err != nil {
				return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
			}
			return serve(&desk{book, house, state}, r)
		})
	}
	return gatehouse.Audited(
		at(http.MethodGet, adminBindings, (*desk).list),
		at(http.MethodPost, adminBindings+"/bind", (*desk).bind),
		at(http.MethodPost, adminBindings+"/unbind", (*desk).unbind),
		at(http.MethodGet, adminRevoked, (*desk).listRevoked),
		at(http.MethodPost, adminBindings+"/revoke", (*desk).revoke),
		at(http.MethodPost, adminBindings+"/restore", (*desk).restore),
	)
}

// desk is where one request of an administrator is served.
type desk struct {
	*Book
	house *gatehouse.App
	state *gatehouse.State
}

// bindAsk is the binding to make.
type bindAsk struct {
	Match    string    `json:"match"` // see ParseMatch
	Account  string    `json:"account,omitempty"`
	User     string    `json:"user,omitempty"`
	Tenant   string    `json:"tenant,omitempty"` // with User
	Hosts    []string  `json:"hosts"`
	Paths    []string  `json:"paths,omitempty"` // none: all
	Methods  []string  `json:"methods,omitempty"`
	Networks []string  `json:"networks,omitempty"`
	Lasts    string    `json:"lasts,omitempty"`    // default 365d
	NotAfter time.Time `json:"not_after,omitzero"` // of the certificate, where it is known: no binding outlives it
	Note     string    `json:"note,omitempty"`
	Operator string    `json:"operator,omitempty"`
}

func (d *desk) bind(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[bindAsk](r)
	if err != nil {
		return nil, err
	}
	draft, err := ask.draft(time.Now())
	if err != nil {
		return nil, err
	}
	if !d.house.KnowsTenant(draft.Tenant) {
		return nil, fmt.Errorf("the house has no tenant %q", draft.Tenant)
	}
	if err := d.Bind(r.Context(), draft); err != nil {
		return nil, err
	}
	d.tell(event.CertificateBound, draft.whose().String(), draft.Match, ask.Operator, ask.Note)
	return draft, nil
}

// draft is the binding that is asked for.
func (ask *bindAsk) draft(now time.Time) (*Binding, error) {
	b := &Binding{Match: ask.Match, Account: ask.Account, Note: ask.Note, By: ask.Operator, Scope: scope.Scope{Hosts: ask.Hosts, Methods: ask.Methods}}
	if ask.User != "" {
		person, err := owner.ParsePerson(ask.User)
		if err != nil {
			return nil, err
		}
		b.Person, b.Tenant = person, ask.Tenant
	} else if ask.Tenant != "" {
		return nil, errors.New("a service account's certificates are for its own tenant: --tenant goes with --user")
	}
	paths := ask.Paths
	if len(paths) == 0 {
		paths = []string{"/*"}
	}
	for _, text := range paths {
		p, err := reqpath.ParsePattern(text)
		if err != nil {
			return nil, err
		}
		b.Scope.Paths = append(b.Scope.Paths, p)
	}
	for _, text := range ask.Networks {
		p, err := scope.ParseNetwork(text)
		if err != nil {
			return nil, err
		}
		b.Scope.Networks = append(b.Scope.Networks, p)
	}
	lasts := ask.Lasts
	if lasts == "" {
		lasts = defaultLife
	}
	life, err := caddy.ParseDuration(lasts)
	if err != nil {
		return nil, fmt.Errorf("%q is no duration: write one like 90d or 12h", lasts)
	}
	b.Expires = now.Add(life)
	if !ask.NotAfter.IsZero() && ask.NotAfter.Before(b.Expires) {
		if b.Expires = ask.NotAfter; !b.Expires.After(now) {
			return nil, errExpired
		}
	}
	return b, nil
}

type bindingList struct {
	Bindings []*Binding `json:"bindings"`
}

func (d *desk) list(r *http.Request) (any, error) {
	list, err := d.List(r.Context())
	return bindingList{append([]*Binding{}, list...)}, err
}

// nameAsk says which certificate.
type nameAsk struct {
	Match    string `json:"match"`
	Note     string `json:"note,omitempty"`
	Operator string `json:"operator,omitempty"`
}

func (d *desk) unbind(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[nameAsk](r)
	if err != nil {
		return nil, err
	}
	match, err := ParseMatch(ask.Match)
	if err != nil {
		return nil, err
	}
	b, err := d.Unbind(r.Context(), match)
	if err != nil {
		return nil, err
	}
	d.tell(event.CertificateUnbound, b.whose().String(), b.Match, ask.Operator, ask.Note)
	return b, nil
}

type revokedList struct {
	Revoked []*Revocation `json:"revoked"`
}

func (d *desk) listRevoked(r *http.Request) (any, error) {
	list, err := d.Revocations(r.Context())
	return revokedList{append([]*Revocation{}, list...)}, err
}

func (d *desk) revoke(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[nameAsk](r)
	if err != nil {
		return nil, err
	}
	done, err := d.Revoke(r.Context(), Revocation{Match: ask.Match, Note: ask.Note, By: ask.Operator})
	if err != nil {
		return nil, err
	}
	d.tell(event.CertificateRevoked, "", done.Match, ask.Operator, ask.Note)
	return done, nil
}

func (d *desk) restore(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[nameAsk](r)
	if err != nil {
		return nil, err
	}
	match, err := d.Restore(r.Context(), ask.Match)
	if err != nil {
		return nil, err
	}
	d.tell(event.CertificateRestored, "", match, ask.Operator, ask.Note)
	return nameAsk{Match: match}, nil
}

// tell publishes what an administrator did.
func (d *desk) tell(kind event.Kind, whose, match, operator, note string) {
	d.state.Bus.Publish(event.Event{
		Time: time.Now(), Kind: kind, User: whose, Detail: match,
		Attrs: []event.Attr{{Key: "operator", Value: operator}, {Key: "note", Value: note}},
	})
}

var _ caddy.AdminRouter = Admin{}
