package waf

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

// The collectors live as long as the process, so that a reload does not reset them.
var (
	inspections = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_inspections_total",
		Help: "Requests the WAF has seen, by site and outcome: passed, detected, refused, failed, open.",
	}, []string{"site", "outcome"})

	responses = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_responses_total",
		Help: "Answers the WAF has judged, by site, outcome (passed, detected, refused, failed), and why the body was not " +
			"read or not all of it (type, partial and others; empty: it was).",
	}, []string{"site", "outcome", "unread"})

	duration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gatehouse_waf_duration_seconds",
		Help:    "Time spent in the rules for one request, head, body and answer together, without waiting for them.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 4, 9), // 50 µs to 3.3 s
	}, []string{"site"})

	panicked = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "gatehouse_waf_panics_total",
		Help: "Requests during whose inspection the rules panicked. Each is a bug to report.",
	})

	failedOpen = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_failed_open_total",
		Help: "Requests that passed though they, or their answers, could not be judged: insecure_waf_fail_open.",
	}, []string{"site"})

	canaryGauge = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatehouse_waf_canary",
		Help: "1 if a known attack, sent through the site's WAF every five minutes, was refused; 0 if not, as in detect " +
			"mode or with the WAF off.",
	}, []string{"site"})

	ruleLoads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_rule_loads_total",
		Help: "Changes of a site's rule files that were taken up while running, by result: loaded, rejected.",
	}, []string{"site", "result"})

	shadowed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gatehouse_waf_shadow_total",
		Help: "Requests that shadow rules have judged, by site and result: would_refuse, would_pass, rules (other rules matched), " +
			"agreed; dropped: they came too fast to be judged.",
	}, []string{"site", "result"})

	heldBytes = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_body_bytes",
		Help: "Bytes of the body budget in use.",
	}, func() float64 { return float64(bodies.Used()) })

	budgetBytes = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_body_budget_bytes",
		Help: "The body budget (waf_budget).",
	}, func() float64 { return float64(bodies.size.Load()) })

	waitingNow = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_waiting",
		Help: "Requests that wait for a place to be inspected, being expensive.",
	}, func() float64 { return float64(bodies.bodies.Waiting() + bodies.heads.Waiting()) })

	openEngines = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_waf_engines",
		Help: "Compiled rule sets in memory.",
	}, func() float64 { return float64(open.Load()) })
)

var collectors = append(proverCollectors, failedOpen, shadowed, inspections, responses, canaryGauge, ruleLoads, duration, panicked, heldBytes, budgetBytes, waitingNow, openEngines)

// count records a finished inspection.
func count(site string, i *Inspection) {
	inspections.WithLabelValues(site, string(i.outcome)).Inc()
	countProof(site, &i.trial)
	duration.WithLabelValues(site).Observe(i.spent.Seconds())
	if i.panics {
		panicked.Inc()
	}
}

// countResponse records a judged answer.
func countResponse(site *gatehouse.Site, a answer) {
	if a.outcome == "" {
		return // there was none to judge
	}
	name := ""
	if site != nil {
		name = site.Name
	}
	responses.WithLabelValues(name, string(a.outcome), string(a.unread)).Inc()
}

// debug writes every rule that matched, and nothing of what it matched, for whoever has set this logger to DEBUG: the
// access log's waf_rules is bounded and leaves out what only sums up.
func (h *Handler) debug(req *gatehouse.Request, i *Inspection) {
	if h.logger == nil {
		return
	}
	if line := h.logger.Check(zap.DebugLevel, "rules matched"); line != nil {
		line.Write(zap.String("request_id", req.ID), zap.Ints("rules", slices.Concat(i.found.Logged, i.answer.found.Logged)))
	}
}

