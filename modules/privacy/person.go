package privacy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/owner"
	"gatehouse.internal/modules/internal/standing"
)

const (
	adminExport = "/gatehouse/privacy/export"
	adminErase  = "/gatehouse/privacy/erase"
)

// personAsk asks for a person's data. The name of the person is not put on record by the administration endpoint.
type personAsk struct {
	proofAsk
	Person string `json:"person"`            // provider:subject
	Count  bool   `json:"dry_run,omitempty"` // only say how much there is
}

// erased is what was erased, or would be.
type erased struct {
	Counts      map[string]int `json:"counts"`
	Unreadable  int            `json:"unreadable"` // records of the audit log; only where it is counted
	People      int            `json:"people,omitempty"`
	Shared      int            `json:"shared,omitempty"` // people of the tenant who belong to others, too
	Remains     []string       `json:"remains,omitempty"`
	Certificate *Certificate   `json:"certificate,omitempty"`
}

// known is one thing that the house knows somebody by.
type known struct {
	Source     string               `json:"source"`
	Identity   identity.Identity    `json:"identity"`
	Created    time.Time            `json:"created,omitzero"`
	LastUsed   time.Time            `json:"last_used,omitzero"`
	Disabled   bool                 `json:"disabled,omitempty"`
	Credential *identity.Credential `json:"credential,omitempty"`
}

// export is what is kept of a person.
type export struct {
	Person   string            `json:"person"`
	Made     time.Time         `json:"made"`
	Standing standing.Record   `json:"standing"`
	Known    []known           `json:"known"`
	Payloads []Head            `json:"sealed_records"` // what rules matched; nobody but the analysts can read it
	Records  []json.RawMessage `json:"audit_records"`
	NotHere  string            `json:"not_here"`
}

const notHere = "the log files of this machine, until they are removed; log collectors, who have pseudonyms; copies of the state directory"

// officer proves who asks, and returns whom it is about.
func (ask personAsk) officer(r *http.Request, what string) (s *Settings, app *gatehouse.App, state *gatehouse.State, who proven, about standing.Person, err error) {
	if s, app, state, err = settings(); err != nil {
		return
	}
	person, err := owner.ParsePerson(ask.Person)
	if err != nil {
		err = errors.New("say whom it is about, as provider:subject")
		return
	}
	about = standing.Person{Provider: person.Provider, Subject: person.Subject}
	who, err = ask.prove(r.Context(), app, state, what, holding(what, s.Officers))
	return
}

func exportPerson(r *http.Request) (any, error) {
	ask, why, err := readAsk[personAsk](r)
	if err != nil {
		return nil, err
	}
	s, app, state, who, about, err := ask.officer(r, "export what is kept of people")
	if err != nil {
		return nil, err
	}
	salt := newSalt()
	if err := record(state, event.PersonExported, who, "", why, event.Attr{Key: attrPerson, Value: hashOf(salt, about.String())}, event.Attr{Key: "salt", Value: salt}); err != nil {
		return nil, err
	}
	x := export{Person: about.String(), Made: time.Now().UTC(), Known: []known{}, Payloads: []Head{}, Records: []json.RawMessage{}, NotHere: notHere}
	if err := x.gather(r.Context(), s, app, state, about); err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return x, nil
}

// gather collects what the house knows of the person.
func (x *export) gather(ctx context.Context, s *Settings, app *gatehouse.App, state *gatehouse.State, about standing.Person) (err error) {
	if x.Standing, err = state.Standing.Get(ctx, about); err != nil {
		return err
	}
	for p, err := range app.Principals(ctx, about) {
		if err != nil {
			return err
		}
		x.Known = append(x.Known, known{p.Source, p.Identity, p.Created, p.LastUsed, p.Disabled, p.Credential})
	}
	safe, err := s.safe.Of(app, openSafe)
	if err != nil {
		return err
	}
	heads, err := safe.OfUser(about.String())
	if err != nil {
		return err
	}
	x.Payloads = append(x.Payloads, heads...)
	c, err := state.Audit.Chain()
	if err != nil {
		return err
	}
	return eachRecord(c, func(r *chain.Record) error {
		if !tellsOf(r, about.String()) {
			return nil
		}
		text, err := json.Marshal(struct {
			Seq      int64  `json:"seq"`
			Time     string `json:"time"`
			Kind     string `json:"kind"`
			Site     string `json:"site,omitempty"`
			Personal any    `json:"personal"`
		}{r.Seq, r.Time, r.Kind, r.Site, r.Personal})
		x.Records = append(x.Records, text)
		return err
	})
}

