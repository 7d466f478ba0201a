package gatehouse

import "time"

// Payload is what the WAF's rules have matched in one request: people's data, which leaves the process sealed or not at all.
type Payload struct {
	RequestID string        `json:"request_id"`
	Time      time.Time     `json:"time"`
	Site      string        `json:"site"`
	Tenant    string        `json:"tenant,omitempty"`
	User      string        `json:"user,omitempty"` // provider:subject
	Rules     []int         `json:"rules"`
	Matched   []PayloadPart `json:"matched"`
}

// PayloadPart is one value that a rule matched.
type PayloadPart struct {
	Rule  int    `json:"rule"`
	In    string `json:"in"`            // such as ARGS or REQUEST_HEADERS
	Name  string `json:"name"`          // of the argument or header; "" where there is none
	Value string `json:"value"`         // its beginning
	Bytes int    `json:"bytes"`         // of all of it
	Held  string `json:"why,omitempty"` // why the value is left out
}

// PayloadKeeper is implemented by the room that seals payloads. Its methods are safe for concurrent use.
type PayloadKeeper interface {
	// KeepPayload takes a payload over. It does not wait for a disk: what comes faster than it can be sealed is dropped and
	// counted.
	KeepPayload(Payload)
}

// Payloads returns who keeps payloads; nil: nobody does, and none are to be made.
func (app *App) Payloads() PayloadKeeper {
	for _, room := range app.rooms {
		if k, ok := room.(PayloadKeeper); ok {
			return k
		}
	}
	return nil
}
