package waf

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// A shadow judges a share of a site's requests once more, by other rules, beside the request path: what would a higher
// paranoia level have blocked, and whom; what would a changed rule directory decide. It enforces nothing and can delay
// nothing: copies wait in a bounded queue, one goroutine works it off, and what does not fit is dropped and counted.

const (
	shadowQueue = 64       // copies waiting
	shadowBody  = 64 << 10 // larger bodies are not copied: the request is left out
	// shadowRest is how long a shadow rests for each time it worked: it takes a fifth of one core at the most.
	shadowRest = 4
)

// Difference is a request on which live rules and shadow rules disagree. Like the findings, it holds nothing of what
// was matched.
type Difference struct {
	RequestID, Site, Method, Path, ClientIP, User string
	Live, Shadow                                  Findings
}

// Agrees reports whether both have found the same.
func (d Difference) Agrees() bool {
	return d.Shadow.Blocking == d.Live.Blocking && slices.Equal(d.Shadow.Rules, d.Live.Rules)
}

// Worse reports whether the shadow would have refused what the live rules let pass.
func (d Difference) Worse() bool { return d.Shadow.Blocking && !d.Live.Blocking }

// Shadow is one site's. It is safe for concurrent use.
type Shadow struct {
	engine  *Engine
	share   float64 // of requests, 0 to 1
	queue   chan *Copy
	dropped atomic.Uint64
	judged  atomic.Uint64
	digest  func(string) string // of matched values; nil: none
}

// NewShadow judges the share of requests by engine, which must be in detect mode, once Run runs.
func NewShadow(engine *Engine, share float64) *Shadow {
	return &Shadow{engine: engine, share: share, queue: make(chan *Copy, shadowQueue)}
}

// Copy is what a shadow keeps of a request while it goes its way.
type Copy struct {
	request    *http.Request
	client     netip.Addr
	body       []byte
	engine     *Engine  // what judges it; nil: the shadow's own
	connection []string // the client's own header
	tooBig     bool
	diff       Difference
}

// Take copies the head of a request, before any room changes it, if chance says so; otherwise it returns nil.
func (s *Shadow) Take(r *http.Request, client netip.Addr) *Copy {
	if s == nil || rand.Float64() >= s.share {
		return nil
	}
	clone := &http.Request{
		Method: r.Method, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor, Header: r.Header.Clone(),
		Host: r.Host, RequestURI: r.RequestURI, RemoteAddr: r.RemoteAddr, Body: http.NoBody,
		ContentLength: r.ContentLength, TransferEncoding: slices.Clone(r.TransferEncoding),
	}
	target := *r.URL
	clone.URL = &target
	return &Copy{request: clone, client: client}
}

// Body gives the copy the body that was read; a nil copy takes nothing.
func (c *Copy) Body(data []byte) {
	if c == nil {
		return
	}
	if c.tooBig = len(data) > shadowBody; !c.tooBig {
		c.body = data                            // never written again, see replay
		c.request.Header.Del("Content-Encoding") // it is unpacked
	}
}

// Offer hands over the copy of a request that the live rules have judged. A nil copy is nothing.
func (s *Shadow) Offer(c *Copy, diff Difference) {
	if s == nil || c == nil || c.tooBig {
		return
	}
	c.diff = diff
	select {
	case s.queue <- c:
	default:
		s.dropped.Add(1)
	}
}

// Counts returns how many requests were judged, and how many did not fit.
func (s *Shadow) Counts() (judged, dropped uint64) { return s.judged.Load(), s.dropped.Load() }

// Run judges what is offered until ctx ends and reports each judgement, agreements included.
func (s *Shadow) Run(ctx context.Context, report func(Difference)) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-s.queue:
			begin := time.Now()
			report(s.judge(c))
			select {
			case <-ctx.Done():
				return
			case <-time.After(shadowRest * time.Since(begin)):
			}
		}
	}
}

// judge runs the shadow's rules over the copy.
func (s *Shadow) judge(c *Copy) Difference {
	r := c.request
	if len(c.body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
	} else {
		r.ContentLength = 0
	}
	i := cmp.Or(c.engine, s.engine).Inspect(c.diff.RequestID)
	i.digest, i.connection = s.digest, c.connection
	defer i.Close()
	if v := i.Head(r, c.client); !v.Given() {
		i.Body(r)
	}
	s.judged.Add(1)
	d := c.diff
	d.Shadow = i.found
	return d
}
