package siem

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/pseudonym"
	"gatehouse.internal/modules/internal/verdict"
	"gatehouse.internal/modules/siem/format"
)

// scribe makes records of what happened. It is immutable, but for what it has been told of keys, and safe for concurrent use.
type scribe struct {
	node   string
	tenant map[string]string   // by site
	hosts  map[string][]string // by site
	namers map[string]*pseudonym.Namer
	clear  func(tenant string) bool
	paths  bool // of pseudonymous records, whether words of paths are told
	keys   *pseudonym.Keys
	epoch  time.Duration
}

// told is one thing that happened, as it is handed over: an event, or a request that has ended.
type told struct {
	event.Ended
	request bool
}

// record is what collectors are told of t.
func (s *scribe) record(t *told) *format.Record {
	r := &format.Record{
		ID: t.ID.String(), Time: t.Time.UTC(), Stream: string(t.Kind.Stream()), Kind: string(t.Kind), Node: s.node, Site: t.Site,
		Tenant: s.tenant[t.Site], RequestID: t.RequestID, TraceID: t.TraceID, Status: t.Status, Bytes: t.Bytes,
		Duration: t.Duration, WAF: t.WAF, Upstream: t.Upstream, Reason: string(t.Reason), Grant: t.Grant, Policy: t.Policy,
		Method: t.Method, Proto: t.Proto, Host: t.Host, Path: t.Path, Agent: t.Agent, Detail: t.Detail, User: t.User, Session: t.Session,
	}
	if t.request {
		r.ID, r.Kind, r.Stream = t.RequestID, "request", string(event.Access)
		if t.Reason == verdict.WAFBlocked || t.Reason == verdict.ResponseBlocked {
			r.Stream = string(event.WAF)
		}
	}
	for _, a := range t.Attrs {
		switch a.Key {
		case "waf_rules", "waf_response_rules":
			r.Rules = append(r.Rules, numbers(a.Value)...)
		case "waf_score", "waf_response_score":
			n, _ := strconv.Atoi(a.Value)
			r.Score = max(r.Score, n)
		case "grant":
			r.Grant = a.Value
		default:
			r.Attrs = append(r.Attrs, format.Attr(a))
		}
	}
	if s.clear(r.Tenant) {
		r.Clear, r.Client = true, addressOf(t.ClientIP)
		return r
	}
	s.veil(r, t)
	return r
}

// veil replaces what names people. Only what is known to be nobody's in particular stays.
func (s *scribe) veil(r *format.Record, t *told) {
	n := s.namers[r.Tenant]
	if n == nil {
		n = s.keys.Namer(r.Tenant, s.epoch) // a site's tenant is known: this is an event of no site
	}
	known := []string{t.User, addressOf(t.ClientIP)}
	if i := strings.LastIndexByte(t.User, ':'); i >= 0 {
		known = append(known, t.User[i+1:])
	}
	if local, _, ok := strings.Cut(t.User, "@"); ok {
		known = append(known, local)
	}
	r.ClientNet, r.ClientKey = pseudonym.Network(t.ClientIP), n.Address(t.ClientIP, t.Time)
	r.User, r.Session = n.User(t.User, t.Time), n.Session(t.Session, t.Time)
	r.Agent, r.Grant = pseudonym.Agent(t.Agent), n.Text(t.Grant, t.Time, known...)
	if strings.HasPrefix(string(t.Kind), "user.") { // it may say what somebody is called now
		r.Detail = n.Value(t.Detail, t.Time)
	} else {
		r.Detail = n.Text(t.Detail, t.Time, known...)
	}
	if s.paths {
		r.Path = n.Path(t.Path, t.Time, known...)
	} else {
		r.Path = n.Value(t.Path, t.Time)
	}
	if t.Host != "" && !slices.Contains(s.hosts[t.Site], hostname(t.Host)) {
		r.Host = n.Value(t.Host, t.Time)
	}
	if !isMethod(t.Method) {
		r.Method = n.Value(t.Method, t.Time)
	}
	for i, a := range r.Attrs {
		r.Attrs[i].Value = s.veiled(n, a, t.Time, known)
	}
}

// impersonal are the attributes whose values come from us and name nobody.
var impersonal = []string{
	"waf_skipped", "waf_route", "waf_mode", "waf_response", "waf_response_mode", "factor", "factor_failed", "factor_at", "body_sha256", "left",
	"action", "limit", "form_kept", "sensitive", "outcome", "login_failed", "credential", "provider", "jail", "until", "count", "number",
	"voided", "roles", "sink", "alert", "class", "severity", "subject", "since", "receiver", "seconds", "house", "pseudonym",
}

// veiled is an attribute's value as it may be told.
func (s *scribe) veiled(n *pseudonym.Namer, a format.Attr, at time.Time, known []string) string {
	switch {
	case slices.Contains(impersonal, a.Key), strings.HasPrefix(a.Key, "site "):
		return a.Value
	case slices.Contains([]string{"attempted_user", "login", "operator", "peer", "by", "user", "owner", "break_glass"}, a.Key):
		return n.User(a.Value, at)
	case a.Key == "other_session":
		return n.Session(a.Value, at)
	case a.Key == "network", a.Key == "other_network":
		if p, err := netip.ParsePrefix(a.Value); err == nil {
			if wide := pseudonym.Network(p.Addr()); wide.Bits() < p.Bits() {
				p = wide
			}
			return p.Masked().String()
		}
	}
	return n.Text(a.Value, at, known...)
}

// numbers reads rule ids, whatever stands between them.
func numbers(s string) (ids []int) {
	for _, f := range strings.FieldsFunc(s, func(c rune) bool { return c < '0' || c > '9' }) {
		if n, err := strconv.Atoi(f); err == nil {
			ids = append(ids, n)
		}
	}
	return ids
}

func addressOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// hostname is the name in a Host field, without the port.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.ToLower(host)
}

func isMethod(m string) bool {
	return slices.Contains([]string{"", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"}, m)
}
