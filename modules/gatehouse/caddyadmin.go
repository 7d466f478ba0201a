package gatehouse

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/event"
)

func init() { caddy.RegisterModule(CaddyAdmin{}) }

// CaddyAdmin has what Caddy's own administration endpoints change go on record before it is done, with who the kernel says is at
// the other end of the socket. While that is impossible, it is refused with 503. Its patterns name methods, so that they come
// before Caddy's own.
//
//	POST /load     another configuration
//	POST /adapt    what a configuration means
//	POST /stop     the end of the process
//
// Parts of the running configuration are not changed: /config/ and /id/ take GET alone. What runs is what the file says.
type CaddyAdmin struct{}

// CaddyModule returns the Caddy module information. Its name is none of a room's, whose endpoints operators' sockets have.
func (CaddyAdmin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.caddy_on_record", New: func() caddy.Module { return new(CaddyAdmin) }}
}

// Routes implements caddy.AdminRouter.
func (CaddyAdmin) Routes() (all []caddy.AdminRoute) {
	add := func(pattern string, do caddy.AdminHandler) {
		all = append(all, caddy.AdminRoute{Pattern: pattern, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			return onRecord(w, r, do)
		})})
	}
	if info, err := caddy.GetModule("admin.api.load"); err == nil {
		for _, route := range info.New().(caddy.AdminRouter).Routes() {
			add(http.MethodPost+" "+route.Pattern, route.Handler)
		}
	}
	add(http.MethodPost+" /stop", caddy.AdminHandlerFunc(stopSoon))
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		for _, path := range []string{"/config/", "/id/"} {
			add(method+" "+path, caddy.AdminHandlerFunc(notInParts))
		}
	}
	return all
}

// stopSoon ends the process as a service manager would.
func stopSoon(http.ResponseWriter, *http.Request) error {
	me, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = me.Signal(syscall.SIGTERM)
	}
	return err
}

func notInParts(http.ResponseWriter, *http.Request) error {
	return AdminError(http.StatusForbidden, errors.New("the running configuration is not changed in parts: change its file, and run `gatehouse reload`"))
}

// onRecord does what is asked, once that is on record.
func onRecord(w http.ResponseWriter, r *http.Request, do caddy.AdminHandler) error {
	if Running() == nil && !startsWithin(r) { // the first configuration: there is no record yet
		return do.ServeHTTP(w, r)
	}
	_, state, err := RunningState()
	if err != nil {
		return err
	}
	body, err := takeAudited(w, r)
	if err != nil {
		return err
	}
	answer := answerTo(w, r)
	sum := sha256.Sum256(body)
	asked := event.Event{
		Time: time.Now(), Kind: event.AdminRequested, RequestID: auditedID(), Method: r.Method, Path: event.Clip(r.URL.Path, maxAskedText),
		Attrs: append([]event.Attr{{Key: "operator", Value: answer.operator()}}, answer.peer()...),
	}
	if len(body) > 0 {
		asked.Attrs = append(asked.Attrs, event.Attr{Key: "bytes", Value: strconv.Itoa(len(body))}, event.Attr{Key: "sha256", Value: hex.EncodeToString(sum[:])})
	}
	if err := state.Bus.Record(asked); err != nil {
		return answer.give(AdminError(http.StatusServiceUnavailable, fmt.Errorf("nothing was done: what administrators do must be on record first: %w", err)))
	}
	if r.URL.Path == "/load" {
		loading.one.Lock()
		defer loading.one.Unlock()
		loading.by.Store(&asked)
		defer loading.by.Store(nil)
	}
	failed := do.ServeHTTP(answer, r)
	done := asked
	done.ID, done.Time, done.Kind, done.Status = event.ID{}, time.Now(), event.AdminDone, answer.status
	if failed != nil {
		refused := apiError(failed)
		done.Kind, done.Status, done.Detail = event.AdminRefused, refused.HTTPStatus, event.Clip(refused.Err.Error(), 300)
	}
	if err := state.Bus.Record(done); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, event.ErrClosed) && failed == nil {
		failed = AdminError(http.StatusServiceUnavailable, fmt.Errorf("it was done, and that could not be put on record: %w", err))
	}
	return answer.give(failed)
}

