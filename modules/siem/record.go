package siem

import (
	"net/netip"
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
	tenant := s.tenant[t.Site]
	r := &format.Record{Clear: s.clear(tenant), Tenant: tenant, Node: s.node}
	said := *t
	if r.Clear {
		r.Client = addressOf(t.ClientIP)
	} else {
		n := s.namers[tenant]
		if n == nil {
			n = s.keys.Namer(tenant, s.epoch) // a site's tenant is known: this is an event of no site
		}
		r.ClientNet = pseudonym.Network(t.ClientIP)
		r.ClientKey = pseudonym.Veil{Namer: n, HidePaths: !s.paths}.Over(&said.Ended, s.hosts[t.Site])
	}
	write(r, &said)
	return r
}

// write says in the record what t does.
func write(r *format.Record, t *told) {
	r.ID, r.Time, r.Stream, r.Kind = t.ID.String(), t.Time.UTC(), string(t.Kind.Stream()), string(t.Kind)
	r.Site, r.RequestID, r.TraceID, r.Status, r.Bytes = t.Site, t.RequestID, t.TraceID, t.Status, t.Bytes
	r.Duration, r.WAF, r.Upstream = t.Duration, t.Ended.WAF, t.Upstream
	r.Reason, r.Grant, r.Policy, r.Detail = string(t.Reason), t.Grant, t.Policy, t.Detail
	r.Method, r.Proto, r.Host, r.Path, r.Agent = t.Method, t.Proto, t.Host, t.Path, t.Agent
	r.User, r.Session = t.User, t.Session
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
