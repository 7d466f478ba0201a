package waf

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/internal/verdict"
)

// errBlocked ends the writing of an answer that will not be sent.
var errBlocked = errors.New("the answer is withheld")

// stage is how far an answer has come.
type stage int

const (
	waiting stage = iota // no final status yet
	holding              // collecting the body; nothing was sent
	sending              // judged, or not to be: everything passes as it comes
	blocked              // refused: nothing passes, and nothing did
)

// responseWriter holds the answer of a backend back until it is judged. It stands between the rooms and the backend,
// so that the gateway's own pages never meet it.
//
// The handlers behind it get a header map of their own: what an answer wanted to set reaches the client's headers
// only with the answer, and a refusal carries nothing of it. Everything may be called from two goroutines, as Caddy's
// proxy flushes from a timer and so do we.
type responseWriter struct {
	caddyhttp.ResponseWriterWrapper
	r          *http.Request
	inspection *Inspection
	header     http.Header // the handlers' own
	hold       time.Duration

	mu      sync.Mutex
	stage   stage       // guarded by mu
	status  int         // guarded by mu; while holding
	held    http.Header // guarded by mu; the header as it was with the status
	body    []byte      // guarded by mu; while holding
	charged int64       // guarded by mu; to the budget, for body
	flush   bool        // guarded by mu; somebody wanted a flush while holding
	timer   *time.Timer // guarded by mu
	verdict verdict.Verdict
}

func newResponseWriter(w http.ResponseWriter, r *http.Request, i *Inspection) *responseWriter {
	return &responseWriter{
		ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		r:                     r, inspection: i, header: w.Header().Clone(), hold: holdTime,
	}
}

// Header implements http.ResponseWriter.
func (w *responseWriter) Header() http.Header { return w.header }

// WriteHeader judges the head and decides whether the body is held.
func (w *responseWriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *responseWriter) writeHeader(status int) {
	if w.stage != waiting {
		return // superfluous, like a second call on any writer
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.inform(status)
		return
	}
	hold, v := w.inspection.ResponseHead(w.r, status, w.header)
	w.status, w.held = status, w.header.Clone()
	switch {
	case v.Given():
		w.block(v)
	case !hold:
		_ = w.release() // fails only when the connection did, which the next write tells
	default:
		w.stage = holding
		if w.header.Get("Content-Length") == "" {
			w.timer = time.AfterFunc(w.hold, w.late)
		}
	}
}

// inform passes a 1xx answer on, whose headers are its own.
func (w *responseWriter) inform(status int) {
	real := w.ResponseWriter.Header()
	own := real.Clone()
	replace(real, w.header)
	w.ResponseWriter.WriteHeader(status)
	replace(real, own)
}

// late ends the waiting for an answer of unknown length.
func (w *responseWriter) late() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage == holding {
		_ = w.judge(false) // the next write fails the same way
	}
}

// judge ends the holding: the body so far is judged, and sent or withheld.
func (w *responseWriter) judge(whole bool) error {
	if v := w.inspection.ResponseBody(w.r.Context(), w.body, whole); v.Given() {
		w.block(v)
		return errBlocked
	}
	return w.release()
}

// release sends what is held; what follows passes.
func (w *responseWriter) release() error {
	body := w.body
	defer w.letGo()
	w.stage = sending
	replace(w.ResponseWriter.Header(), w.held)
	w.ResponseWriter.WriteHeader(w.status)
	if len(body) > 0 {
		if _, err := w.ResponseWriter.Write(body); err != nil {
			return err
		}
	}
	if w.flush {
		return http.NewResponseController(w.ResponseWriter).Flush()
	}
	return nil
}

func (w *responseWriter) block(v verdict.Verdict) {
	w.stage, w.verdict = blocked, v
	w.letGo()
}

// letGo gives the memory back.
func (w *responseWriter) letGo() {
	w.inspection.engine.budget.give(w.charged)
	w.body, w.charged, w.held = nil, 0, nil
	if w.timer != nil {
		w.timer.Stop()
	}
}

