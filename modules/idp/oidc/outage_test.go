package oidc

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// TestOutageKeepsLastGood: metadata and keys that are old still serve sessions when the provider has no newer ones, and
// nobody is sent to a provider that is not there.
func TestOutageKeepsLastGood(t *testing.T) {
	for name, break1 := range map[string]func(*fakeIdP){
		"metadata and keys fail": func(p *fakeIdP) { status(endpoints[0], 500)(p); status("/jwks", 500)(p) },
		"cut": func(p *fakeIdP) {
			for _, path := range endpoints[:2] {
				answering(path, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })(p)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIdP(t)
			p.refresh = "r-1"
			c := p.client()
			s := p.begin(c)
			p.knob(func() { break1(p) })
			age(c)
			for range 3 {
				if _, err := c.Renew(t.Context(), s.Keep); err != nil {
					t.Fatalf("a session cannot be renewed: %v", err)
				}
				if _, err := c.LogoutNotice(logoutRequest(p.logoutToken(nil))); err != nil {
					t.Fatalf("a session cannot be ended: %v", err)
				}
				if _, err := c.EndURL(t.Context(), s.Keep, "https://a.example/", ""); err != nil {
					t.Fatal(err)
				}
				if _, err := c.AuthURL(t.Context(), attempt()); !errors.Is(err, ErrDown) {
					t.Fatalf("somebody was sent to a provider that is down: %v", err)
				}
			}
			// net/http repeats a request by itself for each used connection that it finds cut, so that only answers can be counted.
			if n := p.hits[endpoints[0]].Load(); n < 2 || n > 2 && name != "cut" {
				t.Errorf("%d requests for metadata, want one attempt while it fails", n-1)
			}
			p.knob(func() { clear(p.handle) })
			c.meta.mu.Lock()
			c.meta.tried = c.meta.tried.Add(-retry)
			c.meta.mu.Unlock()
			if _, err := p.logIn(c, attempt(), nil); err != nil {
				t.Errorf("no login after the outage: %v", err)
			}
		})
	}
}

// TestJWKSDownAlone: with keys at hand, logins go on.
func TestJWKSDownAlone(t *testing.T) {
	p := newIdP(t)
	c := p.client()
	p.begin(c)
	p.knob(func() { status("/jwks", 500)(p) })
	age(c)
	for range 3 {
		if _, err := p.logIn(c, attempt(), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStartDuringOutage: a gateway that starts while its provider is down has what an earlier one knew.
func TestStartDuringOutage(t *testing.T) {
	p := newIdP(t)
	p.refresh = "r-1"
	st, ring := stateful(t)
	first := p.client()
	if err := shelved(t, first, st, ring); err != nil {
		t.Fatal(err)
	}
	keep := p.begin(first).Keep
	waitFor(t, func() bool { // the shelf is written behind the login
		_, err1 := first.shelf.Load().get(t.Context(), first.shelf.Load().key(keptMetadata, ""))
		_, err2 := first.shelf.Load().get(t.Context(), first.shelf.Load().key(keptKeys, ""))
		return err1 == nil && err2 == nil
	})
	token := p.logoutToken(nil)
	p.Close()

	c := p.client()
	if err := shelved(t, c, st, ring); err != nil {
		t.Fatal(err)
	}
	if n, err := c.LogoutNotice(logoutRequest(token)); err != nil || n.SID != "s-1" {
		t.Errorf("a logout token: %+v, %v", n, err)
	}
	if _, err := c.Renew(t.Context(), keep); !errors.Is(err, ErrDown) {
		t.Errorf("a renewal: %v", err)
	}
	if to, err := c.EndURL(t.Context(), keep, "https://a.example/", "s"); err != nil || !strings.HasPrefix(to, p.URL) {
		t.Errorf("a logout: %q, %v", to, err)
	}
	if _, err := c.AuthURL(t.Context(), attempt()); !errors.Is(err, ErrDown) {
		t.Errorf("a login: %v", err)
	}

	stranger, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]struct {
		client *Client
		ring   *keyring.Ring
		refuse bool // what is there cannot be of use; else it is not met at all
	}{
		"sealed by somebody else":    {p.client(), stranger, true},
		"of another name":            {p.client(func(c *Config) { c.Name = "other" }), ring, false},
		"of another client":          {p.client(func(c *Config) { c.ClientID = "other" }), ring, false},
		"of another issuer":          {p.client(func(c *Config) { c.Issuer += "/other" }), ring, false},
		"not good enough any longer": {p.client(func(c *Config) { c.NoPush = true }), ring, false},
	} {
		err := shelved(t, other.client, st, other.ring)
		if (err != nil) != other.refuse {
			t.Errorf("%s: %v", name, err)
		}
		if name == "not good enough any longer" {
			continue
		}
		if _, err := other.client.LogoutNotice(logoutRequest(token)); !errors.Is(err, ErrDown) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// waitFor waits for what happens behind the caller's back.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if done() {
			return
		}
		<-tick.C
	}
	t.Fatal("it never happened")
}

// TestShelfIsSealed: an item that was changed, or put in the place of another, does not open.
func TestShelfIsSealed(t *testing.T) {
	st, ring := stateful(t)
	s := &shelf{store: st, keys: ring, name: "a"}
	k, other := s.key(keptKeys, ""), s.key(keptMetadata, "")
	if err := s.put(t.Context(), k, []byte("plain-text"), time.Hour); err != nil {
		t.Fatal(err)
	}
	item, err := st.Get(t.Context(), k)
	if err != nil || strings.Contains(string(item.Value), "plain-text") {
		t.Fatalf("%q, %v", item.Value, err)
	}
	moved := item.Value
	if _, err := st.Put(t.Context(), other, moved, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.get(t.Context(), other); !errors.Is(err, keyring.ErrOpen) {
		t.Errorf("moved: %v", err)
	}
	item.Value[len(item.Value)-1] ^= 1
	if _, err := st.Put(t.Context(), k, item.Value, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.get(t.Context(), k); !errors.Is(err, keyring.ErrOpen) {
		t.Errorf("changed: %v", err)
	}
}

// TestRecent is how long a login waits for the provider: not for one that is slow, nor again for one that just failed.
func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int32
		takes, fails := 9*time.Second, false
		doc := &remote[int32]{fetch: func(context.Context) (int32, error) {
			time.Sleep(takes) // fake time
			if fails {
				return 0, errors.New("down")
			}
			return fetches.Add(1), nil
		}}
		check := func(what string, want int32, after time.Duration) {
			t.Helper()
			began := time.Now()
			v, err := doc.recent(t.Context(), seenWithin, patience)
			if took := time.Since(began); (err == nil) != (want > 0) || err == nil && v != want || took != after {
				t.Errorf("%s: got %d, %v after %v", what, v, err, took)
			}
		}
		check("slow", 0, patience)
		check("slow, asked again", 0, patience)
		time.Sleep(2 * time.Second)
		check("come meanwhile", 1, 0)
		takes, fails = time.Second, true
		time.Sleep(seenWithin)
		check("fails", 0, time.Second)
		check("failed just now", 0, 0)
		fails = false
		time.Sleep(retry)
		check("back", 2, time.Second)
		check("seen just now", 2, 0)
	})
}

