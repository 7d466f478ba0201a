// Package flood tells HTTP/2 clients that keep a server busy from those that use what they ask for.
//
// Some frames cost a server work and their sender nothing: SETTINGS and PING must be answered, PRIORITY and WINDOW_UPDATE
// looked at, a stream that is reset has been begun, an empty DATA frame carries nothing (CVE-2019-9512 to 9518,
// CVE-2023-44487). Clients need some of them; how many depends on what they get and send. So each such frame takes from a
// bucket, and what is useful, time and streams, puts back; and what only a receiver has reason for, WINDOW_UPDATE and PING, is
// paid for by bytes that the server has sent as long as there are any. An empty bucket is a flood.
//
// It knows nothing of Caddy or net/http: it is shown the bytes. It reads nine bytes of each frame and keeps none.
package flood

import (
	"encoding/binary"
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

// cost is what a frame takes. DATA is free unless it is empty; an answer to SETTINGS is dear, an opened stream that is
// reset at once costs more than opening it gives.
var cost = [...]int64{data: 1, headers: 0, priority: 1, rstStream: 3, settings: 10, pushPromise: 10, ping: 2, goAway: 1,
	windowUpdate: 1, continuation: 1}

// Meter watches one connection, from its first byte after the handshake. Make one with New. See is called by who reads, one
// call at a time, Wrote by who writes, at any time.
type Meter struct {
	now     func() time.Time
	tokens  int64
	filled  time.Time
	bytes   int64        // of the server's, for which nothing was sent yet
	written atomic.Int64 // and what has not been added to them

	skip  uint32         // bytes of the preface or of a payload until the next frame
	frame [head + 1]byte // with the length of its padding
	got   int
	worst byte // the type of frame that emptied the bucket
}

// New watches a connection that begins now.
func New(now func() time.Time) *Meter {
	return &Meter{now: now, tokens: full, filled: now(), skip: preface}
}

// Wrote counts what the server has sent.
func (m *Meter) Wrote(n int) { m.written.Add(int64(n)) }

// See looks at what the client has sent and reports whether it is one frame too many. Afterwards the Meter must not be used
// but for Frame.
func (m *Meter) See(p []byte) (flooded bool) {
	for len(p) > 0 {
		if m.skip > 0 {
			n := min(m.skip, uint32(len(p)))
			m.skip, p = m.skip-n, p[n:]
			continue
		}
		if m.got < head {
			n := copy(m.frame[m.got:head], p)
			m.got, p = m.got+n, p[n:]
			if m.got < head {
				return false
			}
		}
		length := binary.BigEndian.Uint32(m.frame[:4]) >> 8
		if m.frame[3] == data && m.frame[4]&padded != 0 && length > 0 { // how much is padding says the first byte
			if len(p) == 0 {
				return false
			}
			m.frame[head], p = p[0], p[1:]
			m.skip = length - 1
			length -= min(length, 1+uint32(m.frame[head]))
		} else {
			m.skip = length
		}
		m.got = 0
		if m.spend(m.frame[3], length, m.frame[4]) {
			return true
		}
	}
	return false
}

// spend takes what a frame costs; length is that of its payload without padding.
func (m *Meter) spend(kind byte, length uint32, flags byte) (flooded bool) {
	c := int64(1)
	if int(kind) < len(cost) {
		c = cost[kind]
	}
	switch {
	case kind == headers:
		m.tokens = min(full, m.tokens+perStream)
		return false
	case kind == data && (length > 0 || flags&endStream != 0):
		return false
	}
	if kind == windowUpdate || kind == ping {
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
	m.refill()
	m.worst = kind
	return m.tokens < 0
}

// refill puts back what time is worth. It is asked for only when the bucket is empty, so that
// nobody else reads a clock; what it puts back is the same.
func (m *Meter) refill() {
	now := m.now()
	if d := now.Sub(m.filled); d > 0 {
		n := int64(min(d, time.Hour) * perSecond / time.Second)
		m.tokens += n
		m.filled = m.filled.Add(time.Duration(n) * time.Second / perSecond)
		if d > time.Hour {
			m.filled = now
		}
	}
	m.tokens = min(m.tokens, full)
}

// Frame names the type of frame of which there were too many.
func (m *Meter) Frame() string {
	if int(m.worst) < len(names) {
		return names[m.worst]
	}
	return "unknown"
}
