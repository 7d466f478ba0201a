package testenv

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// upgradeHouse has nothing but words that gateways had from the first that shared a state.
const upgradeHouse = `{
	import {$COMMON}
	shutdown_delay 3s
	gatehouse {
		state_dir {$STATE}
		keys file {$KEYS}
		store valkey {$VALKEY}
		mfa {
			insecure_admins_without_factor
		}
		local {
			first_user_roles {$ROLES}
		}
	}
}
https://app.test:{$PORT} {
	tls {$CERT} {$KEY}
	gatehouse {
		allow role staff
		public /healthz
		` + storyRate + `
	}
	reverse_proxy {$BACKEND}
}
`

// TestUpgrade tells of two gateways of an earlier version, GATEHOUSE_OLD, behind a balancer: under load one is replaced by this version,
// both work side by side, the other is replaced, and then all of it is undone. No request is lost, and nobody who was logged out comes in. `make
// upgrade` builds the earlier version.
func TestUpgrade(t *testing.T) {
	old := os.Getenv("GATEHOUSE_OLD")
	if old == "" {
		t.Skip("make upgrade tells it, with a gateway of an earlier version")
	}
	be, r := startBackend(t), startRedis(t)
	g := startClusterWith(t, 2, r, config{Bin: old, Backend: be.Listen, Caddyfile: upgradeHouse})
	const every = 100 * time.Millisecond
	_, front := startBalancer(t, every, g)
	const alice = "alice"
	in := g[1].newUser(t, alice, alicesPassword) // the one that started last has the set-up link
	out := front.stranger(t)
	if _, err := out.loginOnce(alice, alicesPassword, "/"); err != nil {
		t.Fatal(err)
	}
	if err := out.logoutStolen(); err != nil {
		t.Fatal(err)
	}
	during := underLoad(in, out, []*gateway{front, front})
	people := []*client{in}
	names := map[string]string{old: "old", gatehouseBin(t): "new"}
	networks := 0
	both := func(when string) {
		t.Helper()
		for i, here := range g {
			there := g[1-i]
			way := when + ", from " + names[here.bin] + " to " + names[there.bin]
			beside(t, way, here, there, alice, &networks, &people)
			for n, c := range people {
				if s := c.at(here).must(t, request{Path: "/whoami"}).Status; s != http.StatusOK {
					t.Errorf("%s: the %s gateway answers %d to the %d. of who is logged in", when, names[here.bin], s, n)
				}
			}
		}
		said, stderr, code, err := g[0].command("status", "--address", "unix/"+g[0].env["ADMIN"])
		if err != nil || code != 0 {
			t.Errorf("%s: status: %v, exit code %d\n%s%s", when, err, code, said, stderr)
		}
		t.Logf("%s\n%s", when, said)
	}
	replace := func(one *gateway, bin string) {
		t.Helper()
		begin := time.Now()
		if err := one.stop(); err != nil {
			t.Fatal(err)
		}
		one.bin = bin
		if err := one.start(); err != nil {
			t.Fatal(err)
		}
		t.Logf("replaced by the %s version in %v", names[bin], time.Since(begin).Round(time.Millisecond))
		time.Sleep(5 * every) // as whoever rolls waits until the balancer has it again
	}
	both("before")
	replace(g[0], gatehouseBin(t))
	both("side by side")
	replace(g[1], gatehouseBin(t))
	both("upgraded")
	replace(g[0], old)
	both("on the way back")
	replace(g[1], old)
	both("undone")
	during.end()
	during.report(t, "while the version changed four times")
}

// beside holds what happens at one gateway against what the other does: logins, logouts, what runs, and bans.
func beside(t *testing.T, way string, here, there *gateway, user string, networks *int, people *[]*client) {
	t.Helper()
	c := here.stranger(t)
	if _, err := c.loginOnce(user, alicesPassword, "/"); err != nil {
		t.Errorf("%s: a login: %v", way, err)
		return
	}
	*people = append(*people, c)
	begun, form := here.begun(t, user, alicesPassword)
	ends := begun.at(there)
	if a, err := ends.submit(form); err != nil || ends.expectLogin(a) != nil {
		t.Errorf("%s: a login that ends elsewhere: %v, %v", way, err, ends.expectLogin(a))
		return
	}
	conn := ends.at(there).mustOpen(t)
	leaves := ends.at(here)
	if err := leaves.logoutStolen(); err != nil {
		t.Errorf("%s: a logout: %v", way, err)
	}
	ends.stolen = leaves.stolen
	t.Logf("%s: a websocket is cut %v after the logout", way, cutIn(t, conn).Round(time.Microsecond))
	if !ends.at(there).gone(t) {
		t.Errorf("%s: who was logged out is not, elsewhere", way)
	}
	*networks++
	network := fmt.Sprintf("203.0.113.%d", *networks)
	if _, stderr, code, err := here.command("ban", "add", network, "--for", "10m", "--address", "unix/"+here.env["ADMIN"]); err != nil || code != 0 {
		t.Fatalf("%s: ban add: %v, exit code %d\n%s", way, err, code, stderr)
	}
	eventually(t, logSoonIn, way+": the ban is in force", func() bool { return there.bans(network) })
}