// TestRun: documents are fetched anew before they are old, one that fails soon, and changes are told once.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int32
		var down atomic.Bool
		c := &Client{}
		c.meta = &remote[*metadata]{fetch: func(context.Context) (*metadata, error) {
			fetches.Add(1)
			if down.Load() {
				return nil, errors.New("down")
			}
			return new(metadata), nil
		}}
		server := &keyServer{keys: nil}
		c.keys = newKeySet(server.fetch)
		var told []bool
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { c.Run(ctx, func(err error) { told = append(told, err == nil) }); close(ended) }()
		time.Sleep(10 * maxAge)
		if n := fetches.Load(); n < 10 || n > 15 {
			t.Errorf("%d fetches in ten hours", n)
		}
		down.Store(true)
		time.Sleep(maxAge) // until it is noticed
		before := fetches.Load()
		time.Sleep(5 * time.Minute)
		if n := fetches.Load() - before; n < 10 || n > 15 {
			t.Errorf("%d attempts in five minutes of outage", n)
		}
		down.Store(false)
		time.Sleep(maxAge)
		cancel()
		<-ended
		if len(told) != 3 || !told[0] || told[1] || !told[2] {
			t.Errorf("told %v", told)
		}
	})
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration, more ...string) http.Header {
		h := http.Header{"Date": {now.Add(d).Format(http.TimeFormat)}}
		if len(more) > 0 {
			h.Set(more[0], more[1])
		}
		return h
	}
	for _, tt := range []struct {
		name string
		h    http.Header
		trip time.Duration
		says string
	}{
		{"ahead", at(14 * time.Second), time.Second, "the provider's clock is 14s ahead of ours"},
		{"behind", at(-10 * time.Minute), time.Second, "the provider's clock is 10m0s behind ours"},
		{"agrees", at(0), time.Second, "the provider's clock agrees with ours"},
		{"too slow to tell", at(14 * time.Second), 3 * time.Second, "do the clocks agree?"},
		{"from a cache", at(14*time.Second, "Age", "7"), time.Second, "do the clocks agree?"},
		{"no date", http.Header{}, time.Second, "do the clocks agree?"},
		{"our clock was set back meanwhile", at(0), -time.Second, "do the clocks agree?"},
	} {
		c := new(clock)
		c.measure(tt.h, now, now.Add(tt.trip))
		if c.String() != tt.says {
			t.Errorf("%s: %s", tt.name, c)
		}
	}
	var told []time.Duration
	c := &clock{tell: func(d time.Duration) { told = append(told, d.Round(time.Second)) }}
	for _, s := range []int{0, 4, 14, 14, 15, 60, 61, 0, 0, -30} {
		c.measure(at(time.Duration(s)*time.Second), now, now.Add(time.Second))
	}
	if len(told) != 4 || told[0] != 14*time.Second || told[1] != time.Minute || told[2] != 0 || told[3] != -30*time.Second {
		t.Errorf("told %v", told)
	}
}

// TestSkewIsNamed: a token refused for its time says whose clock it is.
func TestSkewIsNamed(t *testing.T) {
	p := newIdP(t)
	var told atomic.Int64
	c := p.client(func(c *Config) { c.OnSkew = func(d time.Duration) { told.Store(int64(d.Round(time.Second))) } })
	fast := func(d time.Duration) {
		for _, path := range endpoints {
			fn := map[string]http.HandlerFunc{endpoints[0]: p.serveDiscovery, "/jwks": p.serveKeys, "/token": p.serveToken, "/userinfo": p.serveUserInfo, "/par": p.servePush}[path]
			p.handle[path] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", time.Now().Add(d).UTC().Format(http.TimeFormat))
				fn(w, r)
			}
		}
	}
	p.knob(func() { fast(5 * time.Minute) })
	shifted(5*time.Minute, "iat", "exp")(p)
	_, err := p.logIn(c, attempt(), nil)
	if err == nil || !strings.Contains(err.Error(), "the provider's clock is 5m0s ahead of ours") && !strings.Contains(err.Error(), "the provider's clock is 5m1s ahead of ours") {
		t.Errorf("got %v", err)
	}
	if d := time.Duration(told.Load()); (d - 5*time.Minute).Abs() > 2*time.Second {
		t.Errorf("told %v", d)
	}
}
