package contain

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/containment"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/standing"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminSwitches = "/gatehouse/containment"
	adminThrow    = adminSwitches + "/throw"
	adminLift     = adminSwitches + "/lift"
	adminForesee  = adminSwitches + "/foresee"

	maxNames    = 20  // of people in a foresight
	maxOperator = 200 // bytes
)

// Admin answers at Caddy's administration endpoint, which no switch closes:
//
//	GET  /gatehouse/containment[?all=1]     a list
//	POST /gatehouse/containment/throw       with a throwAsk
//	GET  /gatehouse/containment/foresee?…   whom the throwAsk would hit whose words are in the query
//	POST /gatehouse/containment/lift        with a liftAsk
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_containment", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	return append([]caddy.AdminRoute{
		gatehouse.AdminRoute(http.MethodGet, adminSwitches, listSwitches),
		gatehouse.AdminRoute(http.MethodGet, adminForesee, foresee),
	}, gatehouse.Audited(
		gatehouse.AdminRoute(http.MethodPost, adminThrow, throw),
		gatehouse.AdminRoute(http.MethodPost, adminLift, lift),
	)...)
}

// throwAsk is the switch to throw.
type throwAsk struct {
	Switch containment.Kind `json:"switch"`
	All    bool             `json:"all,omitempty"` // everywhere; a lock says where, or this
	Tenant string           `json:"tenant,omitempty"`
	Site   string           `json:"site,omitempty"`
	Route  string           `json:"route,omitempty"`
	Level  int              `json:"level,omitempty"`
	For    string           `json:"for,omitempty"`
	Why    string           `json:"why,omitempty"`
}

// operator is who asks, as the record of what administrators do has it.
func operator(r *http.Request) string {
	return event.Clip(cmp.Or(r.Header.Get(gatehouse.OperatorHeader), "unknown"), maxOperator)
}

// draft is the switch that is asked for, and the sites that it is for.
func (ask *throwAsk) draft(app *gatehouse.App, now time.Time) (*containment.Switch, []*gatehouse.Site, error) {
	s := &containment.Switch{Kind: ask.Switch, Tenant: ask.Tenant, Site: ask.Site, Level: ask.Level, Reason: ask.Why}
	if ask.Route != "" {
		var err error
		if s.Route, err = reqpath.ParsePattern(ask.Route); err != nil {
			return nil, nil, fmt.Errorf("route: %w", err)
		}
	}
	somewhere := ask.Tenant+ask.Site+ask.Route != ""
	if somewhere && ask.All {
		return nil, nil, errors.New("it counts everywhere or somewhere, not both: leave --all out, or --tenant, --site and --route")
	}
	if s.Kind == containment.Lock && !somewhere && !ask.All {
		return nil, nil, errors.New("say what to lock: --tenant, --site or --route, or --all for everything")
	}
	if ask.For != "" {
		length, err := caddy.ParseDuration(ask.For)
		if err != nil {
			return nil, nil, fmt.Errorf("%q is no duration: write one like 2h", ask.For)
		}
		s.Until = now.Add(length)
	}
	var sites []*gatehouse.Site
	for _, site := range app.Sites() {
		if s.Covers(placeOf(site)) {
			sites = append(sites, site)
		}
	}
	if len(sites) == 0 {
		return nil, nil, fmt.Errorf("no site of the running configuration is there (%s): nothing would be hit", s.Where())
	}
	return s, sites, nil
}

func throw(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[throwAsk](r)
	if err != nil {
		return nil, err
	}
	app, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	s, _, err := ask.draft(app, time.Now())
	if err == nil {
		s.By = operator(r)
		err = s.Check(time.Now())
	}
	if err != nil {
		return nil, err
	}
	board, err := state.Containment()
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	err = board.Throw(r.Context(), s, func(s *containment.Switch) error {
		if err := state.Bus.Record(gatehouse.ContainmentEvent(event.ContainmentThrown, *s)); err != nil {
			return gatehouse.AdminError(http.StatusServiceUnavailable, fmt.Errorf("nothing was done: a switch must be on record first: %w", err))
		}
		return nil
	})
	if err != nil && s.ID != "" && !errors.Is(err, containment.ErrUnsure) {
		e := gatehouse.ContainmentEvent(event.ContainmentLifted, *s)
		e.Detail = "it could not be written, and may never have been in force: " + err.Error()
		state.Bus.Publish(e)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// liftAsk says which switch is to end.
type liftAsk struct {
	ID   string `json:"id"`
	Note string `json:"note,omitempty"`
}

func lift(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[liftAsk](r)
	if err != nil {
		return nil, err
	}
	board, state, err := boardOf()
	if err != nil {
		return nil, err
	}
	s, err := board.Lift(r.Context(), ask.ID, operator(r), ask.Note)
	if s == nil {
		return nil, err
	}
	state.Bus.Publish(gatehouse.ContainmentEvent(event.ContainmentLifted, *s))
	return s, err
}

func boardOf() (*containment.Board, *gatehouse.State, error) {
	_, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, nil, err
	}
	board, err := state.Containment()
	if err != nil {
		return nil, nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return board, state, nil
}

type switchList struct {
	Switches []*containment.Switch `json:"switches"`
}

func listSwitches(r *http.Request) (any, error) {
	board, _, err := boardOf()
	if err != nil {
		return nil, err
	}
	list, err := board.List(r.Context(), r.URL.Query().Get("all") != "")
	return switchList{append([]*containment.Switch{}, list...)}, err
}

// Foresight is whom a switch would hit.
type Foresight struct {
	Where    string   `json:"where"`
	Sites    []string `json:"sites"`
	Tenants  []string `json:"tenants,omitempty"`
	Running  int      `json:"running"`          // requests at this gateway now
	Cut      int      `json:"cut"`              // of those, what would be cut
	LoggedIn int      `json:"logged_in"`        // people with a session there, on any gateway
	People   []string `json:"people,omitempty"` // some of them, and of who has something running
}

func foresee(r *http.Request) (any, error) {
	q := r.URL.Query()
	ask := throwAsk{Switch: containment.Kind(q.Get("switch")), All: q.Get("all") == "true", Tenant: q.Get("tenant"), Site: q.Get("site"), Route: q.Get("route")}
	app, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	s, sites, err := ask.draft(app, now)
	if err != nil {
		return nil, err
	}
	s.Since = now
	board, err := state.Containment()
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	f := Foresight{Where: s.Where(), Sites: []string{}}
	for _, site := range sites {
		f.Sites = append(f.Sites, site.Name)
		if site.Tenant != "" && !slices.Contains(f.Tenants, site.Tenant) {
			f.Tenants = append(f.Tenants, site.Tenant)
		}
	}
	people, here := map[string]bool{}, map[string]bool{}
	f.Running, f.Cut = board.Running(s, func(who identity.Proof) {
		if who.Known() {
			here[who.Name()] = true
		}
	})
	for p, err := range app.Principals(r.Context(), standing.Person{}) {
		if err != nil {
			return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		tenant := p.Identity.Tenant
		if p.Source == gatehouse.FromSession && p.Credential == nil && (len(f.Tenants) == 0 || tenant == "" || slices.Contains(f.Tenants, tenant)) {
			people[p.Identity.Provider+":"+p.Identity.Subject] = true
		}
	}
	f.LoggedIn = len(people)
	for name := range here {
		people[name] = true
	}
	for name := range people {
		f.People = append(f.People, name)
	}
	slices.Sort(f.People)
	f.People = f.People[:min(len(f.People), maxNames)]
	return f, nil
}

var _ caddy.AdminRouter = Admin{}
