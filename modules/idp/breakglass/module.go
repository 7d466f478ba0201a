package breakglass

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/backoff"
	"gatehouse.internal/modules/internal/clientip"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/page"
	"gatehouse.internal/modules/internal/verdict"
)

func init() { caddy.RegisterModule(Provider{}) }

const (
	providerName = "break_glass"
	issuer       = "urn:gatehouse:break_glass"

	defaultLasts = 30 * time.Minute
	maxLasts     = 12 * time.Hour

	openPath   = "/open" // of a link that `break-glass use` made
	minPurpose = 10      // characters
	maxPurpose = 400     // bytes

	// Nobody guesses a code: what slows down is for the log's sake, and must not keep out who is in need.
	longestPause = 30 * time.Second
	maxStreaks   = 1 << 12

	startFor = 30 * time.Second
)

// Provider lets somebody in with a sealed code, for a short time, when nobody can log in as usual. There are no codes until
// `gatehouse break-glass seal` makes some.
type Provider struct {
	// The roles of a session, unless the code was made with others. Default: admin.
	Roles []string `json:"roles,omitempty"`

	// How long a session lasts. Default: 30m.
	Lasts caddy.Duration `json:"lasts,omitempty"`

	house  *gatehouse.App
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Provider) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.identity_providers.break_glass", New: func() caddy.Module { return new(Provider) }}
}

// Provision fills in the defaults.
func (p *Provider) Provision(ctx caddy.Context) error {
	p.logger = ctx.Logger()
	if len(p.Roles) == 0 {
		p.Roles = []string{"admin"}
	}
	if p.Lasts == 0 {
		p.Lasts = caddy.Duration(defaultLasts)
	}
	return registerMetrics(ctx)
}

// Validate bounds what a code opens.
func (p *Provider) Validate() error {
	if p.Lasts < caddy.Duration(time.Minute) || p.Lasts > caddy.Duration(maxLasts) {
		return fmt.Errorf("break_glass: lasts %v: write a duration from 1m to %v", time.Duration(p.Lasts), maxLasts)
	}
	return nil
}

// Name implements [gatehouse.IdentityProvider].
func (p *Provider) Name() string { return providerName }

// Label implements [gatehouse.IdentityProvider].
func (p *Provider) Label() string { return "Emergency access" }

// Form implements [gatehouse.IdentityProvider]: it has a form, of its own.
func (p *Provider) Form() bool { return true }

// Watched implements [gatehouse.Emergency].
func (p *Provider) Watched() event.Kind { return event.BreakGlassRequest }

// Open implements [gatehouse.IdentityProvider].
func (p *Provider) Open(house *gatehouse.App) error {
	p.house = house
	return nil
}

// kept is what outlives a configuration.
type kept struct{ failures *backoff.Table }

// Destruct implements [caddy.Destructor].
func (kept) Destruct() error { return nil }

// engine is the provider's state, found anew for each request: it may be closed at any time.
type engine struct {
	kept
	Seals
	bus *event.Bus
}

func engineOf(house *gatehouse.App) (engine, error) {
	state, err := house.State()
	if err != nil {
		return engine{}, err
	}
	v, err := state.Keep("idp.breakglass", func() (caddy.Destructor, error) {
		return kept{backoff.New(maxStreaks, longestPause)}, nil
	})
	if err != nil {
		return engine{}, err
	}
	return engine{v.(kept), Seals{Store: state.Store, Keys: state.Keys}, state.Bus}, nil
}

// Start says so when there is no code left.
func (p *Provider) Start() error {
	e, err := engineOf(p.house)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startFor)
	defer cancel()
	seals, err := e.List(ctx)
	if err != nil {
		return err
	}
	left.Set(float64(len(seals)))
	if len(seals) == 0 {
		p.logger.Warn("there is no break-glass code left: make some with `gatehouse break-glass seal`, print them, and keep them sealed")
		e.bus.Publish(event.Event{Time: time.Now(), Kind: event.BreakGlassUnsealed})
	}
	return nil
}

