package authn

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

func TestListAndEnd(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		other := node(t, st, keys)
		begin := func(subject, agent string) (token, name string) {
			token, proof, err := s.Create(t.Context(), vouching{Identity: person(subject)}, host, Meta{Agent: agent, Network: "192.0.2.0/24"}, limits)
			must(t, err)
			return token, proof.Session()
		}
		laptop, laptopName := begin("ada", "Firefox on Linux")
		phone, phoneName := begin("ada", "Safari on iPhone")
		tablet, tabletName := begin("ada", "Chrome on Android")
		eve, eveName := begin("eve", "curl")
		time.Sleep(10 * time.Minute)
		wantLive(t, other, phone, true) // used on another node, which has not written it yet

		list, err := other.List(t.Context(), "local", "ada", laptopName)
		must(t, err)
		if len(list) != 3 || list[0].Name != phoneName || time.Since(list[0].LastSeen) > time.Second || list[0].Current ||
			list[0].Agent != "Safari on iPhone" || list[0].Network != "192.0.2.0/24" || list[0].Host != host || list[0].User != "local:ada" {
			t.Fatalf("the list: %+v", list)
		}
		if i := slices.IndexFunc(list, func(i Info) bool { return i.Current }); i < 0 || list[i].Name != laptopName {
			t.Errorf("the session that asks is not marked: %+v", list)
		}

		if found, err := s.EndNamed(t.Context(), "local", "ada", eveName); found || err != nil {
			t.Errorf("a person ended somebody else's session: %v %v", found, err)
		}
		wantLive(t, s, eve, true)
		if found, err := s.EndNamed(t.Context(), "local", "ada", tabletName); !found || err != nil {
			t.Errorf("EndNamed: %v %v", found, err)
		}
		wantLive(t, s, tablet, false)
		gone, err := s.EndOthers(t.Context(), "local", "ada", laptopName)
		if err != nil || !slices.Equal(gone, []string{phoneName}) {
			t.Errorf("EndOthers: %v %v", gone, err)
		}
		synctest.Wait()
		wantLive(t, s, laptop, true)
		wantLive(t, other, phone, false)
		wantLive(t, other, eve, true)

		all, more, err := s.ListAll(t.Context(), 1)
		if err != nil || len(all) != 1 || !more {
			t.Errorf("ListAll: %v, more %v, %v", all, more, err)
		}
		time.Sleep(limits.Idle + time.Minute)
		if list, err := s.List(t.Context(), "local", "ada", ""); len(list) != 0 || err != nil {
			t.Errorf("a session that has ended by age is listed: %+v %v", list, err)
		}
	})
}

// Whose sessions are ended is decided by provider and subject, exactly.
func TestEndUserIsExact(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		ada := create(t, s, person("ada"))
		bystanders := []string{create(t, s, person("ada2")), create(t, s, person("Ada")), create(t, s, person("a"))}
		elsewhere := person("ada")
		elsewhere.Provider = "oidc"
		bystanders = append(bystanders, create(t, s, elsewhere))
		gone, err := s.EndUser(t.Context(), "local", "ada")
		if err != nil || len(gone) != 1 {
			t.Errorf("EndUser: %v %v", gone, err)
		}
		wantLive(t, s, ada, false)
		for _, token := range bystanders {
			wantLive(t, s, token, true)
		}
		if gone, err := s.EndSID(t.Context(), "local", ""); len(gone) != 0 || err != nil {
			t.Errorf("an empty sid ends %v, %v", gone, err)
		}
	})
}

func TestRemainingDoesNotExtend(t *testing.T) {
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token := create(t, s, person("ada"))
		for minute := range 30 {
			idle, absolute, ok := s.Remaining(t.Context(), token, host, limits)
			if !ok || idle != limits.Idle-time.Duration(minute)*time.Minute || absolute != limits.Max-time.Duration(minute)*time.Minute {
				t.Fatalf("after %d minutes: %v, %v, %v", minute, idle, absolute, ok)
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Second)
		if _, _, ok := s.Remaining(t.Context(), token, host, limits); ok {
			t.Error("whoever asked all the time has kept the session alive")
		}
	})
}

func TestExpired(t *testing.T) {
	ended := func(t *testing.T, s *Sessions, token, host string, want bool) {
		t.Helper()
		who, ok := s.Expired(t.Context(), token, host, limits)
		if ok != want || ok && who.Subject != "ada" {
			t.Errorf("Expired: %v %q, want %v", ok, who.Subject, want)
		}
		if ok {
			wantLive(t, s, token, false) // a tomb proves nobody
		}
	}
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) {
		token, gone := create(t, s, person("ada")), create(t, s, person("ada"))
		ended(t, s, token, host, false) // alive
		must(t, s.End(t.Context(), gone))
		ended(t, s, gone, host, false) // ended by hand
		time.Sleep(limits.Idle + time.Second)
		ended(t, s, token, host, true)
		ended(t, s, token, "other.test", false)
		ended(t, s, gone, host, false)
		ended(t, s, "", host, false)
		ended(t, node(t, st, keys), token, host, true)
		time.Sleep(tombLife - 2*time.Second)
		ended(t, s, token, host, true)
		time.Sleep(3 * time.Second)
		ended(t, s, token, host, false)
	})
	bubble(t, func(t *testing.T, st store.Store, keys *keyring.Ring, s *Sessions) { // the absolute limit
		token := create(t, s, person("ada"))
		for range 36 {
			time.Sleep(20*time.Minute - time.Second)
			wantLive(t, s, token, true)
		}
		time.Sleep(time.Minute)
		ended(t, s, token, host, true)
		time.Sleep(tombLife)
		ended(t, s, token, host, false)
	})
}

func TestUseIsWrittenOnceIn30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &faulty{Store: store.NewMemory()}
		t.Cleanup(func() { _ = st.Close() })
		s := node(t, st, ring(t))
		token := create(t, s, person("ada"))
		synctest.Wait() // until the node has heard of its own writing
		wantLive(t, s, token, true)
		gets := st.gets.Load()
		for range 600 {
			time.Sleep(time.Second)
			wantLive(t, s, token, true)
		}
		if n := st.touches.Load(); n < 18 || n > 20 {
			t.Errorf("%d writes in ten minutes of use, want one in 30 s", n)
		}
		if n := st.gets.Load() - gets; n != 0 {
			t.Errorf("%d reads for a session at hand", n)
		}
	})
}
