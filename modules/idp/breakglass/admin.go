package breakglass

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

func init() { caddy.RegisterModule(Admin{}) }

const adminPath = "/gatehouse/break-glass"

// Admin answers at /gatehouse/break-glass of Caddy's administration endpoint, which is as open as Caddy's configuration
// makes it: by default, to whoever is on this machine and may open its socket.
//
//	GET  /gatehouse/break-glass       how many codes are left, and which were used
//	POST /gatehouse/break-glass/seal  makes codes, and voids the ones there are
//	POST /gatehouse/break-glass/use   uses a code, and makes a link
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_break_glass", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (a Admin) Routes() []caddy.AdminRoute {
	return gatehouse.Audited(
		caddy.AdminRoute{Pattern: adminPath, Handler: caddy.AdminHandlerFunc(a.status)},
		caddy.AdminRoute{Pattern: adminPath + "/seal", Handler: caddy.AdminHandlerFunc(a.seal)},
		caddy.AdminRoute{Pattern: adminPath + "/use", Handler: caddy.AdminHandlerFunc(a.use)},
	)
}

type ask struct {
	Number   int      `json:"number,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	Keep     bool     `json:"keep,omitempty"`
	Code     string   `json:"code,omitempty"`
	Purpose  string   `json:"purpose,omitempty"`
	Operator string   `json:"operator,omitempty"`
}

// state is what `break-glass status` shows.
type state struct {
	Seals []Seal `json:"seals"`
	Uses  []Use  `json:"uses"`
	URL   string `json:"url"`
}

type sealed struct {
	Sealed []Sealed      `json:"sealed"`
	Voided int           `json:"voided"`
	URL    string        `json:"url"`
	Lasts  time.Duration `json:"lasts"`
}

type opened struct {
	Seal Seal   `json:"seal"`
	Link string `json:"link"`
}

// desk is where one request of an administrator is served.
type desk struct {
	*Provider
	engine
}

func openDesk(r *http.Request, method string, a *ask) (desk, error) {
	if r.Method != method {
		return desk{}, gatehouse.AdminError(http.StatusMethodNotAllowed, fmt.Errorf("the method is %s", method))
	}
	if a != nil {
		body := json.NewDecoder(io.LimitReader(r.Body, 64<<10))
		body.DisallowUnknownFields()
		if err := body.Decode(a); err != nil {
			return desk{}, gatehouse.AdminError(http.StatusBadRequest, fmt.Errorf("the request is not what it should be: %w", err))
		}
	}
	house, _, err := gatehouse.RunningState()
	if err != nil {
		return desk{}, err
	}
	for _, idp := range house.Providers() {
		if p, ok := idp.(*Provider); ok {
			e, err := engineOf(house)
			if err != nil {
				return desk{}, gatehouse.AdminError(http.StatusServiceUnavailable, err)
			}
			return desk{p, e}, nil
		}
	}
	return desk{}, gatehouse.AdminError(http.StatusConflict, errors.New("this gateway has no emergency access: write `break_glass` into the global gatehouse option, and reload"))
}

func (d desk) url() string {
	origin := "https://<your site>"
	if origins := d.house.Origins(); len(origins) > 0 {
		origin = origins[0]
	}
	return origin + gatehouse.EmergencyPath
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(v)
}

func refusal(err error) error {
	status := http.StatusServiceUnavailable
	if errors.Is(err, ErrSeal) {
		status = http.StatusConflict
	}
	return gatehouse.AdminError(status, err)
}

func (Admin) status(w http.ResponseWriter, r *http.Request) error {
	d, err := openDesk(r, http.MethodGet, nil)
	if err != nil {
		return err
	}
	s := state{URL: d.url()}
	if s.Seals, err = d.List(r.Context()); err == nil {
		s.Uses, err = d.Uses(r.Context())
	}
	if err != nil {
		return refusal(err)
	}
	return answer(w, s)
}

func (Admin) seal(w http.ResponseWriter, r *http.Request) error {
	var a ask
	d, err := openDesk(r, http.MethodPost, &a)
	if err != nil {
		return err
	}
	if len(a.Roles) == 0 {
		a.Roles = d.Roles
	}
	s := sealed{URL: d.url(), Lasts: time.Duration(d.Lasts)}
	if a.Number < 1 || a.Number > MaxSeals {
		return gatehouse.AdminError(http.StatusBadRequest, fmt.Errorf("there can be 1 to %d codes at a time", MaxSeals))
	}
	if s.Sealed, s.Voided, err = d.Make(r.Context(), a.Number, a.Roles, purposeOf(a.Operator), a.Keep); err != nil {
		return refusal(err)
	}
	if all, err := d.List(r.Context()); err == nil {
		left.Set(float64(len(all)))
	}
	d.bus.Publish(event.Event{Time: time.Now(), Kind: event.BreakGlassSealed, Attrs: []event.Attr{
		{Key: "number", Value: fmt.Sprint(len(s.Sealed))}, {Key: "voided", Value: fmt.Sprint(s.Voided)},
		{Key: "roles", Value: strings.Join(a.Roles, " ")}, {Key: "operator", Value: purposeOf(a.Operator)},
	}})
	return answer(w, s)
}

func (Admin) use(w http.ResponseWriter, r *http.Request) error {
	var a ask
	d, err := openDesk(r, http.MethodPost, &a)
	if err != nil {
		return err
	}
	a.Purpose, a.Operator = purposeOf(a.Purpose), purposeOf(a.Operator)
	if utf8.RuneCountInString(a.Purpose) < minPurpose {
		return gatehouse.AdminError(http.StatusBadRequest, fmt.Errorf("say what it is used for, in at least %d characters", minPurpose))
	}
	broken, err := d.Break(r.Context(), a.Code)
	if err != nil {
		return refusal(err)
	}
	d.used(r.Context(), event.Event{Time: time.Now(), Kind: event.BreakGlassUsed}, broken, a.Purpose, "the command line, by "+a.Operator)
	token, err := d.Link(r.Context(), broken)
	if err != nil {
		return refusal(err)
	}
	link := strings.TrimSuffix(d.url(), gatehouse.EmergencyPath) + gatehouse.PortalPrefix + "login/" + providerName + openPath + "?token=" + token
	return answer(w, opened{broken, link})
}

var _ caddy.AdminRouter = (*Admin)(nil)
