package authn_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// count is how many of the browsers are logged in.
func count(browsers ...*browser) (n int) {
	for _, b := range browsers {
		if b.alive() {
			n++
		}
	}
	return n
}

// A person has as many sessions as they may; one more ends the oldest, or is refused, and either is told (CER-10).
func TestSessionLimit(t *testing.T) {
	h := openGate(t, "{{session}}", "max_sessions 2")
	first, second, third, eve := h.browser().login("ada", "1"), h.browser().login("ada", "2"), h.browser(), h.browser().login("eve", "9")
	if n := count(first, second); n != 2 {
		t.Fatalf("%d sessions live", n)
	}
	third.login("ada", "4")
	first.wantAlive("the oldest", false)
	if n := count(second, third, eve); n != 3 {
		t.Errorf("%d of the others live", n)
	}
	eventually(t, "the events", func() bool {
		return strings.Contains(h.Log(), `"action":"evicted","limit":"2"`) && h.ended("more than 2 sessions") == 1
	})
}

func TestSessionLimitRefuses(t *testing.T) {
	h := openGate(t, "{{session}}", "max_sessions 2 refuse")
	first, second, third := h.browser().login("ada", "1"), h.browser().login("ada", "2"), h.browser()
	a := third.get(callback(third.begin("/.gatehouse/login"), "ada", "3"))
	if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "too_many_sessions") || third.alive() {
		t.Errorf("one too many: status %d", a.StatusCode)
	}
	if n := count(first, second); n != 2 {
		t.Errorf("%d of the others live", n)
	}
	eventually(t, "the event", func() bool { return strings.Contains(h.Log(), `"action":"refused","limit":"2"`) })

	// Of many at once, as many get in as may.
	bobs := make([]*browser, 8)
	var wg sync.WaitGroup
	for i := range bobs {
		bobs[i] = h.browser()
		state := bobs[i].begin("/.gatehouse/login")
		wg.Go(func() { bobs[i].get(callback(state, "bob", "5")) })
	}
	wg.Wait()
	if n := count(bobs...); n > 2 || n == 0 {
		t.Errorf("%d sessions live", n)
	}
}

func TestSessionLimitOfManyAtOnce(t *testing.T) {
	h := openGate(t, "{{session}}", "max_sessions 2")
	bobs := make([]*browser, 8)
	var wg sync.WaitGroup
	for i := range bobs {
		bobs[i] = h.browser()
		state := bobs[i].begin("/.gatehouse/login")
		wg.Go(func() { bobs[i].get(callback(state, "bob", "5")) })
	}
	wg.Wait()
	if n := count(bobs...); n > 2 || n == 0 {
		t.Errorf("%d sessions live", n)
	}
}

// Sessions in use from networks that are far apart at once are told of, and nothing else becomes of them.
func TestSessionsFarApart(t *testing.T) {
	h := openGate(t, "{{house}}", "{{house}}\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/8\n\t}")
	from := func(address, who string) *browser {
		t.Helper()
		b := h.browser()
		state := b.begin("/.gatehouse/login")
		if a := b.get(callback(state, who, "1"), "X-Forwarded-For", address); a.StatusCode != http.StatusSeeOther {
			t.Fatalf("status %d\n%s", a.StatusCode, a.body)
		}
		return b
	}
	here, near, six := from("198.51.100.7", "ada"), from("198.51.7.7", "ada"), from("2001:db8::7", "ada")
	if strings.Contains(h.Log(), "session.far_apart") {
		t.Error("neighbours are far apart")
	}
	far, eve := from("203.0.113.9", "ada"), from("192.0.2.1", "eve")
	eventually(t, "the events", func() bool {
		return strings.Count(h.Log(), `"session.far_apart"`) == 2 && strings.Contains(h.Log(), `"other_network":"198.51.100.0/24"`)
	})
	if n := count(here, near, six, far, eve); n != 5 {
		t.Errorf("%d live", n)
	}
}
