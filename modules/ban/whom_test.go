package ban

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/store"
)

func TestParseWhom(t *testing.T) {
	for text, want := range map[string]string{
		"198.51.100.9": "198.51.100.9", "198.51.100.0/24": "198.51.100.0/24", "::ffff:198.51.100.9": "198.51.100.9", "2001:db8::/64": "2001:db8::/64",
		"user:local:ada": "user:local:ada", "user:local:a:b": "user:local:a:b", "session:s 1": "session:s 1", "key:ab12": "key:ab12", "tenant:acme": "tenant:acme",
		"user:ada": "", "user:": "", "user::ada": "", "tenant:": "", "client:1.2.3.4": "", "role:staff": "", "198.51.100.9/24": "", "": "", "fe80::1%eth0": "",
	} {
		w, err := ParseWhom(text)
		if got := w.String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		if again, err := ParseWhom(w.id()); want != "" && (err != nil || again != w) {
			t.Errorf("%q comes back from the store as %+v, %v", text, again, err)
		}
	}
}

// A jail by name counts what is done under the name, from wherever, bans nobody beside, and survives the process.
func TestJailsByName(t *testing.T) {
	key := identity.ProveBy(identity.Identity{Provider: "service", Subject: "backup"}, identity.Credential{Method: identity.ByAPIKey, Name: "k1"})
	other := identity.ProveBy(identity.Identity{Provider: "service", Subject: "backup"}, identity.Credential{Method: identity.ByAPIKey, Name: "k2"})
	ada, bob := person("ada"), person("bob")
	again := identity.Prove(ada.Identity(), "s-other", time.Now())
	tests := []struct {
		scope      Scope
		who        identity.Proof
		hit, spare []identity.Proof
		whom       string
	}{
		{BySession, ada, []identity.Proof{ada}, []identity.Proof{again, bob, key}, "session:s-ada"},
		{ByUser, ada, []identity.Proof{ada, again}, []identity.Proof{bob, key}, "user:local:ada"},
		{ByTenant, ada, []identity.Proof{ada, again, bob}, []identity.Proof{key}, "tenant:acme"},
		{ByKey, key, []identity.Proof{key}, []identity.Proof{other, ada}, "key:k1"},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			st := store.NewMemory()
			j := Jail{Name: "mine", MaxRetry: 3, FindTime: "1m", BanTime: "10m", Scope: tt.scope, On: []string{appAnswers[4]}}
			d, _, lines := testDesk(t, st, Settings{Jails: []Jail{j}, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
			addr, office := netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("10.1.2.3")
			for i := range 3 {
				d.Offend(Offence{On: appAnswers[4], Client: addr}) // a stranger's
				if _, banned := d.BannedByName(tt.who, addr); banned {
					t.Fatalf("%s: banned after %d", tt.scope, i)
				}
				d.Offend(Offence{On: appAnswers[4], Client: []netip.Addr{addr, office}[i%2], Who: tt.who, Request: "r9", Detail: "/x"})
			}
			if _, banned := d.Banned(addr); banned {
				t.Errorf("%s: the network is banned", tt.scope)
			}
			for _, p := range tt.hit {
				if b, banned := d.BannedByName(p, office); !banned || b.String() != tt.whom {
					t.Errorf("%s: %s %s is not banned", tt.scope, p.Name(), p.Session())
				}
				if _, banned := d.BannedByName(p, netip.MustParseAddr("192.0.2.1")); banned {
					t.Errorf("%s: banned in the allow-list's network", tt.scope)
				}
			}
			for _, p := range append(tt.spare, identity.Proof{}) {
				if _, banned := d.BannedByName(p, addr); banned {
					t.Errorf("%s: %s %s is banned too", tt.scope, p.Name(), p.Session())
				}
			}
			synctest.Wait()
			if !slices.Equal(*lines, []string{"[mine] Ban " + tt.whom}) {
				t.Errorf("log: %q", *lines)
			}
			_ = d.Destruct()
			next, _, _ := testDesk(t, st, Settings{})
			if _, banned := next.BannedByName(tt.hit[0], addr); !banned {
				t.Errorf("%s: lost with the process", tt.scope)
			}
			w, _ := ParseWhom(tt.whom)
			if found, err := next.Lift(t.Context(), w, "ada"); !found || err != nil {
				t.Errorf("%s: %v %v", tt.scope, found, err)
			}
			if _, banned := next.BannedByName(tt.hit[0], addr); banned {
				t.Errorf("%s: not lifted", tt.scope)
			}
			_ = next.Destruct()
			_ = st.Close()
		})
	}
}

