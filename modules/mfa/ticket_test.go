package mfa

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/form"
	"gatehouse.internal/modules/internal/identity"
)

func actWith(body string) act {
	sum := form.Digest(form.URLEncoded, []byte(body))
	return act{Host: "app.test", Method: "POST", URI: "/approve?id=7", Sum: sum[:]}
}

func ticketsOf(t testing.TB) tickets {
	s := engine(t)
	return tickets{store: s.store, keys: s.keys}
}

// TestTicket: it passes the one request that it was given for, once.
func TestTicket(t *testing.T) {
	s := ticketsOf(t)
	user, a := userOf(ada), actWith("sum=100")
	issue := func() challenge {
		c := newChallenge(ada, a, true, time.Now())
		err := s.issue(t.Context(), c, ticket{User: user, Session: "s1", Act: a, Method: identity.TOTP, At: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := issue()
	other := a
	other.URI = "/approve?id=8"
	get := a
	get.Method = "GET"
	host := a
	host.Host = "other.test"
	nobody := a
	nobody.Sum = nil
	for _, tt := range []struct {
		name, user, session string
		a                   act
	}{
		{"another body", user, "s1", actWith("sum=1000")},
		{"another address", user, "s1", other},
		{"another method", user, "s1", get},
		{"another site", user, "s1", host},
		{"no body at all", user, "s1", nobody},
		{"another session", user, "s2", a},
		{"another person", "x", "s1", a},
	} {
		if got, err := s.redeem(t.Context(), c.ID, tt.user, tt.session, tt.a); got != nil || !errors.Is(err, errOther) {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
	if got, err := s.redeem(t.Context(), "no such id", user, "s1", a); got != nil || err != nil {
		t.Errorf("no ticket: %+v, %v", got, err)
	}
	got, err := s.redeem(t.Context(), c.ID, user, "s1", a)
	if err != nil || got == nil || got.Method != identity.TOTP || got.At.IsZero() {
		t.Fatalf("its request: %+v, %v", got, err)
	}
	if got, err := s.redeem(t.Context(), c.ID, user, "s1", a); got != nil || err != nil {
		t.Errorf("its request once more: %+v, %v", got, err)
	}

	c = issue()
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if got, err := s.redeem(context.WithoutCancel(t.Context()), c.ID, user, "s1", a); err == nil && got != nil {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d of 16 at once have passed", passed.Load())
	}
	c = issue()
	if err := s.void(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.redeem(t.Context(), c.ID, user, "s1", a); got != nil {
		t.Error("a void ticket has passed")
	}
}

func TestChallengeIsItsOwners(t *testing.T) {
	s := ticketsOf(t)
	now := time.Now()
	text, err := s.seal(newChallenge(ada, actWith("a=1"), true, now))
	if err != nil {
		t.Fatal(err)
	}
	bob, elsewhere := ada, ada
	bob.Subject, elsewhere.Issuer = "bob", "https://other.example"
	for _, tt := range []struct {
		name string
		text string
		who  identity.Identity
		host string
		at   time.Time
		ok   bool
	}{
		{"its owner", text, ada, "app.test", now, true},
		{"somebody else", text, bob, "app.test", now, false},
		{"the same name of another issuer", text, elsewhere, "app.test", now, false},
		{"another site", text, ada, "other.test", now, false},
		{"too late", text, ada, "app.test", now.Add(challengeFor + 2*time.Second), false},
		{"a clock far behind", text, ada, "app.test", now.Add(-time.Hour), false},
		{"changed", text[:len(text)-1] + "A", ada, "app.test", now, text[len(text)-1] == 'A'},
		{"empty", "", ada, "app.test", now, false},
	} {
		if _, err := s.open(tt.text, tt.who, tt.host, tt.at); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := ticketsOf(t).open(text, ada, "app.test", now); err == nil {
		t.Error("another house's keys open it")
	}
}

func TestKeptForms(t *testing.T) {
	s := ticketsOf(t)
	fields := []form.Field{{Name: "sum", Value: "100"}}
	keep := func(body string) challenge {
		c := newChallenge(ada, actWith(body), true, time.Now())
		if err := s.keep(t.Context(), &c, "s1", form.URLEncoded, fields); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := keep("sum=100")
	if k, err := s.peek(t.Context(), first); err != nil || k == nil || k.Fields[0] != fields[0] {
		t.Fatalf("%+v, %v", k, err)
	}
	again := keep("sum=100") // takes the first one's place
	if k, err := s.peek(t.Context(), first); err != nil || k != nil {
		t.Errorf("the place of another: %+v, %v", k, err)
	}
	if k, err := s.take(t.Context(), again); err != nil || k == nil {
		t.Errorf("%+v, %v", k, err)
	}
	if k, err := s.take(t.Context(), again); err != nil || k != nil {
		t.Errorf("taken twice: %+v, %v", k, err)
	}
	for i := range 200 { // a session cannot fill the store
		keep(string(rune('a'+i%26)) + "=" + time.Duration(i).String())
	}
	n := 0
	for range s.store.Scan(t.Context(), keptBucket, "") {
		n++
	}
	if n > keptSlots {
		t.Errorf("%d forms wait", n)
	}
}

func FuzzOpen(f *testing.F) {
	s := ticketsOf(f)
	text, _ := s.seal(newChallenge(ada, actWith("a=1"), true, time.Now()))
	bound := binding("u", "s", "h")
	sealed, _ := sealFlow(s.keys, flow{Kind: enrolApp, At: time.Now(), Secret: rfcSecret}, bound)
	f.Add(text)
	f.Add(sealed)
	f.Add("")
	f.Fuzz(func(t *testing.T, in string) {
		if _, err := s.open(in, ada, "app.test", time.Now()); err == nil && in != text {
			t.Errorf("%q opens", in)
		}
		if _, err := openFlow(s.keys, in, enrolApp, bound, time.Now()); err == nil && in != sealed {
			t.Errorf("%q opens as a form", in)
		}
	})
}

func TestFlows(t *testing.T) {
	s := engine(t)
	now, bound := time.Now(), binding("u", "s", "h")
	text, err := sealFlow(s.keys, flow{Kind: enrolApp, At: now, Secret: rfcSecret}, bound)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, kind string
		bound      []byte
		at         time.Time
		ok         bool
	}{
		{"its own", enrolApp, bound, now, true},
		{"another form", askPasskey, bound, now, false},
		{"another person", enrolApp, binding("v", "s", "h"), now, false},
		{"another session", enrolApp, binding("u", "s2", "h"), now, false},
		{"another site", enrolApp, binding("u", "s", "i"), now, false},
		{"too late", enrolApp, bound, now.Add(enrolFor + time.Second), false},
	} {
		if _, err := openFlow(s.keys, text, tt.kind, tt.bound, tt.at); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if err := claim(t.Context(), s.store, text); err != nil {
		t.Error(err)
	}
	if err := claim(t.Context(), s.store, text); !errors.Is(err, errStale) {
		t.Errorf("used twice: %v", err)
	}
}
