package gatehouse

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/retain"
)

// AuditDir is the folder of the state directory that holds the audit log.
const AuditDir = "audit"

const (
	maxAudited     = 32 << 20 // of a request that is put on record: an import of users
	reopenAuditIn  = 10 * time.Second
	auditPurpose   = "audit"
	maxAskedText   = 200
	maxAskedValues = 16
)

// AuditLog keeps the house's events in a chain. When the chain cannot be opened, which a restart of requests must not depend
// on, what must be on record is refused until it can be. It is safe for concurrent use.
type AuditLog struct {
	dir  string
	keys *keyring.Ring
	bus  *event.Bus

	mu    sync.Mutex
	chain *chain.Chain  // guarded by mu; nil while it cannot be opened
	err   error         // guarded by mu; why not
	tried time.Time     // guarded by mu
	ended bool          // guarded by mu
	lost  uint64        // guarded by mu; while there was none
	epoch time.Duration // guarded by mu
	keep  time.Duration // guarded by mu
}

func newAuditLog(dir string, keys *keyring.Ring, bus *event.Bus) *AuditLog {
	a := &AuditLog{dir: dir, keys: keys, bus: bus}
	a.mu.Lock()
	a.open()
	a.mu.Unlock()
	bus.KeepWith(a)
	if a.err != nil {
		a.told(a.err)
	} else {
		auditWritable.Set(1)
	}
	return a
}

// open tries to open the chain. a.mu is held.
func (a *AuditLog) open() {
	a.tried = time.Now()
	host, _ := os.Hostname() // a name is welcome, and nothing depends on it
	host = strings.Map(func(c rune) rune {
		if c == '-' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return -1
	}, host)
	apart := make([]byte, 4)
	_, _ = rand.Read(apart) // never fails: it ends the program instead
	origin := cmp.Or(host, "gatehouse") + "/audit/" + hex.EncodeToString(apart)
	if kept, err := chain.Origin(a.dir); err == nil {
		origin = kept // what signs is called like it
	}
	identity := func() *chain.Signer {
		key, sign := a.keys.Signer(auditPurpose)
		return chain.NewSigner(origin, key, sign)
	}
	a.chain, a.err = chain.Open(a.dir, chain.Options{Origin: origin, Identity: identity, Epoch: a.epoch, Keep: a.keep, Notify: a.told})
}

// told publishes whether the audit log can be written.
func (a *AuditLog) told(err error) {
	e := event.Event{Time: time.Now(), Kind: event.AuditResumed}
	auditWritable.Set(1)
	if err != nil {
		e.Kind, e.Detail = event.AuditFailed, err.Error()
		auditWritable.Set(0)
	}
	a.bus.Publish(e)
}

// Chain returns the chain, or why there is none.
func (a *AuditLog) Chain() (*chain.Chain, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.chain == nil {
		return nil, a.err
	}
	return a.chain, nil
}

// Dir is the directory of the record.
func (a *AuditLog) Dir() string { return a.dir }

// Identity is the public key of the house that published checkpoints are signed with, besides that of the epoch.
func (a *AuditLog) Identity(origin string) string {
	return chain.NewSigner(origin, a.keys.PublicKey(auditPurpose), nil).Verifier()
}

// Identities are the public keys that checkpoints of the log may be signed with: as Identity, of each key that is not retired, since
// the newest checkpoint may be older than the active key.
func (a *AuditLog) Identities(origin string) (all []string) {
	for _, k := range a.keys.PublicKeys(auditPurpose) {
		all = append(all, chain.NewSigner(origin, k.Key, nil).Verifier())
	}
	return all
}

// Keep implements event.Keeper: events of the audit and system streams are kept.
func (a *AuditLog) Keep(e event.Event) {
	if s := e.Kind.Stream(); s != event.Audit && s != event.System {
		return
	}
	a.mu.Lock()
	c := a.chain
	if c == nil {
		a.lost++
	}
	a.mu.Unlock()
	if c != nil {
		c.Keep(e)
	}
}