// Who is allowed by name is never banned by name, and nobody is who could be shut out by typing their name.
func TestAllowedNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		ada := Whom{Scope: ByUser, Name: "local:ada"}
		d, _, _ := testDesk(t, st, Settings{names: map[Whom]bool{ada: true}})
		if _, err := d.Add(t.Context(), Order{Whom: ada, For: time.Hour}); err != ErrAllowed {
			t.Errorf("banned: %v", err)
		}
		if _, err := d.Add(t.Context(), Order{Whom: Whom{Scope: ByTenant, Name: "acme"}, For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		addr := netip.MustParseAddr("198.51.100.9")
		if _, banned := d.BannedByName(person("ada"), addr); banned {
			t.Error("ada is shut out with her tenant")
		}
		if _, banned := d.BannedByName(person("bob"), addr); !banned {
			t.Error("bob is not")
		}
		_ = d.Destruct()
		_ = st.Close()
	})
	if _, err := jails([]Jail{{Name: "login", MaxRetry: 5, FindTime: "1m", BanTime: "1m", Scope: ByUser}}); err == nil {
		t.Error("failed logins ban the user whose name was typed")
	}
}

// A key that stands in a form is banned as it would be if it had proven somebody.
func TestBannedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		d, _, _ := testDesk(t, st, Settings{
			Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, names: map[Whom]bool{{Scope: ByKey, Name: "spared"}: true},
		})
		addr := netip.MustParseAddr("198.51.100.9")
		for _, whom := range []string{"key:k1", "user:local:ada", "tenant:acme"} {
			w, err := ParseWhom(whom)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Add(t.Context(), Order{Whom: w, For: time.Hour}); err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct {
				key, owner, tenant string
				addr               netip.Addr
				hit                bool
			}{
				{"k1", "local:ada", "acme", addr, true}, {"k1", "local:bob", "", addr, whom == "key:k1"}, {"k2", "local:ada", "", addr, whom == "user:local:ada"},
				{"k2", "local:bob", "acme", addr, whom == "tenant:acme"}, {"k2", "local:bob", "", addr, false}, {"", "", "", addr, false},
				{"k1", "local:ada", "acme", netip.MustParseAddr("192.0.2.1"), false}, {"spared", "local:ada", "acme", addr, false},
			} {
				if b, banned := d.BannedKey(tt.key, tt.owner, tt.tenant, tt.addr); banned != tt.hit || banned && b.String() != whom {
					t.Errorf("%s: %+v: %v", whom, tt, banned)
				}
			}
			if _, err := d.Lift(t.Context(), w, "olga"); err != nil {
				t.Fatal(err)
			}
		}
		w := Whom{Scope: ByUser, Name: "local:ada"}
		if _, err := d.Add(t.Context(), Order{Whom: w, For: time.Minute}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if _, banned := d.BannedKey("k1", "local:ada", "", addr); banned {
			t.Error("banned for longer than was said")
		}
		_ = d.Destruct()
		_ = st.Close()
	})
}

// A step-up for a narrow network hides no ban of a wider one, and a list's score makes jails lose patience sooner.
func TestMilderActions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		d, bus, _ := testDesk(t, st, Settings{Jails: []Jail{{Name: "login", MaxRetry: 6, FindTime: "1m", BanTime: "10m"}}})
		addr := netip.MustParseAddr("198.51.100.9")
		add := func(text string, a Action) {
			t.Helper()
			w, err := ParseWhom(text)
			if err == nil {
				_, err = d.Add(t.Context(), Order{Whom: w, Action: a, For: time.Hour})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		add("198.51.100.9", StepUp)
		if b, banned := d.Banned(addr); !banned || b.Action != StepUp {
			t.Errorf("%v %+v", banned, b)
		}
		add("198.51.100.0/24", Tarpit)
		if b, banned := d.Banned(addr); !banned || b.Action != Tarpit {
			t.Errorf("the wider ban is hidden: %v %+v", banned, b)
		}
		suspect := netip.MustParseAddr("203.0.113.99")
		list := &runningList{feed: &feed{Blocklist: Blocklist{Name: "suspects", Action: Score, Weight: 2}}}
		set, _, err := parseList([]byte("203.0.113.99\n"))
		if err != nil {
			t.Fatal(err)
		}
		list.set.Store(set)
		d.lists.Store(&[]*runningList{list})
		bus.Publish(failed("203.0.113.99"))
		if _, banned := d.Banned(suspect); banned {
			t.Error("banned for the list's sake")
		}
		bus.Publish(failed("203.0.113.99"))
		if _, banned := d.Banned(suspect); !banned {
			t.Error("two offences that count three times each do not ban")
		}
		d.lists.Store(nil)
		_ = d.Destruct()
		_ = st.Close()
	})
}

// However many come, so many wait and no more; all go when they are let go.
func TestPit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pit
		began := time.Now()
		for i := range 2000 {
			go p.hold(t.Context(), netip.AddrFrom4([4]byte{198, 51, byte(i % 200), 1}))
		}
		synctest.Wait()
		if p.all != maxHeld || len(p.of) > 200 || p.of[netip.MustParsePrefix("198.51.7.1/32")] > maxHeldNet {
			t.Errorf("%d wait, %d of one", p.all, p.of[netip.MustParsePrefix("198.51.7.1/32")])
		}
		p.release()
		synctest.Wait()
		if p.all != 0 || len(p.of) != 0 || time.Since(began) != 0 {
			t.Errorf("after release %d wait", p.all)
		}
		p.hold(t.Context(), netip.MustParseAddr("198.51.100.1"))
		if time.Since(began) != heldFor {
			t.Errorf("held for %v", time.Since(began))
		}
	})
}