// eachRecord reads the audit log.
func eachRecord(c *chain.Chain, f func(*chain.Record) error) error {
	_, err := chain.Verify(c.Dir(), chain.VerifyOptions{Each: f})
	return err
}

// tellsOf reports whether a record says something of the person.
func tellsOf(r *chain.Record, person string) bool {
	return r.Personal != nil && (r.Personal.User == person || r.Attr("user") == person)
}

// erasePerson deletes what is kept of a person, in this order: that it will be is on record; rooms delete their records; what they
// told of it is on record; the person's key is destroyed; that it was is on record, of which the certificate is made.
func erasePerson(r *http.Request) (any, error) {
	ask, why, err := readAsk[personAsk](r)
	if err != nil {
		return nil, err
	}
	s, app, state, who, about, err := ask.officer(r, "erase people")
	if err != nil {
		return nil, err
	}
	if who.Person == about {
		return nil, forbidden("nobody erases themselves: somebody else does")
	}
	c, err := state.Audit.Chain()
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	safe, err := s.safe.Of(app, openSafe)
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	salt := newSalt()
	hash := event.Attr{Key: attrPerson, Value: hashOf(salt, about.String())}
	if ask.Count {
		if err := record(state, event.PersonExported, who, "", why, hash, event.Attr{Key: "salt", Value: salt}, event.Attr{Key: "dry_run", Value: "true"}); err != nil {
			return nil, err
		}
		x, err := countPerson(r.Context(), app, c, safe, about)
		if err != nil {
			return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		if x.Remains, err = app.Remains("", time.Now()); err != nil {
			return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
		}
		return x, nil
	}
	if err := record(state, event.PersonErasing, who, "", why, hash); err != nil {
		return nil, err
	}
	done, err := app.Erase(r.Context(), gatehouse.Whose{Person: about}, false)
	if err == nil {
		done[sealedRecords], err = safe.ForgetUser(about.String())
	}
	if err != nil {
		return nil, unfinished(err)
	}
	// What was told meanwhile is written before this is, under the key that is destroyed next.
	if err := record(state, event.PersonErasing, who, "", "its records are deleted; the key follows", hash); err != nil {
		return nil, err
	}
	there, err := c.EraseSubject(about.String())
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	if there {
		done[auditKeys] = 1
	}
	left, err := app.Remains("", time.Now())
	if err != nil {
		return nil, unfinished(err)
	}
	if err := record(state, event.PersonErased, who, "", why, hash, event.Attr{Key: attrDone, Value: countsOf(done)}, event.Attr{Key: attrRemains, Value: strings.Join(left, "; ")}); err != nil {
		return nil, err
	}
	return certified(c.Dir(), erased{Counts: done}, event.PersonErased, salt, hash)
}

// What is erased besides what rooms keep.
const (
	sealedRecords = "sealed records"
	auditKeys     = "keys of the audit log"
)

func unfinished(err error) error {
	return gatehouse.AdminError(http.StatusServiceUnavailable, fmt.Errorf("it is not finished, and can be done again: %w", err))
}

// certified adds the certificate of what is on record.
func certified(dir string, x erased, kind event.Kind, salt string, hash event.Attr) (any, error) {
	c, err := certify(dir, kind, salt, hash)
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, fmt.Errorf("it is erased, and the certificate could not be made: %w", err))
	}
	x.Certificate = &c
	return x, nil
}

// countPerson says what erasing would delete.
func countPerson(ctx context.Context, app *gatehouse.App, c *chain.Chain, safe *Safe, about standing.Person) (x erased, err error) {
	if x.Counts, err = app.Erase(ctx, gatehouse.Whose{Person: about}, true); err != nil {
		return x, err
	}
	heads, err := safe.OfUser(about.String())
	if err != nil {
		return x, err
	}
	x.Counts[sealedRecords] = len(heads)
	if c.HasSubject(about.String()) {
		x.Counts[auditKeys] = 1
	}
	return x, eachRecord(c, func(r *chain.Record) error {
		if tellsOf(r, about.String()) {
			x.Unreadable++
		}
		return nil
	})
}

func countsOf(done map[string]int) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(done)) {
		if done[name] > 0 {
			texts = append(texts, fmt.Sprintf("%s %d", name, done[name]))
		}
	}
	if len(texts) == 0 {
		return "nothing was there"
	}
	return strings.Join(texts, ", ")
}
