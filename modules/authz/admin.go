package authz

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/standing"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminExplain = "/gatehouse/policy/explain"
	adminShadow  = "/gatehouse/policy/shadow"
	adminReview  = "/gatehouse/access-review"
	adminSignOff = adminReview + "/sign-off"
	adminGrants  = "/gatehouse/support-grants"
)

// Admin answers below /gatehouse/policy of Caddy's administration endpoint, which is as open as Caddy's configuration
// makes it: by default, to whoever is on this machine and may open its socket.
//
//	POST /gatehouse/policy/explain   a Question, answered for the configuration that runs
//	GET  /gatehouse/policy/shadow    what candidate policies would have done otherwise, a ShadowReport a site
//	GET  /gatehouse/access-review[?stale=<duration>][&user=<provider:subject>]   a Report
//	POST /gatehouse/access-review/sign-off                                       with a signAsk
//	GET  /gatehouse/support-grants[?all=1]                                       a grantList
//	POST /gatehouse/support-grants/{give,revoke}                                 with a grantAsk, an endAsk
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_policy", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	return append([]caddy.AdminRoute{
		gatehouse.AdminRoute(http.MethodPost, adminExplain, explainLive),
		gatehouse.AdminRoute(http.MethodGet, adminShadow, shadowReports),
		gatehouse.AdminRoute(http.MethodGet, adminReview, reviewAccess),
		gatehouse.AdminRoute(http.MethodGet, adminGrants, listGrants),
	}, gatehouse.Audited(
		gatehouse.AdminRoute(http.MethodPost, adminSignOff, signOff),
		gatehouse.AdminRoute(http.MethodPost, adminGrants+"/give", giveGrant),
		gatehouse.AdminRoute(http.MethodPost, adminGrants+"/revoke", revokeGrant),
	)...)
}

type shadowAnswer struct {
	Sites []ShadowReport `json:"sites"`
}

func shadowReports(*http.Request) (any, error) {
	app, _, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	answer := shadowAnswer{Sites: []ShadowReport{}}
	for _, h := range handlersOf(app) {
		if h.shadow != nil {
			answer.Sites = append(answer.Sites, h.shadow.report(h.oracle.site))
		}
	}
	return answer, nil
}

// liveQuestion is a Question about what runs. With Live, the user's roles and the rest are those of their latest session, or of
// their account.
type liveQuestion struct {
	Question
	Live bool `json:"live,omitempty"`
}

// liveAnswer is an Answer with who was taken to ask.
type liveAnswer struct {
	Answer
	Known string   `json:"known,omitempty"` // from where it is known who asks
	Roles []string `json:"roles,omitempty"`
}

func explainLive(r *http.Request) (any, error) {
	q, err := gatehouse.ReadAsk[liveQuestion](r)
	if err != nil {
		return nil, err
	}
	app, _, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	var answer liveAnswer
	if q.Live {
		if answer.Roles, answer.Known, err = enliven(r.Context(), app, &q.Question); err != nil {
			return nil, err
		}
	}
	host, err := q.host()
	if err != nil {
		return nil, err
	}
	for _, h := range handlersOf(app) {
		if host != "" && !h.oracle.serves(host) {
			continue
		}
		if answer.Answer, err = h.oracle.answer(q.Question); err != nil {
			return nil, err
		}
		return answer, nil
	}
	return nil, gatehouse.AdminError(http.StatusNotFound, fmt.Errorf("no site has the name %s", hostName(host)))
}

// enliven takes what is known of the user: from the session that they used last, or else from their account.
func enliven(ctx context.Context, app *gatehouse.App, q *Question) (roles []string, known string, err error) {
	provider, subject, ok := strings.Cut(q.User, ":")
	if !ok || provider == "" || subject == "" {
		return nil, "", gatehouse.AdminError(http.StatusBadRequest, errors.New("say who: user as provider:subject, such as local:ada"))
	}
	var best gatehouse.Principal
	for p, err := range app.Principals(ctx, standing.Person{Provider: provider, Subject: subject}) {
		if err != nil {
			return nil, "", gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		if p.Credential != nil || p.Source == gatehouse.FromRoster {
			continue
		}
		newer := p.Source == best.Source && !p.LastUsed.Before(best.LastUsed)
		if newer || best.Source == "" || p.Source == gatehouse.FromSession && best.Source != gatehouse.FromSession {
			best = p
		}
	}
	id := best.Identity
	switch {
	case id.Subject == "":
		return nil, "", gatehouse.AdminError(http.StatusNotFound, fmt.Errorf("%s has neither a living session nor an account here: say roles and groups instead", q.User))
	case best.Disabled:
		return nil, "", gatehouse.AdminError(http.StatusConflict, fmt.Errorf("%s may not use the gateway now: pending or disabled", q.User))
	}
	q.Roles, q.Groups, q.Claims, q.ACR = id.Roles, id.Groups, id.Claims, id.ACR
	if device := id.Facts[identity.FactDevice]; device != "" {
		q.Device = device
	}
	return id.Roles, best.Source + " of " + best.Created.Format("2006-01-02 15:04:05"), nil
}

// handlers holds the sites' handlers of each house that is configured, for the administration endpoint.
var handlers struct {
	mu sync.Mutex
	of map[*gatehouse.App][]*Handler // guarded by mu; in the order of the configuration
}

func addHandler(app *gatehouse.App, h *Handler) {
	handlers.mu.Lock()
	defer handlers.mu.Unlock()
	if handlers.of == nil {
		handlers.of = map[*gatehouse.App][]*Handler{}
	}
	handlers.of[app] = append(handlers.of[app], h)
}

func dropHandler(app *gatehouse.App, h *Handler) {
	handlers.mu.Lock()
	defer handlers.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(handlers.of[app]), func(o *Handler) bool { return o == h })
	if handlers.of[app] = left; len(left) == 0 {
		delete(handlers.of, app)
	}
}

// handlersOf returns the sites' handlers. The slice must not be changed.
func handlersOf(app *gatehouse.App) []*Handler {
	handlers.mu.Lock()
	defer handlers.mu.Unlock()
	return handlers.of[app]
}

var _ caddy.AdminRouter = Admin{}
