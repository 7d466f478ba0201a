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
	_, state, err := RunningState()
	if Running() == nil { // the first configuration: there is no record yet
		return do.ServeHTTP(w, r)
	}
	if err != nil {
		return err
	}
	body, err := takeAudited(w, r)
	if err != nil {
		return err
	}
	answer, who := answerTo(w, r)
	sum := sha256.Sum256(body)
	asked := event.Event{
		Time: time.Now(), Kind: event.AdminRequested, RequestID: auditedID(), Method: r.Method, Path: event.Clip(r.URL.Path, maxAskedText),
		Attrs: []event.Attr{{Key: "operator", Value: who}},
	}
	if len(body) > 0 {
		asked.Attrs = append(asked.Attrs, event.Attr{Key: "bytes", Value: strconv.Itoa(len(body))}, event.Attr{Key: "sha256", Value: hex.EncodeToString(sum[:])})
	}
	if err := state.Bus.Record(asked); err != nil {
		return answer.give(AdminError(http.StatusServiceUnavailable, fmt.Errorf("nothing was done: what administrators do must be on record first: %w", err)))
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

// connAnswer is an answer that is held until it may be given, on a connection that was taken from the server.
type connAnswer struct {
	heldAnswer
	w    http.ResponseWriter
	conn net.Conn // nil: it could not be taken, and w answers
}

// answerTo takes the request's connection, of which alone the kernel says who is at its other end. The body must have been read.
func answerTo(w http.ResponseWriter, r *http.Request) (a *connAnswer, who string) {
	a = &connAnswer{heldAnswer: heldAnswer{header: http.Header{}, status: http.StatusOK}, w: w}
	who = "unknown"
	if r.RemoteAddr != "" && r.RemoteAddr != "@" {
		who += " at " + r.RemoteAddr
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return a, event.Clip(r.TLS.PeerCertificates[0].Subject.String(), maxAskedText)
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return a, who
	}
	_ = conn.SetDeadline(time.Time{}) // fails on closed connections only, as writing does
	a.conn = conn
	if name, err := PeerName(conn); err == nil {
		who = name
	}
	return a, who
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