// Record implements event.Keeper.
func (a *AuditLog) Record(e event.Event) error {
	a.mu.Lock()
	reopened := false
	if a.chain == nil && !a.ended && time.Since(a.tried) > reopenAuditIn {
		a.open()
		reopened = a.chain != nil
	}
	c, err, lost := a.chain, a.err, a.lost
	if reopened {
		a.lost = 0
	}
	a.mu.Unlock()
	if reopened {
		if lost > 0 {
			c.Keep(event.Event{Kind: chain.Lost, Detail: fmt.Sprintf("%d events could not be kept", lost)})
		}
		defer a.told(nil)
	}
	if c == nil {
		return fmt.Errorf("%w: %w", chain.ErrDown, err)
	}
	return c.Record(e)
}

func (a *AuditLog) close() error {
	a.mu.Lock()
	c := a.chain
	a.chain, a.err, a.ended = nil, ErrClosed, true
	a.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.Destruct()
}

// Held reports whether somebody wants nothing removed of what is on record, or of the logs.
func (a *AuditLog) Held() (bool, error) {
	holds, err := chain.Holds(a.dir)
	return len(holds) > 0, err
}

// Removals is what removes log files that are too old: on record, and not while somebody holds it.
func (s *State) Removals() retain.Keeper {
	return retain.Keeper{Record: s.Bus.Record, Held: s.Audit.Held}
}

// Audited has everything that changes something at administration endpoints go on record before it is done, and what came of
// it before it is answered: with the operator's name that is claimed, and with who the kernel says is at the other end of the
// socket. While that is impossible, it is refused with 503. Requests with GET and HEAD change nothing.
func Audited(routes ...caddy.AdminRoute) []caddy.AdminRoute {
	for i, r := range routes {
		routes[i].Handler = caddy.AdminHandlerFunc(func(w http.ResponseWriter, req *http.Request) error {
			if req.Method == http.MethodGet || req.Method == http.MethodHead {
				return r.Handler.ServeHTTP(w, req)
			}
			return serveAudited(w, req, r.Handler)
		})
	}
	return routes
}

