package verify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/standing"
)

// desk judges visits by the house's policy. It is safe for concurrent use.
type desk struct {
	book     *book
	places   *places
	policy   Policy
	parts    []Part
	hours    Hours
	roam     bool
	trusted  func(netip.Addr) bool
	remember time.Duration
}

// person is who is judged.
type person struct {
	who     identity.Identity
	tenant  string
	since   time.Time // of the session
	hasRole func(string) bool
}

// decision is what became of a visit.
type decision struct {
	Outcome Outcome
	Signals []Signal
	Held    held // with an outcome beyond Notify
	News    bool // it was written down just now
	Proven  bool // it passes only since it was proven, or approved
	Device  string
	Email   string
}

// passes reports whether the visit goes on.
func (d decision) passes() bool { return d.Outcome == Allow || d.Outcome == Notify }

// judge says what becomes of a visit. proven reports whether the person has proven themselves in this very visit since a time,
// which is zero when nothing is held of it.
func (d *desk) judge(ctx context.Context, p person, v visit, proven func(since time.Time) bool) (decision, error) {
	d.locate(&v)
	r, err := d.book.get(ctx, p.who.Provider, p.who.Issuer, p.who.Subject)
	if err != nil {
		return decision{}, err
	}
	r.prune(v.Now, d.remember)
	got := d.decide(&r, p, v, proven)
	if !got.News && !(got.passes() && r.due(v)) { // nothing to write
		return got, nil
	}
	id := rand.Text()[:10]
	err = d.book.update(ctx, p.who, d.remember, func(r *record) error {
		switch got = d.decide(r, p, v, proven); { // as it is stored now
		case got.passes():
			v.Proven = got.Proven
			r.learn(v, got.Signals, d.remember)
		case got.News:
			got.Held = *r.hold(v, id, got.Signals, got.Outcome)
		default:
			return errNothing
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNothing) {
		return decision{}, err
	}
	return got, nil
}

// locate adds what is known of the visit's address.
func (d *desk) locate(v *visit) {
	v.Geo, v.Listed = d.places.at(v.Addr)
	if d.trusted(v.Addr) { // its place is the house's, not the person's
		v.Geo.Located, v.Geo.Country = false, ""
	}
}

// decide changes nothing.
func (d *desk) decide(r *record, p person, v visit, proven func(since time.Time) bool) decision {
	got := decision{Outcome: Allow, Signals: r.signals(v, d.hours, d.roam, d.trusted), Email: r.Email}
	if got.Email == "" {
		got.Email = p.who.Email
	}
	for _, s := range got.Signals {
		got.Outcome = max(got.Outcome, outcome(s, d.policy, d.parts, p.hasRole, p.tenant))
	}
	if got.Device = identity.DeviceUnknown; r.usedBefore(v.Device, p.since) {
		got.Device = identity.DeviceKnown
	}
	w := r.waits(v)
	switch {
	case got.passes():
		got.News = got.Outcome == Notify
		return got
	case got.Outcome == Deny:
		return got
	case w == nil && got.Outcome == StepUp && proven(time.Time{}):
		got.Outcome, got.Proven, got.News, got.Device = Allow, true, true, identity.DeviceKnown
		return got
	case w == nil:
		got.News = true
		return got
	}
	got.Held = *w
	covered := got.Outcome <= w.Outcome && !slices.ContainsFunc(got.Signals, func(s Signal) bool { return !slices.Contains(w.Signals, s) })
	switch {
	case w.Denied:
		got.Outcome = Deny
	case w.Approved && covered, got.Outcome == StepUp && proven(w.At):
		got.Outcome, got.Proven, got.News, got.Device = Allow, true, true, identity.DeviceKnown
	case !covered:
		got.News = true
	}
	return got
}

// pass has the held visit pass: the person has proven themselves.
func (d *desk) pass(ctx context.Context, p person, v visit, signals []Signal) error {
	d.locate(&v)
	return d.book.update(ctx, p.who, d.remember, func(r *record) error {
		v.Proven = true
		r.learn(v, signals, d.remember)
		return nil
	})
}

// code makes a code for the held visit.
func (d *desk) code(ctx context.Context, p person, v visit) (code string, err error) {
	if err := d.book.mayMail(ctx, p.who.Provider, p.who.Subject); err != nil {
		return "", err
	}
	err = d.book.update(ctx, p.who, d.remember, func(r *record) error {
		h := r.waits(v)
		if h == nil || h.Outcome != StepUp || h.Denied {
			return errNothing
		}
		code = d.book.newCode(h, v.Now)
		return nil
	})
	return code, err
}

// useCode has the held visit pass if the code is its own; errCode otherwise.
func (d *desk) useCode(ctx context.Context, p person, v visit, code string) (signals []Signal, err error) {
	d.locate(&v)
	err = d.book.update(ctx, p.who, d.remember, func(r *record) error {
		h := r.waits(v)
		if h == nil || h.Outcome != StepUp || h.Denied {
			return errNothing
		}
		if !d.book.takeCode(h, typed(code), v.Now) {
			return errCode
		}
		signals = h.Signals
		v.Proven = true
		r.learn(v, signals, d.remember)
		return nil
	})
	return signals, err
}

// typed is a code as a person types it.
func typed(code string) string { return strings.NewReplacer(" ", "", "-", "").Replace(code) }

// held is what waits of the visit, or nil.
func (d *desk) held(ctx context.Context, p person, v visit) (*held, string, error) {
	r, err := d.book.get(ctx, p.who.Provider, p.who.Issuer, p.who.Subject)
	if err != nil {
		return nil, "", err
	}
	r.prune(v.Now, d.remember)
	email := r.Email
	if email == "" {
		email = p.who.Email
	}
	return r.waits(v), email, nil
}

// listed is a held visit, for administrators.
type listed struct {
	User    string    `json:"user"`
	ID      string    `json:"id"`
	Outcome Outcome   `json:"outcome"`
	Signals []Signal  `json:"signals"`
	Network string    `json:"network"`
	Agent   string    `json:"agent,omitempty"`
	Site    string    `json:"site,omitempty"`
	At      time.Time `json:"at"`
	State   string    `json:"state"` // waiting, approved, denied
}

// waiting lists the visits that are held, of at most so many people.
func (b *book) waiting(ctx context.Context, most int) (all []listed, err error) {
	for item, err := range b.store.Scan(ctx, bucket, heldIndex) {
		if err != nil {
			return nil, fmt.Errorf("listing held visits: %w", err)
		}
		r, err := b.open(item)
		if err != nil {
			return nil, err
		}
		if most--; most < 0 {
			break
		}
		for _, h := range r.Held {
			if time.Since(h.At) > heldFor {
				continue
			}
			state := "waiting"
			if h.Approved {
				state = "approved"
			} else if h.Denied {
				state = "denied"
			}
			all = append(all, listed{
				User: r.Provider + ":" + r.Subject, ID: h.ID, Outcome: h.Outcome, Signals: h.Signals, Network: h.Prefix.String(), Agent: h.Agent,
				Site: h.Site, At: h.At, State: state,
			})
		}
	}
	slices.SortFunc(all, func(a, b listed) int { return a.At.Compare(b.At) })
	return all, nil
}

// change changes the person's record for an administrator, whatever the issuer.
func (b *book) change(ctx context.Context, who standing.Person, remember time.Duration, f func(*record) error) error {
	r, err := b.get(ctx, who.Provider, "", who.Subject)
	if err != nil {
		return err
	}
	return b.update(ctx, identity.Identity{Provider: r.Provider, Issuer: r.Issuer, Subject: r.Subject}, remember, f)
}

// rule notes an administrator's word on a held visit.
func (b *book) rule(ctx context.Context, who standing.Person, id string, remember time.Duration, approve bool) (got held, err error) {
	err = b.change(ctx, who, remember, func(r *record) error {
		i := slices.IndexFunc(r.Held, func(h held) bool { return h.ID == id })
		if i < 0 {
			return errNothing
		}
		r.Held[i].Approved, r.Held[i].Denied = approve, !approve
		got = r.Held[i]
		return nil
	})
	return got, err
}

// forget takes a device, a network or everything from what the person is known by.
func (b *book) forget(ctx context.Context, who standing.Person, what string, remember time.Duration) error {
	return b.change(ctx, who, remember, func(r *record) error {
		if !r.forget(what) {
			return errNothing
		}
		return nil
	})
}
