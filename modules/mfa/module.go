package mfa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/standing"
)

func init() { caddy.RegisterModule(new(Module)) }

// Module is the room of second factors. A house has one, configured or not.
type Module struct {
	// The roles whose holders reach no application without a second factor. Default: the session's admin_roles.
	AdminRoles []string `json:"admin_roles,omitempty"`

	// Further roles for which that holds.
	RequiredRoles []string `json:"required_roles,omitempty"`

	// Administrators need no second factor.
	InsecureAdmins bool `json:"insecure_admins_without_factor,omitempty"`

	// What authenticator applications and passkey dialogs call the gateway. Default: the site's name.
	IssuerLabel string `json:"issuer_label,omitempty"`

	// The authenticator models that passkeys may be on, by AAGUID. Default: all.
	AAGUIDs []string `json:"aaguids,omitempty"`

	// How often people without a second factor are asked, after a login, to set one up. Default: never.
	Nudge int `json:"nudge,omitempty"`

	// The methods (RFC 8176) in an ID token's amr that prove a second factor. Default: mfa, otp, hwk, swk, sc, pop, fpt,
	// face, iris, retina, vbm.
	AMR []string `json:"amr,omitempty"`

	// The methods with which a token proves none, whatever else it names. Default: sms, tel.
	DenyAMR []string `json:"deny_amr,omitempty"`

	// The values of an ID token's acr that prove a second factor. Default: none.
	ACR []string `json:"acr,omitempty"`

	house   *gatehouse.App
	logger  *zap.Logger
	ctx     caddy.Context
	policy  policy
	aaguids [][]byte
	seen    chan identity.Identity // who has logged in; see note
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.mfa", New: func() caddy.Module { return new(Module) }}
}

// Provision reads the lists.
func (m *Module) Provision(ctx caddy.Context) error {
	m.ctx, m.logger, m.seen = ctx, ctx.Logger(), make(chan identity.Identity, 256)
	for _, text := range m.AAGUIDs {
		id, err := parseAAGUID(text)
		if err != nil {
			return err
		}
		m.aaguids = append(m.aaguids, id)
	}
	if m.Nudge < 0 || m.Nudge > 1000 {
		return fmt.Errorf("nudge %d: write how often people are asked, 0 to 1000", m.Nudge)
	}
	for _, role := range slices.Concat(m.AdminRoles, m.RequiredRoles) {
		if role == "" || strings.TrimSpace(role) != role {
			return fmt.Errorf("a role is called %q", role)
		}
	}
	for _, method := range m.AMR {
		if containsFold(defaultDenyAMR, method) {
			return fmt.Errorf("amr %s: a code by SMS or telephone is no second factor (whoever has the number has the code); take it out", method)
		}
	}
	m.policy = policy{
		roles: m.RequiredRoles, amr: or(m.AMR, defaultAMR), denyAMR: union(m.DenyAMR, defaultDenyAMR), acr: m.ACR,
	}
	return gatehouse.RegisterMetrics(ctx, proofs, challenges, users, ratio)
}

func or(list, otherwise []string) []string {
	if len(list) == 0 {
		return otherwise
	}
	return list
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// Open implements [gatehouse.SecondFactor].
func (m *Module) Open(house *gatehouse.App) error {
	m.house = house
	if m.InsecureAdmins && len(m.AdminRoles) > 0 {
		return errors.New("admin_roles and insecure_admins_without_factor contradict each other: take one out")
	}
	if !m.InsecureAdmins {
		m.policy.adminRoles = or(m.AdminRoles, house.Session.AdminRoles)
	}
	return nil
}

// Start counts who has a factor, now and then, and says what is insecure.
func (m *Module) Start() error {
	if m.InsecureAdmins {
		m.logger.Warn("insecure_admins_without_factor: whatever administrators may do is open without a second factor")
	}
	go m.census(m.ctx)
	go m.note(m.ctx)
	return nil
}

// accounts returns the engine on the house's state, found anew each time: it may be closed at any time.
func (m *Module) accounts() (accounts, *gatehouse.State, error) {
	state, err := m.house.State()
	if err != nil {
		return accounts{}, nil, err
	}
	return accounts{store: state.Store, keys: state.Keys}, state, nil
}

// Greet implements [gatehouse.SecondFactor].
func (m *Module) Greet(ctx context.Context, who identity.Identity) (gatehouse.Greeting, error) {
	accounts, _, err := m.accounts()
	if err != nil {
		return gatehouse.Greeting{}, err
	}
	a, err := accounts.get(ctx, who)
	if err != nil {
		return gatehouse.Greeting{}, err
	}
	if time.Since(a.Seen) >= seenEvery {
		select { // for the statistics alone: when nobody has the time, the next login does it
		case m.seen <- who:
		default:
		}
	}
	g := gatehouse.Greeting{Enrolled: a.enrolled()}
	g.Nudge = !g.Enrolled && a.Dismissed < m.Nudge && !m.Vouched(who)
	return g, nil
}

// Vouched implements [gatehouse.SecondFactor].
func (m *Module) Vouched(who identity.Identity) bool {
	var provesBy func(string) bool
	if who.ACR != "" {
		if p, ok := m.stepsUp(who.Provider); ok {
			provesBy = p.ProvesBy
		}
	}
	return m.policy.vouched(who, provesBy)
}

// stepsUp returns the provider of this name, if it can be asked for a second factor.
func (m *Module) stepsUp(name string) (gatehouse.StepUpProvider, bool) {
	for _, p := range m.house.Providers() {
		if p.Name() == name {
			s, ok := p.(gatehouse.StepUpProvider)
			return s, ok && s.StepsUp()
		}
	}
	return nil, false
}

// CountFactors implements [gatehouse.FactorResetter].
func (m *Module) CountFactors(ctx context.Context, who standing.Person) (int, error) {
	accounts, _, err := m.accounts()
	if err != nil {
		return 0, err
	}
	a, err := accounts.had(ctx, keyOf(who.Provider, who.Subject))
	return a.factors(), err
}

// ResetFactors implements [gatehouse.FactorResetter].
func (m *Module) ResetFactors(ctx context.Context, who standing.Person) (int, error) {
	accounts, _, err := m.accounts()
	if err != nil {
		return 0, err
	}
	return accounts.reset(ctx, who.Provider, who.Subject)
}

// note writes down who has logged in, beside the login, as long as the configuration lasts.
func (m *Module) note(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case who := <-m.seen:
			if accounts, _, err := m.accounts(); err == nil {
				_ = accounts.update(ctx, who, func(a *account) error { // when it fails, the next login does it
					a.Seen = time.Now().UTC().Truncate(24 * time.Hour)
					return nil
				})
			}
		}
	}
}

// census counts who has a factor, over and over, as long as the configuration lasts.
func (m *Module) census(ctx context.Context) {
	const every = 5 * time.Minute
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if accounts, _, err := m.accounts(); err == nil {
			if enrolled, bare, err := accounts.count(ctx); err == nil {
				tell(enrolled, bare)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

var (
	_ gatehouse.SecondFactor = (*Module)(nil)
	_ gatehouse.Starter      = (*Module)(nil)
	_ caddy.Provisioner      = (*Module)(nil)
	_ caddyfile.Unmarshaler  = (*Module)(nil)
)
