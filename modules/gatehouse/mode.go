package gatehouse

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"

	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/event"
)

func init() {
	egress.Install()
	certmagic.DefaultACME.HTTPProxy = egress.Proxy // an ACME client's dialer is its own, but it asks for a proxy first
}

// Mode says whom the house speaks to: see decisions/0028.
type Mode struct {
	// strict, hybrid or connected. Default: connected.
	Name egress.Mode `json:"name"`
	// Whom it may speak to besides this machine and the applications: addresses, networks, and in mode hybrid names and *.name.
	Allow []string `json:"allow,omitempty"`
	// Where in the Caddyfile addresses stand, for the sentence that refuses them.
	Places map[string]string `json:"places,omitempty"`
}

// parseMode reads
//
//	mode strict|hybrid|connected {
//		allow <address, network or name...>
//	}
func (app *App) parseMode(d *caddyfile.Dispenser) error {
	if app.Mode != nil {
		return d.Err("there are two mode options: keep one")
	}
	m := new(Mode)
	if !d.NextArg() {
		return d.ArgErr()
	}
	m.Name = egress.Mode(d.Val())
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		args := d.RemainingArgs()
		if d.Val() != "allow" && len(args) == 0 {
			return d.Errf("unknown mode option %q: the option is allow", d.Val())
		}
		m.Allow = append(m.Allow, args...)
	}
	if _, err := egress.New(m.Name, m.Allow); err != nil {
		return d.Err(err.Error())
	}
	app.Mode = m
	return nil
}

// placeMode notes where in the option addresses stand, if anybody will ask.
func (app *App) placeMode(d *caddyfile.Dispenser) {
	if app.Mode == nil || app.Mode.Name == egress.Connected {
		return
	}
	app.Mode.Places = map[string]string{}
	for d.Reset(); d.Next(); {
		text := d.Val()
		if _, port, err := net.SplitHostPort(text); err != nil || !portNumber(port) {
			if u, err := url.Parse(text); err != nil || u.Host == "" || u.User != nil {
				continue
			}
		}
		if app.Mode.Places[text] == "" {
			app.Mode.Places[text] = fmt.Sprintf("%s:%d", d.File(), d.Line())
		}
	}
}

func portNumber(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// Reach is somebody whom a part of the house speaks to by itself.
type Reach struct {
	What    string // for operators: "blocklist drop"
	Address string // as they wrote it: a URL, host:port, or a socket's unix/path
	Data    bool   // what is sent are records, or state
	// Program: Address is a program's path, which speaks to whom it wants.
	Program bool
}

// Reacher is implemented by the house's guests (store, rooms, identity providers) that speak to somebody: it is asked once they are
// provisioned, and whoever is not told of is not reached, but in mode connected.
type Reacher interface{ Reaches() []Reach }

// openMode makes the policy, and refuses what needs more than the mode allows.
func (app *App) openMode() (err error) {
	m := Mode{Name: egress.Connected}
	if app.Mode != nil {
		m = *app.Mode
	}
	if app.egress, err = egress.New(m.Name, m.Allow); err != nil {
		return err
	}
	if m.Name == egress.Connected {
		return nil
	}
	var errs []error
	if name := egress.Proxied(); name != "" {
		errs = append(errs, fmt.Errorf("mode %s: the environment names a proxy, behind which nobody sees whom the gateway speaks to: take %s out of it", m.Name, name))
	}
	guests := []any{app.opener, app.factors}
	for _, name := range slices.Sorted(maps.Keys(app.rooms)) {
		guests = append(guests, app.rooms[name])
	}
	for _, p := range app.providers {
		guests = append(guests, p)
	}
	for _, g := range guests {
		if r, ok := g.(Reacher); ok {
			for _, reach := range r.Reaches() {
				errs = append(errs, app.MayReach(reach))
			}
		}
	}
	errs = append(errs, app.holdCaddy(app.ctx))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if Running() == nil {
		app.guard() // nothing is dialled before Start that is not allowed, either
	}
	return nil
}

// hostOf returns the host that an address names, and whether it is a socket of this machine.
func hostOf(address string) (host string, socket bool) {
	if strings.HasPrefix(address, "unix/") || strings.HasPrefix(address, "unix:") {
		return "", true
	}
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Hostname(), false
	}
	if _, rest, ok := strings.Cut(address, "/"); ok { // Caddy's network/host:port
		address = rest
	}
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h, false
	}
	return strings.Trim(address, "[]"), false
}

// MayReach returns nil when the mode allows that somebody is spoken to, or the sentence that says what to change.
func (app *App) MayReach(r Reach) error {
	if app.egress.Mode() == egress.Connected {
		return nil
	}
	place := ""
	if app.Mode.Places[r.Address] != "" {
		place = app.Mode.Places[r.Address] + ": "
	}
	refuse := func(why string, args ...any) error {
		return fmt.Errorf("%smode %s: %s is at %s: %s", place, app.egress.Mode(), r.What, r.Address, fmt.Sprintf(why, args...))
	}
	if r.Program {
		return refuse("whom a program speaks to nobody here sees, nor stops: take it out, or choose `mode connected`")
	}
	address, err := caddy.NewReplacer().ReplaceOrErr(r.Address, true, true)
	if err != nil {
		return refuse("%v", err)
	}
	host, socket := hostOf(address)
	strict := app.egress.Mode() == egress.Strict
	switch {
	case socket:
		return nil
	case strings.ContainsAny(address, "{}"):
		return refuse("whom that is cannot be known beforehand: write the address itself")
	case (strict || r.Data) && !egress.Private(host):
		if strict {
			return refuse("nothing outside private networks is spoken to: write a private address and `allow` it, take it out, or choose `mode hybrid`")
		}
		return refuse("records and state stay in private networks: write a private address and `allow` it, take it out, or choose `mode connected`")
	case !app.egress.May("tcp", host):
		return refuse("it is not allowed: write `allow %s` into the block of `mode %s`, or take it out", host, app.egress.Mode())
	}
	return nil
}

// Egress is the policy of whom the house speaks to.
func (app *App) Egress() *egress.Policy { return app.egress }

// guard puts the house's policy in force.
func (app *App) guard() {
	if !app.guarding {
		app.guarding, app.unguarded = true, egress.Use(app.egress)
	}
}

// guardWith is guard for a house with a bus, on which refusals are told and kept.
func (app *App) guardWith(bus *event.Bus) {
	app.egress.Tell(func(d egress.Denial) {
		bus.Publish(event.Event{Time: time.Now(), Kind: event.EgressDenied, Detail: d.Error(), Attrs: []event.Attr{
			{Key: "mode", Value: string(d.Mode)}, {Key: "to", Value: event.Clip(d.Address, maxAskedText)}, {Key: "network", Value: d.Network},
		}})
	})
	app.guard()
}

// unguard has the policy before this house's count again, for a house whose configuration failed after all.
func (app *App) unguard() {
	if app.guarding {
		egress.GiveBack(app.egress, app.unguarded)
	}
}
