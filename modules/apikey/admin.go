package apikey

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/ledger"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/scope"
	"gatehouse.internal/modules/internal/service"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminAccounts = "/gatehouse/service-accounts"
	adminKeys     = "/gatehouse/api-keys"
	adminLimit    = 1000 // keys in a list, unless asked for otherwise
)

// Admin answers for service accounts and keys at Caddy's administration endpoint, which is as open as Caddy's configuration
// makes it: by default, to whoever is on this machine and may open its socket.
//
//	GET  /gatehouse/service-accounts
//	POST /gatehouse/service-accounts/{add,enable,disable,delete}    with an accountAsk
//	GET  /gatehouse/api-keys[?owner=<provider:subject>][&limit=<n>]
//	POST /gatehouse/api-keys/create                                 with a keyAsk
//	POST /gatehouse/api-keys/revoke                                 with a revokeAsk
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_api_keys", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	at := func(method, pattern string, serve func(*desk, *http.Request) (any, error)) caddy.AdminRoute {
		return gatehouse.AdminRoute(method, pattern, func(r *http.Request) (any, error) {
			d, err := openDesk()
			if err != nil {
				return nil, err
			}
			return serve(d, r)
		})
	}
	return gatehouse.Audited(
		at(http.MethodGet, adminAccounts, (*desk).listAccounts),
		at(http.MethodPost, adminAccounts+"/add", (*desk).addAccount),
		at(http.MethodPost, adminAccounts+"/enable", (*desk).enableAccount),
		at(http.MethodPost, adminAccounts+"/disable", (*desk).disableAccount),
		at(http.MethodPost, adminAccounts+"/delete", (*desk).deleteAccount),
		at(http.MethodGet, adminKeys, (*desk).listKeys),
		at(http.MethodPost, adminKeys+"/create", (*desk).createKey),
		at(http.MethodPost, adminKeys+"/revoke", (*desk).revokeKeys),
	)
}

// desk is where one request of an administrator is served.
type desk struct {
	*Book
	house *gatehouse.App
	state *gatehouse.State
}

func openDesk() (*desk, error) {
	house, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	book, err := bookOf(house)
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return &desk{book, house, state}, nil
}

// accountAsk is what is to be done with a service account.
type accountAsk struct {
	Name     string   `json:"name"`
	Roles    []string `json:"roles,omitempty"`
	Tenant   string   `json:"tenant,omitempty"`
	Note     string   `json:"note,omitempty"`
	Operator string   `json:"operator,omitempty"`
}

type accountList struct {
	Accounts []*service.Account `json:"accounts"`
}

type accountDone struct {
	Account *service.Account `json:"account,omitempty"`
	Revoked []string         `json:"revoked,omitempty"`
}

func (d *desk) listAccounts(r *http.Request) (any, error) {
	list := accountList{Accounts: []*service.Account{}}
	for a, err := range d.accounts.List(r.Context()) {
		if err != nil {
			return nil, err
		}
		list.Accounts = append(list.Accounts, a)
	}
	slices.SortFunc(list.Accounts, func(x, y *service.Account) int { return strings.Compare(x.Name, y.Name) })
	return list, nil
}

func (d *desk) addAccount(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[accountAsk](r)
	if err != nil {
		return nil, err
	}
	if !d.house.KnowsTenant(ask.Tenant) {
		return nil, fmt.Errorf("the house has no tenant %q", ask.Tenant)
	}
	a, err := d.accounts.Add(r.Context(), service.Account{Name: ask.Name, Roles: ask.Roles, Tenant: ask.Tenant, Note: ask.Note, By: ask.Operator})
	if err != nil {
		return nil, err
	}
	d.tell(event.ServiceAccountAdded, identity.HouseServices+":"+ask.Name, "", ask.Operator, "roles: "+strings.Join(a.Roles, ", "))
	return accountDone{Account: a}, nil
}

func (d *desk) enableAccount(r *http.Request) (any, error)  { return d.setDisabled(r, false) }
func (d *desk) disableAccount(r *http.Request) (any, error) { return d.setDisabled(r, true) }

func (d *desk) setDisabled(r *http.Request, disabled bool) (any, error) {
	ask, err := gatehouse.ReadAsk[accountAsk](r)
	if err != nil {
		return nil, err
	}
	a, err := d.accounts.SetDisabled(r.Context(), ask.Name, disabled)
	if err != nil {
		return nil, err
	}
	kind := event.ServiceAccountEnabled
	if disabled {
		kind = event.ServiceAccountDisabled
	}
	d.tell(kind, identity.HouseServices+":"+ask.Name, "", ask.Operator, ask.Note)
	return accountDone{Account: a}, nil
}

func (d *desk) deleteAccount(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[accountAsk](r)
	if err != nil {
		return nil, err
	}
	there, gone, err := d.DeleteAccount(r.Context(), ask.Name)
	if err != nil {
		return nil, err
	}
	if !there && len(gone) == 0 {
		return nil, service.ErrUnknown
	}
	account := identity.HouseServices + ":" + ask.Name
	for _, id := range gone {
		d.tell(event.APIKeyRevoked, account, id, ask.Operator, "its account was deleted")
	}
	d.tell(event.ServiceAccountDeleted, account, "", ask.Operator, ask.Note)
	return accountDone{Revoked: gone}, nil
}

