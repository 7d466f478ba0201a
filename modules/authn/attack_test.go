package authn

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// No cookie but the very one is a session: each bit of it, and each way to write it otherwise.
func TestTamperedCookies(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		wantLive(t, s, token, true)
		var tampered []string
		for i := range len(token) {
			for bit := range 8 {
				b := []byte(token)
				b[i] ^= 1 << bit
				tampered = append(tampered, string(b))
			}
		}
		raw, err := base64.RawURLEncoding.DecodeString(token)
		must(t, err)
		tampered = append(tampered, "", token+"=", token+"A", token[1:], " "+token, token+"\x00", strings.Repeat(token, 2),
			strings.Repeat("A", 4000), base64.StdEncoding.EncodeToString(raw), string(raw), keyOf(token).ID)
		for _, cookie := range tampered {
			if proof, err := s.Lookup(t.Context(), cookie, host, limits, ByPerson); !errors.Is(err, errNoSession) || proof.Known() {
				t.Errorf("%q is accepted: %v", cookie, err)
			}
		}
		wantLive(t, s, token, true)
	})
}

// The browser's cookie from before a login is worth nothing after it: nobody can be given a session to share.
func TestFixation(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		planted := strings.Repeat("A", tokenLength)
		wantLive(t, s, planted, false)
		first := create(t, s, person("ada"))
		second := create(t, s, person("ada"))
		if first == second || first == planted || second == planted {
			t.Error("a login takes over a cookie that was there")
		}
		wantLive(t, s, planted, false)
	})
}

// Logged out is logged out: on the node that did it, on others, after a restart, however often it is tried.
func TestReplayAfterLogout(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		other := node(t, st, keys)
		token := create(t, s, person("ada"))
		wantLive(t, s, token, true)
		wantLive(t, other, token, true)
		must(t, s.End(t.Context(), token))
		time.Sleep(time.Millisecond)
		restarted := node(t, st, keys)
		for range 3 {
			for _, n := range []*Sessions{s, other, restarted} {
				wantLive(t, n, token, false)
			}
			time.Sleep(time.Minute) // and what they write behind does not bring it back
		}
	})
}

func TestCookieOfAnotherSite(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		for _, other := range []string{"other.test", "app.test:8443", "sub.app.test", "APP.TEST", "app.test.", "", "app.test "} {
			if _, err := s.Lookup(t.Context(), token, other, limits, ByPerson); !errors.Is(err, errNoSession) {
				t.Errorf("good on %q: %v", other, err)
			}
			if v, err := s.Enter(runs(t), token, other, limits, ByPerson); !errors.Is(err, errNoSession) || v != nil {
				t.Errorf("may enter %q: %v", other, err)
			}
			if _, _, ok := s.Remaining(t.Context(), token, other, limits); ok {
				t.Errorf("has time left on %q", other)
			}
		}
		wantLive(t, s, token, true)
	})
}

// A cookie that came over plain HTTP has ended its session; one that is nobody's costs no write.
func TestLeakedCookie(t *testing.T) {
	st := &faulty{Store: store.NewMemory()}
	defer st.Close()
	told := new(log)
	s, err := NewSessions(st, ring(t), told.publish)
	must(t, err)
	defer s.Destruct()
	token := create(t, s, person("ada"))
	must(t, s.EndLeaked(t.Context(), strings.Repeat("A", tokenLength), "test"))
	must(t, s.EndLeaked(t.Context(), "", "test"))
	wantLive(t, s, token, true)
	must(t, s.EndLeaked(t.Context(), token, "the cookie came over plain HTTP"))
	wantLive(t, s, token, false)
	must(t, s.EndLeaked(t.Context(), token, "test"))
	if ended := told.kinds(event.SessionEnded); len(ended) != 1 || !strings.Contains(ended[0].Detail, "plain HTTP") {
		t.Errorf("events: %v", ended)
	}
}

// Zero values let nobody in.
func TestZeroValuesDeny(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		time.Sleep(time.Nanosecond)
		if _, err := s.Lookup(t.Context(), token, host, Limits{}, ByPerson); !errors.Is(err, errNoSession) {
			t.Errorf("without limits: %v", err)
		}
		if v := new(Visit); v.Proof.Known() {
			t.Error("the zero visit is somebody")
		}
		if p := (live{}).proof; p.Known() {
			t.Error("the zero entry is somebody")
		}
	})
}

// An unknown cookie must not cost more than a read, nor push known sessions out.
func TestFloodOfUnknownCookies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &faulty{Store: store.NewMemory()}
		t.Cleanup(func() { _ = st.Close() })
		s := node(t, st, ring(t))
		token := create(t, s, person("ada"))
		synctest.Wait()
		wantLive(t, s, token, true)
		changes, gets := s.changes, st.gets.Load()
		for i := range 1000 {
			b := []byte(strings.Repeat("A", tokenLength))
			b[0], b[1] = 'a'+byte(i%26), 'a'+byte(i/26%26)
			wantLive(t, s, string(b), false)
		}
		wantLive(t, s, token, true)
		if n := st.gets.Load() - gets; n != 1000 {
			t.Errorf("%d reads", n)
		}
		if len(s.table) != 1 || s.changes != changes {
			t.Errorf("%d sessions at hand, %d changes noted", len(s.table), s.changes-changes)
		}
	})
}
