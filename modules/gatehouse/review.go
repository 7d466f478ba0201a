package gatehouse

import (
	"net/http"
	"net/url"

	"gatehouse.internal/modules/internal/identity"
)

// A request that runs for long, such as a websocket, outlives the configuration that let it in. When another takes over,
// each one that runs as somebody is judged once more, by the policy that its site has now, and ends if that says no.

// Judge says whether a site's policy lets a request pass that runs already. req is a copy: what f notes in it is lost.
type Judge func(r *http.Request, req *Request) bool

// judged is what a site's policy says of requests that run.
type judged struct {
	site  *Site
	judge Judge
}

// UseJudge has f asked about the running requests of the site whose row is being provisioned. Only Provision may call it.
func (app *App) UseJudge(f Judge) { app.judges = append(app.judges, judged{app.Entered(), f}) }

// UseReview has f called when another configuration has taken over from this one: f ends what StillAllowed no longer
// allows. It must not block. Only Provision may call it; the last call counts, since all of one house mean the same.
func (app *App) UseReview(f func()) { app.review = f }

// StillAllowed returns a function that reports whether the configuration in force lets the request go on as who; it may be
// called at any time and from any goroutine. A site that is no more, or has another name, lets nothing go on; of several
// that have its name all must agree.
func (app *App) StillAllowed(r *http.Request, req *Request, who identity.Proof) func() bool {
	method, host := r.Method, r.Host // later rooms may change r
	return func() bool {
		now := Running()
		if now == app || now == nil {
			return true
		}
		again := &Request{
			ID: req.ID, ClientIP: req.ClientIP, Path: req.Path, Site: req.Site, Start: req.Start, Navigation: req.Navigation,
		}
		if who.Method() != identity.BySession || now.vouchedBy(who.Provider()) { // other credentials are judged by who accepted them
			again.Identity = who
		}
		r := &http.Request{
			Method: method, Host: host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			URL: &url.URL{Path: req.Path.Decoded, RawPath: req.Path.Escaped}, Body: http.NoBody,
		}
		return now.allows(r, again)
	}
}

func (app *App) vouchedBy(provider string) bool {
	for _, p := range app.providers {
		if p.Name() == provider {
			return true
		}
	}
	return false
}

// allows asks the judges of the site that the request is for.
func (app *App) allows(r *http.Request, again *Request) bool {
	found := false
	for _, j := range app.judges {
		if again.Site == nil || j.site == nil || j.site.Name != again.Site.Name {
			continue
		}
		judgement := *again
		judgement.Site = j.site
		if !j.judge(r, &judgement) {
			return false
		}
		found = true
	}
	return found
}

// takeOver makes the house the one that is running; giveBack undoes it for a house whose configuration failed after all.
func (app *App) takeOver() { app.before = inForce.Swap(app) }

func (app *App) giveBack() { inForce.CompareAndSwap(app, app.before) }

// leave has what runs by this configuration judged by the one that took over, if one did. Caddy stops the old one only
// once all of the new one runs.
func (app *App) leave() {
	next := Running()
	if next == nil || next == app {
		return
	}
	next.before, next.unguarded = nil, nil // it did not fail, and this one need not be kept for it
	if app.review != nil {
		app.review()
	}
}
