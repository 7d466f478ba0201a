package testenv

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// published are the keys that applications verify with, as this gateway says.
func (g *gateway) published(t *testing.T) (ids []string) {
	t.Helper()
	set := jose.JSONWebKeySet{}
	if err := json.Unmarshal(g.stranger(t).get(t, "/.gatehouse/jwks.json").Body, &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		ids = append(ids, k.KeyID)
	}
	return ids
}

// begun is a login that somebody has begun at this gateway, and not ended.
func (g *gateway) begun(t *testing.T, user, password string) (*client, form) {
	t.Helper()
	c := g.stranger(t)
	f, err := c.visit(t, "/.gatehouse/login?next=/").form()
	if err != nil {
		t.Fatal(err)
	}
	g.secret(password)
	return c, f.person(user, password)
}

// TestClusterKeys (CTB-05): two gateways on one store rotate the master key, one after the other, while somebody who is logged in, and
// somebody who is not any more, keep asking both. Nobody is logged out and nobody comes in, at no step, whichever of the two is ahead; logins begin on
// one and end on the other; once the old key is retired, what people hold of it is nobody's on either, while both read what it sealed.
// Controls: CAL-14, NAT-19.
func TestClusterKeys(t *testing.T) {
	t.Parallel()
	be, r := startBackend(t), startRedis(t)
	g := startClusterWith(t, 2, r, config{Race: true, Backend: be.Listen, Site: defaultSite + "\n\t\tforward user roles {\n\t\t\tassertion\n\t\t}"})
	a, b := g[0], g[1]
	keysOf := map[*gateway]masterKeys{a: {a, a.env["KEYS"]}, b: {b, b.env["KEYS"]}}
	old := keysOf[a].ids(t)[0]
	// at sets when a key began, in a gateway's file, and has the gateway take it: as time would.
	at := func(g *gateway, id string, ago time.Duration) {
		t.Helper()
		keysOf[g].began(t, id, ago)
		keysOf[g].run(t, "", "adopt")
	}
	at(a, old, 72*time.Hour)
	at(b, old, 72*time.Hour)
	const alice = "alice"
	in := b.newUser(t, alice, alicesPassword) // the one that started last has the set-up link
	out := a.stranger(t)
	if _, err := out.loginOnce(alice, alicesPassword, "/"); err != nil {
		t.Fatal(err)
	}
	if err := out.logoutStolen(); err != nil {
		t.Fatal(err)
	}
	during := underLoad(in, out, g)
	var people []*client
	// comes is somebody who logs in at one gateway and goes on at the other, now and to the end of the story.
	comes := func(when string, first, then *gateway) {
		t.Helper()
		c := first.stranger(t)
		if _, err := c.loginOnce(alice, alicesPassword, "/"); err != nil {
			t.Errorf("%s: a login: %v", when, err)
			return
		}
		if s := c.at(then).must(t, request{Path: "/whoami"}).Status; s != http.StatusOK {
			t.Errorf("%s: who logged in at one gateway is answered %d by the other", when, s)
		}
		people = append(people, c)
	}
	// ends ends elsewhere a login that has begun.
	ends := func(when string, c *client, f form, elsewhere *gateway) (in bool) {
		t.Helper()
		there := c.at(elsewhere)
		answer, err := there.submit(f)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		return there.expectLogin(answer) == nil
	}

	// The new key is made at one, and brought to the other, before its time.
	early, earlyForm := a.begun(t, alice, alicesPassword)
	keysOf[a].run(t, "", "rotate")
	fresh := keysOf[a].ids(t)[1]
	comes("one knows a new key", a, b)
	text, err := os.ReadFile(a.env["KEYS"])
	if err == nil {
		err = os.WriteFile(b.env["KEYS"], text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	keysOf[b].run(t, "", "adopt")
	for i, one := range g {
		if ids := one.published(t); len(ids) != 2 || !slices.Contains(ids, fresh) {
			t.Errorf("gateway %d publishes %v before the new key signs", i, ids)
		}
	}
	comes("both know a new key", b, a)

	// Its time comes at one before it does at the other, as with clocks that differ.
	at(a, fresh, time.Minute)
	comes("the first seals with it", a, b)
	comes("the second does not yet", b, a)
	if !ends("a login of the old key", early, earlyForm, b) {
		t.Error("a login that began with the old key, where the new one seals now, does not end well where it does not")
	}
	c, f := a.begun(t, alice, alicesPassword)
	if !ends("a login of the new key", c, f, b) {
		t.Error("a login that began with the new key does not end well where it does not seal yet")
	}
	late, lateForm := b.begun(t, alice, alicesPassword) // the last that the old key seals
	at(b, fresh, time.Minute)
	comes("both seal with it", b, a)

	// It is retired at one, then at the other: earliest when a day has passed.
	keysOf[a].run(t, "is honoured until", "retire", old)
	at(a, fresh, 25*time.Hour)
	at(b, fresh, 25*time.Hour)
	keysOf[a].run(t, "", "retire", old)
	if ends("a login of a retired key", late, lateForm, a) {
		t.Error("a login of the old key ends well where that is retired")
	}
	comes("retired at the first", a, b)
	keysOf[b].run(t, "", "retire", old)
	if ends("a login of a retired key", late, lateForm, b) {
		t.Error("a login of the old key ends well after it is retired everywhere")
	}
	comes("retired at both", b, a)
	for i, one := range g {
		if ids := one.published(t); !slices.Equal(ids, []string{fresh}) {
			t.Errorf("gateway %d publishes %v after the retirement", i, ids)
		}
		if !out.at(one).gone(t) {
			t.Errorf("gateway %d lets in who was logged out before the rotation", i)
		}
	}
	during.end()
	during.report(t, "while the key was rotated and retired")

	// Both read what the old key sealed, in new processes, too.
	for i, one := range g {
		if err := one.stop(); err != nil {
			t.Fatal(err)
		}
		if err := one.start(); err != nil {
			t.Fatal(err)
		}
		for n, c := range append(people, in) {
			if s := c.at(one).must(t, request{Path: "/whoami"}).Status; s != http.StatusOK {
				t.Errorf("gateway %d, started anew, answers %d to the %d. who is logged in", i, s, n)
			}
		}
		if !out.at(one).gone(t) {
			t.Errorf("gateway %d, started anew, knows who was logged out", i)
		}
		if _, err := one.stranger(t).loginOnce(alice, alicesPassword, "/"); err != nil {
			t.Errorf("gateway %d: alice, whose password the old key sealed, cannot log in: %v", i, err)
		}
		if said := keysOf[one].run(t, "", "list", "--count"); !regexp.MustCompile(old + ` .*retired +[1-9][0-9]* records`).MatchString(said) {
			t.Errorf("gateway %d:\n%s", i, said)
		}
		record, stderr, code, err := one.command("audit", "show", one.auditDir())
		if err != nil || code != 0 || !regexp.MustCompile(`keys.changed seals="`+fresh+`" retired="`+old+`"`).MatchString(record) {
			t.Errorf("the record of gateway %d does not have the retirement: %v %s\n%s", i, err, stderr, record)
		}
	}
}
