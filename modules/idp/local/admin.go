package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/standing"
	"gatehouse.internal/modules/internal/store"
)

func init() {
	caddy.RegisterModule(Admin{})
	gatehouse.InFull(func(r *http.Request, text string) string {
		if !strings.HasPrefix(r.URL.Path, adminUsers+"/") {
			return ""
		}
		d, err := openDesk("")
		if err != nil {
			return ""
		}
		who, err := d.person(text)
		if err != nil {
			return ""
		}
		return who.String()
	})
}

const adminUsers = "/gatehouse/users"

// Admin answers below /gatehouse/users of Caddy's administration endpoint, which is as open as Caddy's configuration
// makes it: by default, to whoever is on this machine and may open its socket.
//
//	GET  /gatehouse/users                everybody of whom something is known
//	POST /gatehouse/users/<what is done> with a JSON object: see adminAsk
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_users", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (a Admin) Routes() []caddy.AdminRoute {
	return gatehouse.Audited(
		caddy.AdminRoute{Pattern: adminUsers, Handler: caddy.AdminHandlerFunc(a.list)},
		caddy.AdminRoute{Pattern: adminUsers + "/", Handler: caddy.AdminHandlerFunc(a.act)},
	)
}

// adminAsk is what an administrator wants. What does not apply is left out.
type adminAsk struct {
	User     string    `json:"user,omitempty"` // provider:subject, or a name of the only local provider
	Note     string    `json:"note,omitempty"`
	Operator string    `json:"operator,omitempty"`
	Roles    *[]string `json:"roles,omitempty"`
	Title    *string   `json:"display_name,omitempty"`
	Email    *string   `json:"email,omitempty"`
	Approve  bool      `json:"approve,omitempty"`
	Ahead    bool      `json:"ahead,omitempty"`

	Provider string `json:"provider,omitempty"` // of an import
	Format   string `json:"format,omitempty"`
	List     string `json:"list,omitempty"`
	Skip     bool   `json:"skip_existing,omitempty"`
	Try      bool   `json:"dry_run,omitempty"`
}

// adminDone is what came of it.
type adminDone struct {
	Done
	Factors int `json:"factors,omitempty"` // that were reset
	ImportDone
}

type adminList struct {
	Users []Account `json:"users"`
}

// desk is where one request of an administrator is served.
type desk struct {
	Accounts
	house *gatehouse.App
}

func openDesk(operator string) (desk, error) {
	house, state, err := gatehouse.RunningState()
	if err != nil {
		return desk{}, err
	}
	d := desk{house: house, Accounts: Accounts{Locals: map[string]Local{}, Book: state.Standing, Tell: state.Bus.Publish, By: line(operator, 64)}}
	d.End = func(ctx context.Context, who standing.Person, why string) (int, error) {
		return house.EndSessions(ctx, who, "", why)
	}
	for _, idp := range house.Providers() {
		p, ok := idp.(*Provider)
		if !ok {
			continue
		}
		e, err := p.engine()
		if err != nil {
			return desk{}, gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		d.Locals[p.ProviderName] = Local{e.users, e.passwords}
	}
	return d, nil
}

// person reads provider:subject, or a name of the only local provider.
func (d desk) person(text string) (standing.Person, error) {
	provider, subject, prefixed := strings.Cut(text, ":")
	if !prefixed {
		names := slices.Sorted(maps.Keys(d.Locals))
		if len(names) != 1 {
			return standing.Person{}, fmt.Errorf("%w: %q: write provider:subject, such as %s:ada", ErrState, text, strings.Join(append(names, "oidc")[:1], ""))
		}
		provider, subject = names[0], text
	}
	if !slices.ContainsFunc(d.house.Providers(), func(p gatehouse.IdentityProvider) bool { return p.Name() == provider }) {
		return standing.Person{}, fmt.Errorf("%w: %q is not one of the identity providers", ErrState, provider)
	}
	if _, local := d.Locals[provider]; local {
		name, ok := CanonicalName(subject)
		if !ok {
			return standing.Person{}, ErrName
		}
		subject = name
	}
	if subject == "" || len(subject) > 255 {
		return standing.Person{}, fmt.Errorf("%w: a user is written provider:subject", ErrState)
	}
	return standing.Person{Provider: provider, Subject: subject}, nil
}

func (Admin) list(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return gatehouse.AdminError(http.StatusMethodNotAllowed, errors.New("the method is GET"))
	}
	d, err := openDesk("")
	if err != nil {
		return err
	}
	all, err := d.List(r.Context())
	if err != nil {
		return adminRefusal(err)
	}
	if all == nil {
		all = []Account{}
	}
	return answer(w, adminList{all})
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // it may hold a link
	return json.NewEncoder(w).Encode(v)
}

func (Admin) act(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return gatehouse.AdminError(http.StatusMethodNotAllowed, errors.New("the method is POST"))
	}
	var ask adminAsk
	body := json.NewDecoder(io.LimitReader(r.Body, 2*maxImport))
	body.DisallowUnknownFields()
	if err := body.Decode(&ask); err != nil {
		return gatehouse.AdminError(http.StatusBadRequest, fmt.Errorf("the request is not what it should be: %w", err))
	}
	d, err := openDesk(ask.Operator)
	if err != nil {
		return err
	}
	verb := strings.TrimPrefix(r.URL.Path, adminUsers+"/")
	var done adminDone
	if verb == "import" {
		done, err = d.importList(r.Context(), ask)
	} else {
		done, err = d.act(r.Context(), verb, ask)
	}
	if err != nil {
		return adminRefusal(err)
	}
	return answer(w, done)
}

