package ratelimit

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/reqpath"
)

// Per says whom a limit counts together.
type Per string

// The keys.
const (
	PerClient  Per = "client"  // the network: an IPv4 address, an IPv6 /64 and what is around it
	PerUser    Per = "user"    // the proven user, on all devices
	PerSession Per = "session" // the session or other credential
	PerTenant  Per = "tenant"  // everybody of the tenant whose user or program was proven
	PerKey     Per = "key"     // the gateway's own API key
	PerHeader  Per = "header"  // the value of a request header, such as an application's own key
)

const (
	maxRate  = 100_000
	maxBurst = 1_000_000
)

// Rule is a limit as an operator writes it.
type Rule struct {
	// How often: 50r/s, 300r/m, 1000r/h.
	Rate string `json:"rate"`
	// How many at once, after a pause. Default: the number in the rate.
	Burst int `json:"burst,omitempty"`
	// Whom it counts together: client, user, session, tenant, key or header. Default: client.
	Per Per `json:"per,omitempty"`
	// The header, for per header.
	Header string `json:"header,omitempty"`
	// The paths that it counts, in any spelling a server may accept. Default: all.
	Paths []reqpath.Pattern `json:"paths,omitempty"`

	limit Limit
	name  string // in the RateLimit fields
	login bool   // it is the default for the gateway's own pages
}

var units = map[string]time.Duration{"r/s": time.Second, "r/m": time.Minute, "r/h": time.Hour}

// compile checks the rule and makes it ready.
func (r *Rule) compile() error {
	n, per, err := parseRate(r.Rate)
	if err != nil {
		return err
	}
	if r.Burst == 0 {
		r.Burst = n
	}
	if r.Burst < 0 || r.Burst > maxBurst {
		return fmt.Errorf("burst %d: want 1 to %d", r.Burst, maxBurst)
	}
	if r.Per == "" {
		r.Per = PerClient
	}
	switch r.Per {
	case PerClient, PerUser, PerSession, PerTenant, PerKey:
		if r.Header != "" {
			return errors.New("a header is named, but not counted by: write `per header <name>`")
		}
	case PerHeader:
		if !headerName(r.Header) {
			return fmt.Errorf("per header: %q is no header's name", r.Header)
		}
		r.Header = http.CanonicalHeaderKey(r.Header)
	default:
		return fmt.Errorf("per %q: want client, user, session, tenant, key or header <name>", r.Per)
	}
	r.limit = NewLimit(n, per, r.Burst)
	return nil
}

// headerName reports whether the text is a token (RFC 9110 5.6.2).
func headerName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

func parseRate(text string) (n int, per time.Duration, err error) {
	for suffix, unit := range units {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			if n, err := strconv.Atoi(number); err == nil && n > 0 && n <= maxRate {
				return n, unit, nil
			}
		}
	}
	return 0, 0, fmt.Errorf("%q is no rate: write a number of requests from 1 to %d by second, minute or hour, such as 50r/s, 300r/m or 1000r/h", text, maxRate)
}

// early reports whether the rule can be judged before it is known who asks.
func (r *Rule) early() bool { return r.Per == PerClient || r.Per == PerHeader }

// counts reports whether a request of this path falls under the rule. It restricts, so any reading of the path does.
func (r *Rule) counts(path reqpath.Path) bool {
	if r.login && backchannel(path.Decoded) {
		return false
	}
	for _, p := range r.Paths {
		if p.MatchFolded(path) {
			return true
		}
	}
	return len(r.Paths) == 0
}

// backchannel reports whether the path is one at which identity providers end sessions. They may have many to end at
// once, from one address, and a session that is not ended is worse than a request.
func backchannel(path string) bool {
	return strings.HasPrefix(path, portal+"login/") && strings.HasSuffix(path, "/backchannel-logout")
}

// portal is where the gateway's own pages are.
const portal = "/.gatehouse/"

// loginRule is the limit of the gateway's own pages, unless the operator has written one for all of them.
func loginRule() Rule {
	all, err := reqpath.ParsePattern(portal + "*")
	if err != nil {
		panic(err) // a constant
	}
	return Rule{Rate: "10r/s", Burst: 100, Per: PerClient, Paths: []reqpath.Pattern{all}, login: true}
}

// coversLogin reports whether the operator has said how often a client may ask for the gateway's own pages. The rule need
// not be compiled: one that says nothing of whom it counts counts clients.
func (r *Rule) coversLogin() bool {
	for _, p := range r.Paths {
		if cmp.Or(r.Per, PerClient) == PerClient && p.String() == portal+"*" {
			return true
		}
	}
	return false
}
