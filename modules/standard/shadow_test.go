package standard_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

const candidate = `allow role staff
		public /open/*
		policy_shadow {
			allow role staff
			route /admin/* {
				allow role admin
			}
			route /confirmed/* {
				allow role staff
				mfa
			}
		}`

type shadowed struct {
	Sites []struct {
		Site        string
		Judged      int
		Differences []struct {
			User, Route, Now, Then, Method, Path string
			NowRule                              string `json:"now_rule"`
			ThenRule                             string `json:"then_rule"`
			Request                              string `json:"request_id"`
			Count                                int
		}
	}
}

// A candidate policy is judged beside the one that is in force: nothing of it is done, and what it would have done is told, by
// person and route.
func TestPolicyShadow(t *testing.T) {
	g := operate(t, "idp", "voucher", "policy", candidate, "backend", "reverse_proxy "+backend(t))
	sam, ada := as(t, g.Gateway, "app.test", "as=sam&roles=staff"), as(t, g.Gateway, "app.test", "as=ada&roles=staff")
	ask := func(c *http.Client, path string, want int) {
		t.Helper()
		if res, body := get(t, c, "https://app.test"+path); res.StatusCode != want {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { ask(sam, "/admin/x", 200) })
	}
	wg.Wait()
	ask(ada, "/admin/y", 200)
	ask(sam, "/confirmed/x", 200)
	ask(sam, "/x", 200)
	ask(g.Client(), "/open/x", 200) // by the candidate: to be logged in
	ask(g.Client(), "/x", 401)

	var got shadowed
	if err := json.Unmarshal([]byte(g.ok("policy", "shadow", "--json")), &got); err != nil || len(got.Sites) != 1 {
		t.Fatalf("%v, %+v", err, got)
	}
	s := got.Sites[0]
	if s.Site != "app.test" || s.Judged != 8 || len(s.Differences) != 4 {
		t.Fatalf("%+v", s)
	}
	first := s.Differences[0]
	if first.User != "voucher:sam" || first.Route != "route /admin/*" || first.Now != "allow" || first.Then != "deny" || first.Count != 3 ||
		first.Path != "/admin/x" || first.Method != "GET" || first.NowRule == "" || first.ThenRule == "" || !strings.Contains(g.Log(), first.Request) {
		t.Errorf("%+v", first)
	}
	seen := map[string]bool{}
	for _, d := range s.Differences {
		seen[d.User+" "+d.Route+" "+d.Now+">"+d.Then] = true
	}
	for _, want := range []string{"voucher:ada route /admin/* allow>deny", "voucher:sam route /confirmed/* allow>mfa", " site allow>login"} {
		if !seen[want] {
			t.Errorf("nothing says %q: %v", want, seen)
		}
	}
	if table := g.ok("policy", "shadow"); !strings.Contains(table, "8 requests judged, 4 kinds of difference") || !strings.Contains(table, `"voucher:ada"`) {
		t.Errorf("the table:\n%s", table)
	}
	if !strings.Contains(g.Log(), `"policy_shadow":"deny by `) {
		t.Error("the access log does not say what the candidate would have done")
	}
}

func TestPolicyShadowIsChecked(t *testing.T) {
	for text, says := range map[string]string{
		"policy_shadow {\n allow rolle staff\n}":                           "rolle",
		"policy_shadow {\n cors https://x.test\n}":                         "the words are allow, deny, public, route, mfa",
		"policy_shadow {\n allow role staff device known\n}":               "policy_shadow: device: the gateway tells devices apart only where the house says `verify`",
		"policy_shadow now":                                                "write one block",
		"policy_shadow {\n allow role a\n}\npolicy_shadow {\n public /\n}": "write one block",
	} {
		err := gatetest.New(t).Load(fill(newcomer, pairs("policy", "allow role staff\n"+text)))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
	g := operate(t, "policy", "allow role staff")
	g.no("no site has a candidate policy", "policy", "shadow")
}