// note puts into log and metrics what was found, and never what it was found in.
func note(req *gatehouse.Request, i *Inspection, route string) {
	if req.Probe() {
		return
	}
	count(siteName(req), i)
	req.Inspected = i.spent
	if len(i.found.Rules) > 0 {
		req.Note("waf_score", strconv.Itoa(i.found.Score))
		req.Note("waf_rules", i.found.RuleList())
		req.Note("waf_message", i.found.Message)
		req.Note("waf_matched", FormatMatches(i.found.Matches))
	}
	if i.outcome == Detected || (i.outcome == Failed && !i.decided.Given()) {
		req.Note("waf_mode", string(Detect)) // it would have been refused
	}
	if i.skipped != "" {
		req.Note("waf_skipped", i.skipped)
	}
	if route != "" && (len(i.found.Rules) > 0 || i.skipped != "") {
		req.Note("waf_route", route)
	}
}

// noteOff says that nobody looked at the request, because the route is switched off.
func noteOff(req *gatehouse.Request, route string) {
	req.Note("waf_skipped", "insecure_waf_off")
	req.Note("waf_route", route)
}

// siteName is the name of the request's site; "" without one.
func siteName(req *gatehouse.Request) string {
	if req.Site == nil {
		return ""
	}
	return req.Site.Name
}

// remember has the house remember a request in which anything was found, for explain.
func (h *Handler) remember(r *http.Request, req *gatehouse.Request, i *Inspection) {
	dull := func(o Outcome) bool { return o == "" || o == Open || o == Passed }
	if h.house == nil || req.Probe() || dull(i.outcome) && dull(i.answer.outcome) && len(i.found.Rules)+len(i.answer.found.Rules) == 0 {
		return
	}
	seen, err := recentOf(h.house)
	if err != nil {
		return // it closes
	}
	l := LogLine{
		RequestID: req.ID, Site: siteName(req), Method: event.Clip(r.Method, 32), Path: event.Clip(req.Path.Decoded, 1024), User: req.Identity.Name(),
		Session: req.Identity.Session(), ClientIP: req.ClientIP.String(), Grant: req.Grant.Rule(),
	}
	if v, given := req.Verdict(); given {
		l.Status, l.Reason, l.Detail = v.Reason.Status(), string(v.Reason), v.Detail
	}
	for _, a := range req.Notes() {
		l.note(a.Key, a.Value)
	}
	seen.Add(l)
}

// keepPayload hands over what matched, to be sealed. What proved who makes the request is left out: it is as good as a login.
func (h *Handler) keepPayload(req *gatehouse.Request, i *Inspection) {
	if len(i.taken) == 0 {
		return
	}
	p := gatehouse.Payload{RequestID: req.ID, Time: time.Now().UTC(), Site: siteName(req), User: req.Identity.Name()}
	if req.Site != nil {
		p.Tenant = req.Site.Tenant
	}
	for _, t := range i.taken {
		part := gatehouse.PayloadPart{Rule: t.Rule, In: t.In, Name: t.Name, Value: t.Value, Bytes: t.Bytes}
		if req.Identity.Known() && t.In == "REQUEST_HEADERS" && strings.EqualFold(t.Name, "authorization") {
			part.Value, part.Held = "", "it proved who makes the request"
		}
		if !slices.Contains(p.Rules, t.Rule) {
			p.Rules = append(p.Rules, t.Rule)
		}
		p.Matched = append(p.Matched, part)
	}
	h.payloads.KeepPayload(p)
}

// tellDetected says what detect mode has let pass.
func (h *Handler) tellDetected(r *http.Request, req *gatehouse.Request, i *Inspection) {
	if req.Probe() || i.outcome != Detected && i.answer.outcome != Detected {
		return
	}
	e := req.Event(event.WAFDetected)
	e.Method, e.Path, e.Attrs = event.Clip(r.Method, 32), event.Clip(req.Path.Decoded, 1024), req.Notes()
	if rule := req.Grant.Rule(); rule != "" {
		e.Attrs = append(slices.Clone(e.Attrs), event.Attr{Key: "grant", Value: rule})
	}
	h.publish(e)
}

