package authz

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxDifferences = 4096 // of people and routes, that are told apart
	maxExample     = 256  // bytes of a path
)

// shadow is a candidate policy, judged beside the one in force: nothing that it says is done. It is safe for concurrent use.
type shadow struct {
	policy *program
	judged atomic.Uint64

	mu    sync.Mutex
	found map[differenceKey]*Difference // guarded by mu
	more  uint64                        // guarded by mu; differences that found no room
}

// differenceKey is what differences are counted by.
type differenceKey struct {
	user, part string
	now, then  Outcome
}

// Difference is what would become of some of a person's requests to a route, if the candidate were in force.
type Difference struct {
	User     string    `json:"user,omitempty"` // provider:subject; "": nobody
	Route    string    `json:"route"`          // the candidate's, in which the path is
	Now      Outcome   `json:"now"`
	NowRule  string    `json:"now_rule"`
	Then     Outcome   `json:"then"`
	ThenRule string    `json:"then_rule"`
	Count    uint64    `json:"count"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Request  string    `json:"request_id"` // the last of them,
	Method   string    `json:"method"`
	Path     string    `json:"path"`
}

func newShadow(p *program) *shadow {
	return &shadow{policy: p, found: map[differenceKey]*Difference{}}
}

// compare judges the query by the candidate, notes when that is not what was decided, and says what it would be.
func (s *shadow) compare(q *Query, live *Decision, request string) (then Decision, differs bool) {
	s.judged.Add(1)
	then = s.policy.decide(q)
	now, would := live.Outcome(), then.Outcome()
	if now == would {
		return then, false
	}
	key := differenceKey{q.Who.Name(), then.Part, now, would}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.found[key]
	if d == nil {
		if len(s.found) >= maxDifferences {
			s.more++
			return then, true
		}
		d = &Difference{User: key.user, Route: key.part, Now: now, Then: would, First: q.Now.UTC()}
		s.found[key] = d
	}
	d.Count, d.Last = d.Count+1, q.Now.UTC()
	d.NowRule, d.ThenRule, d.Request, d.Method = live.Rule, then.Rule, request, clipped(q.Method, 32)
	d.Path = clipped(q.Path.Decoded, maxExample)
	return then, true
}

func clipped(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most]
}

// ShadowReport is what a candidate policy would have done otherwise, since the configuration was loaded.
type ShadowReport struct {
	Site        string       `json:"site"`
	Judged      uint64       `json:"judged"`      // requests
	Differences []Difference `json:"differences"` // the most frequent first
	More        uint64       `json:"more"`        // requests that differ and are not in the list
}

func (s *shadow) report(site string) ShadowReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := ShadowReport{Site: site, Judged: s.judged.Load(), Differences: make([]Difference, 0, len(s.found)), More: s.more}
	for _, d := range s.found {
		r.Differences = append(r.Differences, *d)
	}
	slices.SortFunc(r.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.User, b.User), cmp.Compare(a.Route, b.Route), cmp.Compare(a.Then, b.Then))
	})
	return r
}

// judgedBy is what the log says of a request that the candidate would have treated otherwise.
func judgedBy(then *Decision) string { return string(then.Outcome()) + " by " + then.Rule }
