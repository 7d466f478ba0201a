package event

import "time"

// Ended is what is known of a request when it has ended: an Event, whose Kind is zero, and more.
type Ended struct {
	Event
	TraceID string // W3C Trace Context
	Host    string
	Proto   string
	Agent   string // the client's own word for itself
	Grant   string // the rule that let it in
	Policy  string // version of the site's configuration
	Bytes   int64  // of the answer's body

	Duration time.Duration
	WAF      time.Duration // of which in the WAF
	Upstream time.Duration // of which until the application's answer began
}