// takeAudited returns what was sent, and leaves it to be read once more.
func takeAudited(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAudited))
	if err != nil {
		return nil, AdminError(http.StatusBadRequest, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// auditedID names a request to the administration endpoint.
func auditedID() string {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails: it ends the program instead
	return "admin-" + hex.EncodeToString(id)
}

func serveAudited(w http.ResponseWriter, r *http.Request, next caddy.AdminHandler) error {
	_, state, err := RunningState()
	if err != nil {
		return err
	}
	body, err := takeAudited(w, r)
	if err != nil {
		return err
	}
	asked := askedFor(r, body, inFull)
	answer := answerTo(w, r)
	asked.Attrs = append(asked.Attrs, answer.peer()...)
	if err := state.Bus.Record(asked); err != nil {
		return answer.give(AdminError(http.StatusServiceUnavailable, fmt.Errorf("nothing was done: what administrators do must be on record first: %w", err)))
	}
	failed := next.ServeHTTP(answer, r)
	done := asked
	done.ID, done.Time, done.Kind, done.Status = event.ID{}, time.Now(), event.AdminDone, answer.status
	if failed != nil {
		done.Kind, done.Status, done.Detail = event.AdminRefused, http.StatusInternalServerError, failed.Error()
		if refused := (caddy.APIError{}); errors.As(failed, &refused) {
			done.Status, done.Detail = refused.HTTPStatus, refused.Err.Error()
		}
	}
	if err := state.Bus.Record(done); err != nil {
		return answer.give(AdminError(http.StatusServiceUnavailable, fmt.Errorf("it was begun, as the record says, and how it ended could not be put on record: %w", err)))
	}
	return answer.give(failed)
}

// askedWords are what is put on record of what an administrator asks for. Secrets have other names.
var askedWords = []string{
	"user", "kind", "name", "owner", "id", "network", "for", "all", "roles", "tenant", "lasts", "number", "keep", "approve", "ahead",
	"provider", "format", "skip_existing", "dry_run", "note", "purpose", "why", "detail", "email", "display_name", "paths", "networks", "methods",
	"account", "hosts", "match", "by", "digest", "ticket", "approver", "sites", "file", "sha256", "switch", "site", "route", "level", "key", "at_once",
}

// inFull completes the name of a person that an administrator asks something about, "" if it is none.
var inFull = func(r *http.Request, text string) string { return "" }

// InFull has f complete names of people without a provider in what is put on record of requests to the administration endpoint, so
// that they are sealed with the person's key, too; it returns "" where it does not know. Only an init function calls it.
func InFull(f func(r *http.Request, text string) string) { inFull = f }

// aboutPerson are the words that say what nobody else's records may hold.
var aboutPerson = []string{"email", "display_name"}

// askedFor is the event that tells of a request to the administration endpoint.
func askedFor(r *http.Request, body []byte, inFull func(*http.Request, string) string) event.Event {
	e := event.Event{
		Time: time.Now(), Kind: event.AdminRequested, RequestID: auditedID(), Method: r.Method, Path: r.URL.Path,
	}
	said := map[string]string{}
	for name, values := range r.URL.Query() {
		said[name] = strings.Join(values, " ")
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) == nil {
		for name, raw := range object {
			text := ""
			if json.Unmarshal(raw, &text) != nil { // a list, or a number
				text = string(raw)
			}
			said[name] = text
		}
	}
	if name := said["user"]; name != "" && !strings.Contains(name, ":") {
		said["user"] = cmp.Or(inFull(r, name), name)
	}
	if !strings.Contains(said["user"], ":") { // nobody's key seals them
		for _, word := range aboutPerson {
			if said[word] != "" {
				said[word] = "(given)"
			}
		}
	}
	operator := cmp.Or(r.Header.Get(OperatorHeader), said["operator"], said["by"], "unknown")
	e.Attrs = append(e.Attrs, event.Attr{Key: "operator", Value: event.Clip(operator, maxAskedText)})
	for _, word := range askedWords {
		if text := said[word]; text != "" && len(e.Attrs) < maxAskedValues {
			e.Attrs = append(e.Attrs, event.Attr{Key: word, Value: event.Clip(text, maxAskedText)})
		}
	}
	return e
}

// heldAnswer keeps an answer until it may be given.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) Header() http.Header         { return h.header }
func (h *heldAnswer) WriteHeader(status int)      { h.status = status }
func (h *heldAnswer) Write(b []byte) (int, error) { return h.body.Write(b) }

func (h *heldAnswer) release(w http.ResponseWriter) error {
	for name, values := range h.header {
		w.Header()[name] = slices.Clone(values)
	}
	w.WriteHeader(h.status)
	_, err := w.Write(h.body.Bytes())
	return err
}

// auditWritable lives as long as the process (CADDY 49).
var auditWritable = prometheus.NewGauge(prometheus.GaugeOpts{
	Namespace: "gatehouse", Subsystem: "audit", Name: "writable",
	Help: "1 while the audit log can be written. While it is 0, what administrators ask for is refused. Alert when it is.",
})

// keeps is how long records are kept.
func (a *AuditLog) keeps() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keep > 0 {
		return a.keep
	}
	return chain.DefaultKeep
}

// Use says how long keys sign and records are kept; zero: the default.
func (a *AuditLog) Use(epoch, keep time.Duration) {
	a.mu.Lock()
	a.epoch, a.keep = epoch, keep
	c := a.chain
	a.mu.Unlock()
	if c != nil {
		c.Use(epoch, keep)
	}
}
