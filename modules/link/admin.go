package link

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/standing"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminLinks = "/gatehouse/links"
	adminLimit = 1000 // links in a list, unless asked for otherwise

	defaultLife  = "7d"
	defaultLasts = "1h"
)

// Admin answers for links at Caddy's administration endpoint, which is as open as Caddy's configuration makes it: by default, to
// whoever is on this machine and may open its socket.
//
//	GET  /gatehouse/links[?limit=<n>]
//	POST /gatehouse/links/create        with an ask
//	POST /gatehouse/links/revoke        with a revokeAsk
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_links", New: func() caddy.Module { return new(Admin) }}
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
		at(http.MethodGet, adminLinks, (*desk).list),
		at(http.MethodPost, adminLinks+"/create", (*desk).create),
		at(http.MethodPost, adminLinks+"/revoke", (*desk).revoke),
	)
}

// desk is where one request of an administrator is served.
type desk struct {
	*Book
	house *gatehouse.App
	state *gatehouse.State
}

// ask is the link to make.
type ask struct {
	Host     string   `json:"host"`
	Paths    []string `json:"paths"`
	Methods  []string `json:"methods,omitempty"` // none: GET and HEAD
	Networks []string `json:"networks,omitempty"`
	Start    string   `json:"start,omitempty"`
	Label    string   `json:"label"`
	Life     string   `json:"life,omitempty"`  // until it expires, such as 7d
	Lasts    string   `json:"lasts,omitempty"` // of what it opens, such as 1h
	MaxUses  int      `json:"max_uses,omitempty"`
	Pin      bool     `json:"pin,omitempty"`
	Owner    string   `json:"owner,omitempty"` // provider:subject
	Note     string   `json:"note,omitempty"`
	Operator string   `json:"operator,omitempty"`
}

type created struct {
	URL  string `json:"url"` // shown once
	Link *Link  `json:"link"`
}

func (d *desk) create(r *http.Request) (any, error) {
	a, err := gatehouse.ReadAsk[ask](r)
	if err != nil {
		return nil, err
	}
	draft, err := a.draft(time.Now())
	if err != nil {
		return nil, err
	}
	site := d.house.SiteOf(scope.Hostname(a.Host))
	if site == nil {
		return nil, fmt.Errorf("no site of this gateway answers for %q: say for which one the link is, with --host", a.Host)
	}
	draft.Tenant = site.Tenant
	if err := d.known(draft.Owner); err != nil {
		return nil, err
	}
	text, err := d.Create(r.Context(), draft)
	if err != nil {
		return nil, err
	}
	d.tell(event.LinkCreated, draft, a.Operator)
	draft.Hash = nil
	return created{d.origin(draft.Host()) + gatehouse.LinkPath + "?" + tokenParam + "=" + text, draft}, nil
}

// known refuses somebody of a provider that the house has not.
func (d *desk) known(who standing.Person) error {
	for _, p := range d.house.Providers() {
		if p.Name() == who.Provider {
			return nil
		}
	}
	if who == (standing.Person{}) {
		return nil
	}
	return fmt.Errorf("the house has no identity provider %q", who.Provider)
}

// origin is https://host, with the port that the site listens on.
func (d *desk) origin(host string) string {
	for _, o := range d.house.Origins() {
		if u, err := url.Parse(o); err == nil && u.Hostname() == host {
			return o
		}
	}
	return "https://" + host
}

// draft is the link that is asked for.
func (a *ask) draft(now time.Time) (*Link, error) {
	l := &Link{
		Label: a.Label, Start: a.Start, MaxUses: cmp.Or(a.MaxUses, 1), Pin: a.Pin, By: a.Operator, Note: a.Note,
		Scope: scope.Scope{Hosts: []string{a.Host}, Methods: a.Methods},
	}
	if len(l.Scope.Methods) == 0 {
		l.Scope.Methods = []string{http.MethodGet}
	}
	if len(a.Paths) == 0 {
		return nil, errors.New("say what the link opens: --path /offers/17/*, or --path '/*' for all")
	}
	for _, text := range a.Paths {
		p, err := reqpath.ParsePattern(text)
		if err != nil {
			return nil, err
		}
		l.Scope.Paths = append(l.Scope.Paths, p)
	}
	for _, text := range a.Networks {
		p, err := scope.ParseNetwork(text)
		if err != nil {
			return nil, err
		}
		l.Scope.Networks = append(l.Scope.Networks, p)
	}
	if a.Owner != "" {
		provider, subject, _ := strings.Cut(a.Owner, ":")
		if l.Owner = (standing.Person{Provider: provider, Subject: subject}); provider == "" || subject == "" {
			return nil, errors.New("who answers for the link is named as provider:subject, such as local:ada")
		}
	}
	life, err := duration(a.Life, defaultLife)
	if err != nil {
		return nil, err
	}
	l.Expires = now.Add(life)
	l.Lasts, err = duration(a.Lasts, defaultLasts)
	return l, err
}

func duration(text, otherwise string) (time.Duration, error) {
	text = cmp.Or(text, otherwise)
	d, err := caddy.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration: write one like 7d or 90m", text)
	}
	return d, nil
}

type list struct {
	Links []*Link `json:"links"`
	More  bool    `json:"more,omitempty"`
}

func (d *desk) list(r *http.Request) (any, error) {
	limit := adminLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("limit %q is not a positive number", text)
		}
		limit = n
	}
	links, more, err := d.List(r.Context(), limit)
	if links == nil {
		links = []*Link{}
	}
	return list{links, more}, err
}

// revokeAsk says which link.
type revokeAsk struct {
	ID       string `json:"id"`
	Note     string `json:"note,omitempty"`
	Operator string `json:"operator,omitempty"`
}

type revoked struct {
	ID       string `json:"id"`
	Sessions int    `json:"sessions"` // that were ended by it
}

func (d *desk) revoke(r *http.Request) (any, error) {
	a, err := gatehouse.ReadAsk[revokeAsk](r)
	if err != nil {
		return nil, err
	}
	l, ended, err := d.Revoke(r.Context(), a.ID)
	if err != nil {
		return nil, err
	}
	d.tell(event.LinkRevoked, l, a.Operator)
	return revoked{l.ID, ended}, nil
}

// tell publishes what an administrator did. Whom a link is for is nobody's business here.
func (d *desk) tell(kind event.Kind, l *Link, operator string) {
	attrs := []event.Attr{
		{Key: "operator", Value: operator}, {Key: "host", Value: l.Host()}, {Key: "uses", Value: strconv.Itoa(l.MaxUses)},
		{Key: "expires", Value: l.Expires.Format(time.RFC3339)},
	}
	if l.Owner.Subject != "" {
		attrs = append(attrs, event.Attr{Key: "owner", Value: l.Owner.String()})
	}
	d.state.Bus.Publish(event.Event{Time: time.Now(), Kind: kind, User: identity.HouseLinks + ":" + l.ID, Attrs: attrs})
}

// texts are patterns or networks as they are written.
func texts[T interface{ String() string }](list []T) string {
	var all []string
	for _, v := range list {
		all = append(all, v.String())
	}
	return strings.Join(all, ",")
}

var _ caddy.AdminRouter = Admin{}
