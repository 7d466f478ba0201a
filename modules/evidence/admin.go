package evidence

import (
	"cmp"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/event"
)

func init() { caddy.RegisterModule(Admin{}) }

const (
	adminEvidence = "/gatehouse/evidence"
	signPurpose   = "evidence"
)

// Admin answers at Caddy's administration endpoint:
//
//	GET  /gatehouse/evidence                    what the running gateway says of itself: [Facts]
//	POST /gatehouse/evidence {files, summary}   puts a bundle on record, and signs it
type Admin struct{}

// CaddyModule returns the Caddy module information.
func (Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_evidence", New: func() caddy.Module { return new(Admin) }}
}

// Routes implements caddy.AdminRouter.
func (Admin) Routes() []caddy.AdminRoute {
	facts := gatehouse.AdminRoute(http.MethodGet, adminEvidence, factsNow)
	sign := gatehouse.AdminRoute(http.MethodPost, adminEvidence, signBundle)
	return gatehouse.Audited(caddy.AdminRoute{Pattern: adminEvidence, Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodPost {
			return sign.Handler.ServeHTTP(w, r)
		}
		return facts.Handler.ServeHTTP(w, r)
	})})
}

// signer signs bundles in the house's name.
func signer(state *gatehouse.State) (*chain.Signer, string, error) {
	c, err := state.Audit.Chain()
	if err != nil {
		return nil, "", gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	origin := c.Status().Origin
	key, sign := state.Keys.Signer(signPurpose)
	return chain.NewSigner(origin+"/evidence", key, sign), origin, nil
}

func factsNow(r *http.Request) (any, error) {
	app, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	by, origin, err := signer(state)
	if err != nil {
		return nil, err
	}
	s := app.Status(r.Context())
	f := Facts{
		Host: s.Host, Version: s.Version, PID: os.Getpid(), StateDir: app.Dir(), KeysFile: cmp.Or(app.KeysFile, filepath.Join(app.Dir(), "keys")),
		Audit: state.Audit.Dir(), Origin: origin, Key: by.Verifier(), Revision: s.Commit, Modified: s.Changed, Mode: string(egress.InForce().Mode()),
	}
	dials, lookups := egress.Denied()
	f.Denied = dials + lookups
	for _, problem := range []string{s.NotReady, s.Store.Problem, s.Audit} {
		if problem != "" {
			f.Problems = append(f.Problems, problem)
		}
	}
	return f, nil
}

// signAsk asks for a bundle to be signed.
type signAsk struct {
	Files    []Hashed `json:"files"`
	Summary  string   `json:"summary"`
	Operator string   `json:"operator,omitempty"`
}

type signedNote struct {
	Note string `json:"note"`
}

// signBundle answers when the bundle is on record.
func signBundle(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[signAsk](r)
	if err != nil {
		return nil, err
	}
	_, state, err := gatehouse.RunningState()
	if err != nil {
		return nil, err
	}
	by, origin, err := signer(state)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	text, err := noteText(origin, now, ask.Summary, ask.Files)
	if err != nil {
		return nil, err
	}
	err = state.Bus.Record(event.Event{Time: now, Kind: event.EvidenceMade, Detail: ask.Summary, Attrs: []event.Attr{
		{Key: "operator", Value: event.Clip(ask.Operator, 200)}, {Key: "sha256", Value: hashOf([]byte(text))},
	}})
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	note, err := chain.SignNote(text, by)
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusInternalServerError, err)
	}
	return signedNote{note}, nil
}

var _ caddy.AdminRouter = Admin{}
