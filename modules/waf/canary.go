package waf

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/verdict"
)

// canaryPeriod is how often each site is tried.
const canaryPeriod = 5 * time.Minute

// canaryAttack is what any rule set that deserves the name refuses: three kinds at once, so that an exclusion for one
// of them does not silence it.
const canaryAttack = "/gatehouse-canary?gatehouse-canary=" +
	"%3Cscript%3Ealert(document.cookie)%3C/script%3E%27%20UNION%20SELECT%20password%20FROM%20users--%20../../../../etc/passwd"

// canary tries, again and again, whether a known attack is refused by one site as it is configured and running.
//
// The metric says whether it is, and the event waf.canary_failed when it is not: each time, when an engine does not do
// what it is configured to (let the attack pass in block mode, not even noticed it in detect mode, or could not judge
// it); once for each configuration, when a site refuses nothing because its operator said so.
type canary struct {
	handler *Handler
	site    *gatehouse.Site
	publish func(event.Event)
	told    map[string]bool // parts of which it was told that they refuse nothing
}

// canaries holds the latest canary of each site, whose metric it is.
var canaries sync.Map

// run tries at once and then at each tick, until ctx ends.
func (c *canary) run(ctx context.Context) {
	canaries.Store(c.site.Name, c)
	tick := time.NewTicker(canaryPeriod)
	defer tick.Stop()
	for ctx.Err() == nil {
		c.check(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if canaries.CompareAndDelete(c.site.Name, c) {
		canaryGauge.DeleteLabelValues(c.site.Name) // no configuration has this site any more
	}
}

// canaryKey is the context key of the part that a canary tries.
type canaryKey struct{}

// check tries the site, and each of its routes, once. The metric is about the site's own.
func (c *canary) check(ctx context.Context) {
	parts := []part{{}}
	if c.handler.live != nil {
		p := c.handler.live.plan.Load()
		parts = p.parts()
		for _, r := range p.routes {
			if r.engine == nil {
				parts = append(parts, part{nil, r.path.String()})
			}
		}
	}
	for n, p := range parts {
		refused, fault := c.attack(ctx, p)
		value := 0.0
		if refused {
			value = 1
		}
		if n == 0 {
			canaryGauge.WithLabelValues(c.site.Name).Set(value)
		}
		if fault == "" && !refused && !c.told[p.route] {
			fault = "detect mode: attacks are noted, not refused"
			if p.engine == nil {
				fault = "insecure_waf_off: nothing is inspected"
			}
			if c.told == nil {
				c.told = map[string]bool{}
			}
			c.told[p.route] = true
		}
		if fault != "" && ctx.Err() == nil {
			if p.route != "" {
				fault = "route " + p.route + ": " + fault
			}
			c.publish(event.Event{Time: time.Now(), Kind: event.WAFCanaryFailed, Site: c.site.Name, Detail: fault})
		}
	}
}

// attack sends the request down the path of all requests, to be judged by p. fault is what is wrong with the engine, if
// anything.
func (c *canary) attack(ctx context.Context, p part) (refused bool, fault string) {
	defer func() {
		if p := recover(); p != nil {
			refused, fault = false, fmt.Sprintf("the WAF panicked (%T)", p)
		}
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://canary.invalid"+canaryAttack, nil)
	if err != nil {
		return false, err.Error()
	}
	r.RequestURI = canaryAttack
	r.Header.Set("User-Agent", "gatehouse-canary")
	r.Header.Set("Accept", "*/*")
	r = gatehouse.Probe(r, c.site)
	r = r.WithContext(context.WithValue(r.Context(), canaryKey{}, p))
	var inspection *Inspection
	err = c.handler.ServeHTTP(nobody{}, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		inspection, _ = gatehouse.FromContext(r.Context()).WAF.(*Inspection)
		return nil
	}))
	var v verdict.Verdict
	switch {
	case errors.As(err, &v) && v.Reason == verdict.WAFBlocked:
		return true, ""
	case err != nil:
		return false, "the attack was not judged: " + err.Error()
	case inspection == nil: // switched off
		return false, ""
	case inspection.outcome == Detected:
		return false, ""
	}
	return false, "the attack was let through"
}

// nobody is the client of a canary.
type nobody struct{}

func (nobody) Header() http.Header         { return http.Header{} }
func (nobody) Write(p []byte) (int, error) { return len(p), nil }
func (nobody) WriteHeader(int)             {}
