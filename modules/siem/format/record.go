package format

import (
	"net/netip"
	"time"
)

// Record is one thing that happened. Fields that do not apply are zero.
type Record struct {
	ID     string    // unique: receivers know by it what they were told twice
	Time   time.Time // UTC
	Stream string    // "access", "waf", "audit" or "system"
	Kind   string    // of event, as in package event: "request.refused", "login.failed"; "request" for a request that is over
	Node   string    // the gateway's name
	Tenant string
	Site   string

	RequestID string
	TraceID   string // W3C Trace Context, 32 hexadecimal digits

	// Clear is whether Client, User, Session, Path, Agent and texts are what they were. Otherwise Client is "", ClientNet
	// has at most 24 bits (48 with IPv6), and the others hold pseudonyms and what is nobody's in particular.
	Clear     bool
	Client    string       // the address, if Clear
	ClientNet netip.Prefix // the network that is told instead; with Clear, the address alone
	ClientKey string       // the address's pseudonym; "" if Clear
	User      string       // its name, or its pseudonym
	Session   string       // the session's log name, or its pseudonym; never the cookie

	Method string
	Host   string
	Path   string // never with a query
	Proto  string // "HTTP/2.0"
	Status int
	Bytes  int64 // of the answer's body
	Agent  string

	Duration time.Duration // from the first byte to the last
	WAF      time.Duration // of which in the WAF
	Upstream time.Duration // of which until the application's answer began

	Reason string // why it was refused, from the closed list of package verdict; "" when it was not
	Detail string // for operators
	Rules  []int  // the WAF's, by id
	Score  int    // the WAF's
	Grant  string // the rule that let it in
	Policy string // version of the site's configuration

	Attrs []Attr // further facts, in order; keys are [a-z_ ]
}

// Attr is one further fact.
type Attr struct{ Key, Value string }

// Encoder appends one record in its form to b, without a line break at the end. A record lies on one line in every form
// but those whose documentation says otherwise.
type Encoder func(b []byte, r *Record) []byte