// apiError is the error as Caddy's endpoint words it.
func apiError(err error) caddy.APIError {
	e := caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	if said := (caddy.APIError{}); errors.As(err, &said) {
		e.HTTPStatus, e.Err = said.HTTPStatus, said.Err
	}
	return e
}

// startsWithin waits until the configuration that is being loaded is, if there is one, and reports whether a house runs then. The
// administration endpoint answers before the house of the first configuration does; what is asked of it meanwhile would be done after
// that, and be on no record. Caddy says what runs only when nothing is being loaded.
func startsWithin(r *http.Request) bool {
	srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || srv.Handler == nil {
		return false
	}
	ask := r.Clone(r.Context())
	ask.Method, ask.URL, ask.RequestURI, ask.Body, ask.ContentLength = http.MethodGet, &url.URL{Path: "/config/"}, "/config/", http.NoBody, 0
	srv.Handler.ServeHTTP(&unread{header: http.Header{}}, ask)
	return Running() != nil
}

// unread is an answer that nobody reads.
type unread struct{ header http.Header }

func (u *unread) Header() http.Header         { return u.header }
func (u *unread) WriteHeader(int)             {}
func (u *unread) Write(b []byte) (int, error) { return len(b), nil }

// connAnswer is an answer that is held until it may be given, on a connection that was taken from the server.
type connAnswer struct {
	heldAnswer
	w        http.ResponseWriter
	conn     net.Conn // nil: it could not be taken, and w answers
	from     string   // the other end's address
	name, id string   // as the kernel knows the other end, or its certificate says; "": nobody does
}

// answerTo takes the request's connection, of which alone the kernel says who is at its other end. The body must have been read.
func answerTo(w http.ResponseWriter, r *http.Request) *connAnswer {
	a := &connAnswer{heldAnswer: heldAnswer{header: http.Header{}, status: http.StatusOK}, w: w}
	if r.RemoteAddr != "@" {
		a.from = r.RemoteAddr
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		a.name = event.Clip(r.TLS.PeerCertificates[0].Subject.String(), maxAskedText)
		return a
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return a
	}
	_ = conn.SetDeadline(time.Time{}) // fails on closed connections only, as writing does
	a.conn = conn
	if a.name, a.id, err = peer(conn); err != nil {
		a.name, a.id = "", ""
	}
	return a
}

// operator is who asks, for want of a better name.
func (a *connAnswer) operator() string {
	switch {
	case a.name != "":
		return a.name
	case a.from != "":
		return event.Clip("unknown at "+a.from, maxAskedText)
	}
	return "unknown"
}

// peer is who is at the other end, which nobody only claims.
func (a *connAnswer) peer() []event.Attr {
	switch {
	case a.id != "":
		return []event.Attr{{Key: "peer", Value: a.name}, {Key: "peer_process", Value: a.id}}
	case a.name != "":
		return []event.Attr{{Key: "peer", Value: a.name}}
	case a.from != "":
		return []event.Attr{{Key: "peer", Value: event.Clip(a.from, maxAskedText)}}
	}
	return nil
}

// give gives the answer, or the error instead.
func (a *connAnswer) give(failed error) error {
	if a.conn == nil {
		if failed != nil {
			return failed
		}
		return a.release(a.w)
	}
	defer a.conn.Close()
	if failed != nil {
		e := apiError(failed)
		a.body.Reset()
		_ = json.NewEncoder(&a.body).Encode(map[string]string{"error": e.Err.Error()}) // writes to memory
		a.header.Set("Content-Type", "application/json")
		a.status = e.HTTPStatus
	}
	answer := http.Response{
		ProtoMajor: 1, ProtoMinor: 1, StatusCode: a.status, Header: a.header, Close: true,
		Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()),
	}
	_ = a.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
	_ = answer.Write(a.conn) // whoever has gone does not hear what the record says
	return nil
}

var _ caddy.AdminRouter = CaddyAdmin{}