// bans reports whether the gateway shuts that address out.
func (g *gateway) bans(address string) bool {
	body, err := g.adminGet("/gatehouse/bans?check=" + address)
	var finding struct{ Action string }
	return err == nil && json.Unmarshal(body, &finding) == nil && finding.Action == "ban"
}

// TestClusterForms: a state that another version keeps in another form, be that newer or older, is kept apart from this one: a gateway does
// not start on it, and one that runs when the form changes reads and writes nothing any more, goes on with who is logged in, and says why.
func TestClusterForms(t *testing.T) {
	t.Parallel()
	be, r := startBackend(t), startRedis(t, "--enable-debug-command", "yes")
	g := startClusterWith(t, 2, r, config{Backend: be.Listen})
	const user = "alice"
	in := g[1].newUser(t, user, alicesPassword) // the one that started last has the set-up link
	out := g[0].stranger(t)
	if _, err := out.loginOnce(user, alicesPassword, "/"); err != nil {
		t.Fatal(err)
	}
	if s := in.at(g[0]).must(t, request{Path: "/whoami"}).Status; s != http.StatusOK { // it has seen her
		t.Fatalf("status %d", s)
	}
	cli := func(args ...string) string {
		t.Helper()
		said, err := exec.Command("redis-cli", append([]string{"-s", r.socket()}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("redis-cli: %v\n%s", err, said)
		}
		return strings.TrimSpace(string(said))
	}
	const form = "{gatehouse:gatehouse}:schema"
	mine := cli("GET", form)
	for _, other := range []struct{ form, why string }{
		{"1000000", "a newer version's"},
		{"0", "an older version's"},
	} {
		if err := g[1].stop(); err != nil {
			t.Fatal(err)
		}
		cli("SET", form, other.form)
		if err := g[1].start(); err == nil || !strings.Contains(err.Error(), other.why) || !strings.Contains(err.Error(), other.form) {
			t.Errorf("on a state of form %s a gateway starts, or does not say why not: %v", other.form, err)
		}
		eventually(t, logSoonIn, "the gateway that runs says why", func() bool {
			said, stderr, code, err := g[0].command("status", "--address", "unix/"+g[0].env["ADMIN"])
			return err == nil && code != 0 && strings.Contains(said+stderr, other.why) && strings.Contains(said, "valkey")
		})
		before := cli("DEBUG", "DIGEST")
		if s := in.at(g[0]).must(t, request{Path: "/whoami"}).Status; s != http.StatusOK {
			t.Errorf("form %s: who is logged in is answered %d", other.form, s)
		}
		if a, err := g[0].newClient().loginOnce(user, alicesPassword, "/"); err == nil || a == nil || a.Status != http.StatusServiceUnavailable {
			t.Errorf("form %s: a login: %v", other.form, err)
		}
		if _, _, code, err := g[0].command("ban", "add", "203.0.113.7", "--for", "10m", "--address", "unix/"+g[0].env["ADMIN"]); err != nil || code == 0 {
			t.Errorf("form %s: a ban is acknowledged: exit code %d, %v", other.form, code, err)
		}
		if after := cli("DEBUG", "DIGEST"); after != before {
			t.Errorf("form %s: the gateway has written", other.form)
		}
		cli("SET", form, mine)
		if err := g[1].start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, readyIn, "logins work again", func() bool {
			c := g[0].newClient()
			defer c.close()
			_, err := c.loginOnce(user, alicesPassword, "/")
			return err == nil
		})
		for i := range g {
			// What it knew from before it heard of the others again, it asks for once more.
			eventually(t, readyIn, "the gateway hears of the others", func() bool {
				body, err := g[i].adminGet("/metrics")
				return err == nil && strings.Contains(string(body), "gatehouse_store_feed 1")
			})
			if s := in.at(g[i]).must(t, request{Path: "/whoami"}).Status; s != http.StatusOK {
				t.Errorf("form %s, and back: gateway %d answers %d to who is logged in", other.form, i, s)
			}
		}
	}
	if !strings.Contains(g[0].log(t), "store.refused") {
		t.Error("nobody was told")
	}
}