// tellFailure says that a request passed, or an answer, which nobody could judge.
func (h *Handler) tellFailure(req *gatehouse.Request, i *Inspection) {
	if i.failure == "" || req.Probe() {
		return
	}
	failedOpen.WithLabelValues(siteName(req)).Inc()
	req.Note("waf_failed_open", i.failure)
	if h.logger != nil {
		h.logger.Warn("insecure_waf_fail_open: a request passed that could not be judged", zap.String("request_id", req.ID),
			zap.String("site", siteName(req)), zap.String("why", i.failure))
	}
	e := req.Event(event.WAFFailedOpen)
	e.Path, e.Detail = req.Path.Decoded, i.failure
	h.publish(e)
}

// noteResponse is note for the way back.
func noteResponse(req *gatehouse.Request, i *Inspection) {
	a := i.answer
	countResponse(req.Site, a)
	if len(a.found.Rules) > 0 {
		req.Note("waf_response_score", strconv.Itoa(a.found.Score))
		req.Note("waf_response_rules", a.found.RuleList())
		req.Note("waf_response_message", a.found.Message)
	}
	if a.outcome == Detected || a.outcome == Failed && i.engine.cfg.Mode == Detect {
		req.Note("waf_response_mode", string(Detect)) // it would have been withheld
	}
	if a.unread != "" && a.unread != unreadBodiless && a.unread != unreadType {
		req.Note("waf_response", string(a.unread)) // the others are what every image is
	}
}

// tellDistrust says that the prover of an engine panicked while it looked at the request, and is not asked any more.
func (h *Handler) tellDistrust(req *gatehouse.Request, engine *Engine) {
	p := engine.innocence
	if p == nil {
		return
	}
	if f := p.off.Load(); f != nil && !f.mistake && p.told.CompareAndSwap(false, true) {
		h.tellOff(req.Event(event.WAFProverOff), f.why)
	}
}

// tellMistake keeps what a prover was wrong about, sealed, and says that it is not asked any more.
func (h *Handler) tellMistake(m Mistake) {
	why := m.Why
	switch name, err := h.keepMistake(m); {
	case err != nil:
		why += "; the request could not be kept: " + err.Error()
	case name != "":
		why += "; the request is kept, sealed: gatehouse waf mistake show " + name
	}
	h.tellOff(event.Event{Time: m.Time, Kind: event.WAFProverOff, RequestID: m.RequestID, Site: m.Site}, why)
}

// keepMistake puts m into the state directory; name is "" without a house.
func (h *Handler) keepMistake(m Mistake) (name string, err error) {
	if h.house == nil {
		return "", nil
	}
	state, err := h.house.State()
	if err != nil {
		return "", err
	}
	return m.Keep(h.house.Dir(), state.Keys)
}

// tellOff is the shout.
func (h *Handler) tellOff(e event.Event, why string) {
	if h.logger != nil {
		h.logger.Error("the WAF's prover was wrong and is off: all rules judge every request, which costs more; please report this",
			zap.String("site", e.Site), zap.String("request_id", e.RequestID), zap.String("why", why))
	}
	e.Detail = why
	h.publish(e)
}

// publish tells the house's bus.
func (h *Handler) publish(e event.Event) {
	if h.house == nil {
		return
	}
	if state, err := h.house.State(); err == nil {
		state.Bus.Publish(e)
	}
}

// digest is the keyed hash of a matched value: equal values have equal digests, and without the house's keys nobody can
// tell which value it was, short ones included. "" when there is no house, or its keys cannot be had.
func (h *Handler) digest(value string) string {
	if h.house == nil {
		return ""
	}
	state, err := h.house.State()
	if err != nil {
		return ""
	}
	return hex.EncodeToString(state.Keys.MAC("waf.matched", []byte(value))[:digestBytes])
}