// ServeLogin implements [gatehouse.IdentityProvider].
func (p *Provider) ServeLogin(w http.ResponseWriter, r *http.Request, l gatehouse.Login) (*gatehouse.Vouching, error) {
	e, err := engineOf(p.house)
	if err != nil {
		return nil, unavailable(err)
	}
	post := r.Method == http.MethodPost
	switch {
	case l.Sub != "" && l.Sub != openPath:
		return nil, &gatehouse.LoginError{Reason: verdict.NotFound}
	case !post && r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD, POST")
		return nil, &gatehouse.LoginError{Reason: verdict.BadMethod}
	case post && l.Flow.Fresh:
		return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired}
	case l.Sub == openPath:
		return p.open(w, r, l, e)
	case post:
		return p.enter(w, r, l, e)
	}
	return nil, p.show(w, r, l, e, http.StatusOK, page.BreakGlass{})
}

func unavailable(err error) error {
	reason := verdict.Unavailable
	if errors.Is(err, context.Canceled) {
		reason = verdict.ClientClosed
	}
	return &gatehouse.LoginError{Reason: reason, Err: err}
}

func (p *Provider) show(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine, status int, v page.BreakGlass) error {
	seals, err := e.List(r.Context())
	if err != nil {
		return unavailable(err)
	}
	if l.Request.Site != nil {
		v.Site = l.Request.Site.Name
	}
	v.RequestID, v.Action, v.Flow, v.Any = l.Request.ID, l.Base, l.Flow.Token, len(seals) > 0
	v.LoginURL, v.Minutes = gatehouse.PortalPrefix+"login", int(time.Duration(p.Lasts)/time.Minute)
	page.Write(w, r, status, v)
	return nil
}

// enter takes a code and what it is used for.
func (p *Provider) enter(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) (*gatehouse.Vouching, error) {
	if len(r.PostForm["code"]) != 1 || len(r.PostForm["purpose"]) != 1 {
		return nil, &gatehouse.LoginError{Reason: verdict.BadRequest, Err: errors.New("not the form of this page")}
	}
	why := purposeOf(r.PostForm.Get("purpose"))
	if utf8.RuneCountInString(why) < minPurpose { // first: a code must not be lost to it
		return nil, p.show(w, r, l, e, http.StatusUnprocessableEntity, page.BreakGlass{Purpose: why, Error: page.PurposeMissing})
	}
	key := backoff.KeyOf(clientip.Network(l.Request.ClientIP).String())
	if wait := e.failures.Begin(key); wait > 0 {
		return nil, &gatehouse.LoginError{Reason: verdict.TooManyAttempts, After: wait}
	}
	asked := l.Request.Event(event.BreakGlassAsked)
	asked.Attrs = []event.Attr{{Key: "purpose", Value: why}}
	if err := e.bus.Record(asked); err != nil { // before the code is used up
		e.failures.Undo(key)
		return nil, unavailable(err)
	}
	seal, err := e.Break(r.Context(), r.PostForm.Get("code"))
	if errors.Is(err, ErrSeal) {
		p.tellFailed(l, e, err)
		w.Header().Set("Retry-After", fmt.Sprint(int(e.failures.Pause(key)/time.Second)+1))
		return nil, p.show(w, r, l, e, verdict.LoginFailed.Status(), page.BreakGlass{Purpose: why, Error: page.SealWrong})
	}
	if err != nil {
		e.failures.Undo(key)
		return nil, unavailable(err)
	}
	e.failures.Succeeded(key)
	e.used(r.Context(), l.Request.Event(event.BreakGlassUsed), seal, why, l.Request.ClientIP.String())
	return p.vouch(seal), nil
}