// Write collects or passes.
func (w *responseWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage == waiting {
		w.writeHeader(http.StatusOK)
	}
	if w.stage == holding {
		taken, err := w.collect(p)
		if err != nil || taken == len(p) {
			return taken, err
		}
		n, err := w.ResponseWriter.Write(p[taken:]) // the limit was reached: collect has judged and released
		return taken + n, err
	}
	if w.stage == blocked {
		return 0, errBlocked
	}
	return w.ResponseWriter.Write(p)
}

// collect takes as much of p as may be held. If that was not all, what is held was judged and sent.
func (w *responseWriter) collect(p []byte) (int, error) {
	room := int(w.inspection.engine.cfg.ResponseLimit) - len(w.body)
	take := min(len(p), room)
	if need := len(w.body) + take; need > cap(w.body) {
		size := max(need, min(2*cap(w.body), int(w.inspection.engine.cfg.ResponseLimit)), 4<<10)
		if !w.inspection.engine.budget.take(int64(size)) {
			if v := w.inspection.abandonResponse(); v.Given() {
				w.block(v)
				return 0, errBlocked
			}
			return 0, w.release()
		}
		grown := make([]byte, len(w.body), size)
		copy(grown, w.body)
		w.inspection.engine.budget.give(w.charged)
		w.body, w.charged = grown, int64(size)
	}
	w.body = append(w.body, p[:take]...)
	if take == len(p) {
		return take, nil
	}
	return take, w.judge(false)
}

// ReadFrom implements io.ReaderFrom: the connection's own, once nothing is held.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	w.mu.Lock()
	if w.stage == waiting {
		w.writeHeader(http.StatusOK)
	}
	passing := w.stage == sending
	w.mu.Unlock()
	if passing {
		return w.ResponseWriterWrapper.ReadFrom(r)
	}
	return io.Copy(writerOnly{w}, r)
}

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ io.Writer }

// FlushError implements what http.ResponseController looks for. A held answer is not flushed: see holdTime.
func (w *responseWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage == waiting {
		w.writeHeader(http.StatusOK)
	}
	switch w.stage {
	case blocked:
		return nil
	case holding:
		w.flush = true
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker, whatever the writer below is. It fails while an answer is held or was refused:
// the connection would carry what nobody judged.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage != sending {
		return nil, nil, errBlocked
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// serve has next answer through w. A given verdict is what the client must get instead; err is what next returned.
func (w *responseWriter) serve(next caddyhttp.Handler) (v verdict.Verdict, err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		refused := false
		if v, refused = w.abort(); p != http.ErrAbortHandler || !refused {
			panic(p)
		}
	}()
	err = next.ServeHTTP(w, w.r)
	return w.finish(err)
}

// finish must be called when the handlers have returned err: it judges and sends what is still held. It returns the
// error that the room must return; a given verdict comes first.
func (w *responseWriter) finish(err error) (verdict.Verdict, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil && w.stage == waiting: // the server would send an empty 200 now
		w.writeHeader(http.StatusOK)
	case w.stage == waiting:
		replace(w.ResponseWriter.Header(), w.header) // no answer of a backend: what handlers set for any answer
	case err != nil && w.stage == holding: // nothing was sent: the error can be told in the answer's stead
		w.stage = blocked
		w.letGo()
		return verdict.Verdict{}, err
	}
	if w.stage == holding {
		err = w.judge(true)
	}
	switch w.stage {
	case blocked:
		return w.verdict, nil
	case sending:
		maps.Copy(w.ResponseWriter.Header(), w.header) // trailers; anything else comes too late to matter
	}
	return verdict.Verdict{}, err
}

// abort is finish for a handler that panicked. It reports whether the answer was refused, which is how Caddy's proxy
// takes the error of a write; the refusal can then still be told.
func (w *responseWriter) abort() (verdict.Verdict, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stage == holding {
		w.letGo()
		w.stage = blocked // a timer that has fired already must not send the torn answer
	}
	return w.verdict, w.verdict.Given()
}

// replace makes h the same as by.
func replace(h, by http.Header) {
	clear(h)
	maps.Copy(h, by)
}

var (
	_ io.ReaderFrom = (*responseWriter)(nil)
	_ http.Hijacker = (*responseWriter)(nil)
)