// keyAsk is the key to make.
type keyAsk struct {
	Account    string   `json:"account,omitempty"` // for this service account,
	User       string   `json:"user,omitempty"`    // or this person: provider:subject,
	Tenant     string   `json:"tenant,omitempty"`  // on this tenant's sites
	Hosts      []string `json:"hosts"`
	Paths      []string `json:"paths,omitempty"` // none: all
	Methods    []string `json:"methods,omitempty"`
	Networks   []string `json:"networks,omitempty"`
	Scopes     []string `json:"scopes,omitempty"`
	Workspaces []string `json:"workspaces,omitempty"`
	// Certificate binds the key to connections that show this client certificate: its SHA-256.
	Certificate string `json:"certificate,omitempty"`
	Lasts       string `json:"lasts,omitempty"` // such as 90d, which is the default
	Note        string `json:"note,omitempty"`
	Operator    string `json:"operator,omitempty"`
}

// defaultLife is how long a key lives if nobody says.
const defaultLife = "90d"

type keyDone struct {
	Text string `json:"text"` // shown once
	Key  *Key   `json:"key"`
}

func (d *desk) createKey(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[keyAsk](r)
	if err != nil {
		return nil, err
	}
	draft, err := ask.draft()
	if err != nil {
		return nil, err
	}
	if draft.Account == "" {
		_, err := d.people.Last(r.Context(), draft.Person.Provider, draft.Person.Subject, draft.Tenant)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil, fmt.Errorf("%s has not logged in yet, so that nobody knows their roles", ask.User)
		}
		if err != nil {
			return nil, err
		}
	}
	text, err := d.Issue(r.Context(), draft)
	if err != nil {
		return nil, err
	}
	d.tell(event.APIKeyCreated, draft.Owner(), draft.ID, ask.Operator, ask.Note)
	draft.Hash = nil
	return keyDone{Text: text, Key: draft}, nil
}

// draft is the key that is asked for.
func (ask *keyAsk) draft() (*Key, error) {
	k := &Key{
		Account: ask.Account, Scopes: ask.Scopes, Workspaces: ask.Workspaces, Note: ask.Note, By: ask.Operator, Certificate: ask.Certificate,
		Scope: scope.Scope{Hosts: ask.Hosts, Methods: ask.Methods},
	}
	if ask.User != "" {
		person, err := owner.ParsePerson(ask.User)
		if err != nil || ask.Account != "" {
			return nil, errors.New("a key is for a service account, or for a user as provider:subject, such as local:ada")
		}
		k.Person, k.Tenant = person, ask.Tenant
	} else if ask.Tenant != "" {
		return nil, errors.New("a service account's keys are for its own tenant: --tenant goes with --user")
	}
	var err error
	if k.Scope.Paths, err = patterns(ask.Paths); err != nil {
		return nil, err
	}
	if k.Scope.Networks, err = networks(ask.Networks); err != nil {
		return nil, err
	}
	lasts := ask.Lasts
	if lasts == "" {
		lasts = defaultLife
	}
	life, err := caddy.ParseDuration(lasts)
	if err != nil {
		return nil, fmt.Errorf("%q is no duration: write one like 90d or 12h", lasts)
	}
	k.Expires = time.Now().Add(life)
	return k, nil
}

// patterns reads paths; none means all.
func patterns(texts []string) (list []reqpath.Pattern, err error) {
	if len(texts) == 0 {
		texts = []string{"/*"}
	}
	for _, text := range texts {
		p, err := reqpath.ParsePattern(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func networks(texts []string) (list []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := scope.ParseNetwork(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

type keyList struct {
	Keys []Listed `json:"keys"`
	More bool     `json:"more,omitempty"`
}

func (d *desk) listKeys(r *http.Request) (any, error) {
	q, limit := r.URL.Query(), adminLimit
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("limit %q is not a positive number", text)
		}
		limit = n
	}
	keys, more, err := d.List(r.Context(), q.Get("owner"), limit)
	if keys == nil {
		keys = []Listed{}
	}
	return keyList{keys, more}, err
}

// revokeAsk says which key, or whose.
type revokeAsk struct {
	ID       string `json:"id,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Operator string `json:"operator,omitempty"`
}

type revokeDone struct {
	Revoked []string `json:"revoked"`
}

func (d *desk) revokeKeys(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[revokeAsk](r)
	if err != nil {
		return nil, err
	}
	if ask.ID != "" {
		k, err := d.Revoke(r.Context(), strings.TrimPrefix(ask.ID, Prefix), "")
		if err != nil {
			return nil, err
		}
		d.tell(event.APIKeyRevoked, k.Owner(), k.ID, ask.Operator, "")
		return revokeDone{[]string{k.ID}}, nil
	}
	provider, subject, ok := strings.Cut(ask.Owner, ":")
	if !ok {
		return nil, errors.New("say which key, or whose: provider:subject, such as service:backup")
	}
	gone, err := d.RevokeAll(r.Context(), provider, subject)
	if err != nil {
		return nil, err
	}
	for _, id := range gone {
		d.tell(event.APIKeyRevoked, ask.Owner, id, ask.Operator, "")
	}
	return revokeDone{gone}, nil
}

// tell publishes what an administrator did.
func (d *desk) tell(kind event.Kind, whose, key, operator, detail string) {
	d.state.Bus.Publish(event.Event{
		Time: time.Now(), Kind: kind, User: whose, Session: key, Detail: detail, Attrs: []event.Attr{{Key: "operator", Value: operator}},
	})
}

var _ caddy.AdminRouter = Admin{}