func (p *Provider) tellFailed(l gatehouse.Login, e engine, err error) {
	failed := l.Request.Event(event.LoginFailed)
	failed.Reason, failed.Status, failed.Detail = verdict.LoginFailed, verdict.LoginFailed.Status(), err.Error()
	failed.Attrs = []event.Attr{{Key: "provider", Value: providerName}}
	e.bus.Publish(failed)
}

// used tells that a seal was broken, loudly, and remembers it. What cannot be remembered is told all the same: the code is
// gone, and who needs it now must get in.
func (e engine) used(ctx context.Context, told event.Event, seal Seal, why, from string) {
	told.User = providerName + ":" + seal.Name
	told.Attrs = []event.Attr{{Key: "seal", Value: seal.Name}, {Key: "purpose", Value: why}, {Key: "roles", Value: strings.Join(seal.Roles, " ")}}
	ctx = context.WithoutCancel(ctx)
	if err := e.Note(ctx, Use{Seal: seal.Name, When: time.Now().UTC(), Purpose: why, From: from}); err != nil {
		told.Detail = "it could not be noted for `break-glass status`: " + err.Error()
	}
	uses.Inc()
	seals, err := e.List(ctx)
	if err == nil {
		left.Set(float64(len(seals)))
		told.Attrs = append(told.Attrs, event.Attr{Key: "left", Value: fmt.Sprint(len(seals))})
	}
	if e.bus.Record(told) != nil { // that a code was asked for is on record
		e.bus.Publish(told)
	}
}

// open answers a link that `break-glass use` made, by a button: what looks at links ahead of people must not use it up.
func (p *Provider) open(w http.ResponseWriter, r *http.Request, l gatehouse.Login, e engine) (*gatehouse.Vouching, error) {
	token := r.Form.Get("token")
	if r.Method != http.MethodPost {
		ok, err := e.Linked(r.Context(), token)
		if err != nil {
			return nil, unavailable(err)
		}
		if !ok {
			return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired, Err: ErrSeal}
		}
		v := page.BreakOpen{
			RequestID: l.Request.ID, Action: l.Base + openPath, Flow: l.Flow.Token, Token: token,
			Minutes: int(time.Duration(p.Lasts) / time.Minute),
		}
		if l.Request.Site != nil {
			v.Site = l.Request.Site.Name
		}
		page.Write(w, r, http.StatusOK, v)
		return nil, nil
	}
	seal, err := e.Follow(r.Context(), token)
	if errors.Is(err, ErrSeal) {
		return nil, &gatehouse.LoginError{Reason: verdict.LoginExpired, Err: err}
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return p.vouch(seal), nil
}

// vouch says who has broken the seal: nobody knows but the seal's name. A code that was kept apart is something one has.
func (p *Provider) vouch(seal Seal) *gatehouse.Vouching {
	now := time.Now().UTC()
	who := identity.Identity{
		Provider: providerName, Issuer: issuer, Subject: seal.Name, Name: "Emergency access " + seal.Name, Roles: seal.Roles,
		AMR: []string{"otp"}, AuthTime: now.Truncate(time.Second), // RFC 8176
	}
	who.Normalize()
	return &gatehouse.Vouching{Identity: who, Until: now.Add(time.Duration(p.Lasts))}
}

// purposeOf is what was typed, as one line of text that can be logged.
func purposeOf(typed string) string {
	text := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == utf8.RuneError {
			return ' '
		}
		return c
	}, typed)
	text = strings.Join(strings.Fields(text), " ")
	for len(text) > maxPurpose {
		_, last := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-last]
	}
	return text
}

var (
	_ gatehouse.IdentityProvider = (*Provider)(nil)
	_ gatehouse.Emergency        = (*Provider)(nil)
	_ gatehouse.Starter          = (*Provider)(nil)
	_ caddy.Provisioner          = (*Provider)(nil)
	_ caddy.Validator            = (*Provider)(nil)
	_ caddyfile.Unmarshaler      = (*Provider)(nil)
)
