// Package flood tells HTTP/2 clients that keep a server busy from those that use what they ask for.
//
// Some frames cost a server work and their sender nothing: SETTINGS and PING must be answered, PRIORITY and WINDOW_UPDATE
// looked at, an empty DATA frame carries nothing, a header block goes on in CONTINUATION frames (CVE-2019-9512 to 9518,
// CVE-2023-45288). Clients need some of them; how many depends on what they get and send. So each such frame takes from a
// bucket, and what is useful, time and streams, puts back; and what only a receiver has reason for, WINDOW_UPDATE and PING, is
// paid for by bytes that the server has sent as long as there are any. An empty bucket is a flood.
//
// A stream that is reset has cost the server a whole request (CVE-2023-44487), so that resets have a bucket of their own, and it
// is the same who resets: a client can have the server do it, by frames that the stream does not allow (CVE-2025-8671). Whoever
// navigates away resets all that was under way, so that a bucket holds a few pages' worth; it is the share of streams that are
// reset that counts in the long run, and a flood's is all of them.
//
// It knows nothing of Caddy or net/http: it is shown the bytes, of both directions. It reads nine bytes of each frame and
// keeps none.
package flood

import (
	"sync/atomic"
	"time"
)

// The bucket, in units of the cheapest frame. A browser's whole visit costs a few dozen; a flood sends that in a millisecond.
const (
	full      = 2000 // what a connection begins with, and never has more of
	perSecond = 100
	perStream = 1 // for each HEADERS frame

	// perFrame is for how many bytes of the server's a receiver may send a WINDOW_UPDATE, and for twice as many a PING:
	// programs measure the line with a PING for each message that they get (gRPC). The answer to a PING has 17.
	perFrame = 32
	maxBytes = 128 << 20 // that are remembered: receivers tell late what they have read
)

// The bucket for streams that are reset. A connection that resets every stream at once ends with the 200th. One on which half
// of the streams come to their end may reset the other half for ever, or 300 in a burst.
const (
	resetsFirst = 200 // what a connection begins with
	resetsMost  = 600 // what it can have
	perReset    = 2
	perOpened   = 1
	perWhile    = 100 // a second: 50 resets, which are few as plain requests, too
)

// The types of frames (RFC 9113, section 6).
const (
	data = iota
	headers
	priority
	rstStream
	settings
	pushPromise
	ping
	goAway
	windowUpdate
	continuation
)

var names = [...]string{"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
	"WINDOW_UPDATE", "CONTINUATION"}

const (
	endStream = 0x1
	padded    = 0x8
	preface   = 24 // bytes: "PRI * HTTP/2.0…"
	head      = 9
)

// cost is what a frame takes. DATA is free unless it is empty; an answer to SETTINGS is dear. A header block of 16 KiB, which
// is all that there may be, fits into two frames.
var cost = [...]int64{data: 1, headers: 0, priority: 1, rstStream: 0, settings: 10, pushPromise: 10, ping: 2, goAway: 1,
	windowUpdate: 1, continuation: 20}

// Meter watches one connection, from its first byte after the handshake. Make one with New. See is called by who reads, one
// call at a time, Wrote by who writes, one call at a time and beside See.
type Meter struct {
	now    func() time.Time
	tokens int64
	filled time.Time
	resets int64 // tokens of the bucket for resets
	rested time.Time
	newest uint32 // the stream that was opened last
	bytes  int64  // of the server's, for which nothing was sent yet
	in     frames
	out    frames // used by who writes

	written atomic.Int64 // bytes that have not been added to those above
	forced  atomic.Int64 // streams that the server reset because of what the client sent, and that were not charged for yet

	worst byte // the type of frame that emptied a bucket
}

// New watches a connection that begins now.
func New(now func() time.Time) *Meter {
	began := now()
	return &Meter{now: now, tokens: full, filled: began, resets: resetsFirst, rested: began, in: frames{skip: preface}}
}

// Wrote looks at what the server has sent.
func (m *Meter) Wrote(p []byte) {
	m.written.Add(int64(len(p)))
	for rest, ok := m.out.next(p); ok; rest, ok = m.out.next(rest) {
		if m.out.kind == rstStream && clientsFault(m.out.code) {
			m.forced.Add(1)
		}
	}
}

// clientsFault reports whether a server resets a stream with this code because of what its client sent (RFC 9113, section 7).
func clientsFault(code uint32) bool {
	switch code {
	case 0x1, 0x3, 0x5, 0x6: // PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR
		return true
	}
	return false
}

// See looks at what the client has sent and reports whether it is one frame too many. Afterwards the Meter must not be used
// but for Frame.
func (m *Meter) See(p []byte) (flooded bool) {
	for rest, ok := m.in.next(p); ok; rest, ok = m.in.next(rest) {
		if m.spend(&m.in.frame) {
			return true
		}
	}
	return false
}

// spend takes what a frame costs.
func (m *Meter) spend(f *frame) (flooded bool) {
	if n := m.forced.Load(); n > 0 {
		m.forced.Add(-n)
		if m.reset(n) {
			m.worst = f.kind
			return true
		}
	}
	c := int64(1)
	if int(f.kind) < len(cost) {
		c = cost[f.kind]
	}
	switch {
	case f.kind == headers:
		if f.stream > m.newest { // no trailers
			m.newest = f.stream
			m.resets = min(resetsMost, m.resets+perOpened)
			m.tokens = min(full, m.tokens+perStream)
		}
		return false
	case f.kind == rstStream:
		m.worst = f.kind
		return m.reset(1)
	case f.kind == data && (f.length > 0 || f.flags&endStream != 0):
		return false
	}
	if f.kind == windowUpdate || f.kind == ping {
		if m.bytes < c*perFrame {
			m.bytes = min(m.bytes+m.written.Swap(0), maxBytes)
		}
		if m.bytes >= c*perFrame {
			m.bytes -= c * perFrame
			return false
		}
	}
	if m.tokens -= c; m.tokens >= 0 {
		return false
	}
	m.tokens = min(m.tokens+m.since(&m.filled, perSecond), full)
	m.worst = f.kind
	return m.tokens < 0
}

// reset takes what n streams cost that have been reset.
func (m *Meter) reset(n int64) (flooded bool) {
	if m.resets -= n * perReset; m.resets >= 0 {
		return false
	}
	m.resets = min(m.resets+m.since(&m.rested, perWhile), resetsMost)
	return m.resets < 0
}

// since returns what the time since then is worth, and moves then. It is asked for only when a bucket is empty, so that
// nobody else reads a clock; what is put back is the same.
func (m *Meter) since(then *time.Time, perSecond time.Duration) int64 {
	now := m.now()
	d := now.Sub(*then)
	if d <= 0 {
		return 0
	}
	n := min(d, time.Hour) * perSecond / time.Second
	*then = then.Add(n * time.Second / perSecond)
	if d > time.Hour {
		*then = now
	}
	return int64(n)
}

// Frame names the type of frame of which there were too many.
func (m *Meter) Frame() string {
	if int(m.worst) < len(names) {
		return names[m.worst]
	}
	return "unknown"
}
