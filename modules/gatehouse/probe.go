package gatehouse

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// probeID is the id of every probe: nobody looks for one by its id, and real ones are 26 letters long.
const probeID = "probe"

// Probe returns r as a request that the gateway makes to one of its own rooms, to see whether the room does its work.
// It has no client, no identity and no grant, so that nothing can come of it, and rooms leave it out of what they
// count and note.
func Probe(r *http.Request, site *Site) *http.Request {
	r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{}))
	Attach(r, &Request{ID: probeID, Site: site, probe: true})
	return r
}

// Probe reports whether the gateway itself makes this request.
func (q *Request) Probe() bool { return q.probe }

// Enter says which site's row is being provisioned from now on. Caddy provisions the rooms of a row in their order,
// and admit, the first of each, calls it.
func (app *App) Enter(site *Site) {
	app.entered, app.sites = site, append(app.sites, site)
	app.addHealth()
}

// Entered is the site whose row is being provisioned; nil before any. Only Provision may ask.
func (app *App) Entered() *Site { return app.entered }

// AtStart has f called when the house starts: what a room does besides answering must not begin in Provision, which
// `gatehouse validate` calls too. f must not block. Only Provision may call it.
func (app *App) AtStart(f func()) { app.atStart = append(app.atStart, f) }