// verbs are what can be done with one person.
var verbs = map[string]func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error){
	"add": func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error) {
		n := NewAccount{Approve: ask.Approve}
		if ask.Roles != nil {
			n.Roles = *ask.Roles
		}
		if ask.Title != nil {
			n.Title = *ask.Title
		}
		if ask.Email != nil {
			n.Email = *ask.Email
		}
		return d.Add(ctx, who, n)
	},
	"approve": func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error) {
		return d.Approve(ctx, who, ask.Ahead, ask.Note)
	},
	"reject": func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error) {
		return d.Reject(ctx, who, ask.Note)
	},
	"disable": func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error) {
		return d.Disable(ctx, who, ask.Note)
	},
	"enable": func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error) {
		return d.Enable(ctx, who, ask.Note)
	},
	"compromise": func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error) {
		return d.Compromise(ctx, who, ask.Note)
	},
	"reset-password": func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error) {
		return d.ResetPassword(ctx, who, ask.Note)
	},
	"change": func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error) {
		var roles []string
		if ask.Roles != nil {
			roles = append([]string{}, *ask.Roles...)
		}
		return d.Change(ctx, who, roles, ask.Title, ask.Email)
	},
	"delete": func(d desk, ctx context.Context, who standing.Person, ask adminAsk) (Done, error) {
		return d.Delete(ctx, who, ask.Note)
	},
}

func (d desk) act(ctx context.Context, verb string, ask adminAsk) (done adminDone, err error) {
	ask.Note = line(ask.Note, 400)
	who, err := d.person(ask.User)
	if err != nil {
		return done, err
	}
	if verb == "reset-mfa" {
		return d.resetFactors(ctx, who)
	}
	do, ok := verbs[verb]
	if !ok {
		return done, gatehouse.AdminError(http.StatusNotFound, fmt.Errorf("nobody knows how to %q a user", verb))
	}
	if done.Done, err = do(d, ctx, who, ask); err != nil {
		return done, err
	}
	if done.Link != "" {
		done.Link = d.link(who.Provider, done.Link)
	}
	return done, nil
}

// link is the address where a person sets their password.
func (d desk) link(provider, token string) string {
	origin := "https://<your site>"
	if origins := d.house.Origins(); len(origins) > 0 {
		origin = origins[0]
	}
	return origin + gatehouse.PortalPrefix + "login/" + provider + linkPath + "?token=" + token
}

func (d desk) resetFactors(ctx context.Context, who standing.Person) (done adminDone, err error) {
	known, err := d.known(ctx, who)
	if err != nil {
		return done, err
	}
	_, ofLocal := d.Locals[who.Provider]
	if done.Factors, err = d.house.ResetFactors(ctx, who); err != nil {
		return done, err
	}
	if done.Factors == 0 && !known && !ofLocal {
		return done, fmt.Errorf("%w: %s has no second factors", ErrState, who)
	}
	d.tell(event.FactorsReset, who, "")
	if done.Sessions, err = d.End(ctx, who, "the second factors were reset by an administrator"); err != nil {
		return done, err
	}
	sessions := done.Sessions
	done.Done, err = d.done(ctx, who)
	done.Sessions = sessions
	return done, err
}

func (d desk) importList(ctx context.Context, ask adminAsk) (done adminDone, err error) {
	provider := ask.Provider
	if names := slices.Sorted(maps.Keys(d.Locals)); provider == "" && len(names) == 1 {
		provider = names[0]
	}
	list, err := ParseImport(ask.Format, []byte(ask.List))
	if err != nil {
		return done, gatehouse.AdminError(http.StatusBadRequest, err)
	}
	in := Import{Provider: provider, List: list, Approve: ask.Approve, Skip: ask.Skip, Try: ask.Try}
	if ask.Roles != nil {
		in.Roles = *ask.Roles
	}
	done.ImportDone, err = d.Import(ctx, in)
	return done, err
}

// adminRefusal words an error for an administrator.
func adminRefusal(err error) error {
	if api := (caddy.APIError{}); errors.As(err, &api) {
		return err
	}
	status := http.StatusConflict
	switch {
	case errors.Is(err, ErrNoUser):
		status, err = http.StatusNotFound, fmt.Errorf("%w: `gatehouse user list` shows who there is", err)
	case errors.Is(err, ErrNotAsked):
		err = fmt.Errorf("%w; to let them in when they come, add --ahead", err)
	case errors.Is(err, ErrExists):
		err = fmt.Errorf("%w: `gatehouse user change` gives them other roles, `gatehouse user reset-password` a new link", err)
	case errors.Is(err, store.ErrDown):
		status = http.StatusServiceUnavailable
	case errors.Is(err, ErrName):
		status = http.StatusBadRequest
	}
	return gatehouse.AdminError(status, err)
}

var _ caddy.AdminRouter = (*Admin)(nil)
