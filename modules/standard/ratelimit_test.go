package standard_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// A client gets the burst, then 429 that says when to come back; a reload gives nothing back; the log names the limit.
func TestRateLimit(t *testing.T) {
	policy := "public /*\n rate_limit 1r/h burst 3\n rate_limit 1r/h /export/*"
	g := openSite(t, "policy", policy)
	c := g.Client()
	for i := range 3 {
		res, _ := get(t, c, "https://app.test/")
		if res.StatusCode != 200 || res.Header.Get("RateLimit") != `"client";r=`+strconv.Itoa(2-i)+`;t=`+strconv.Itoa(3600*(i+1)) {
			t.Fatalf("request %d: %d, RateLimit %q", i, res.StatusCode, res.Header["Ratelimit"])
		}
	}
	res, body := get(t, c, "https://app.test/")
	wait, _ := strconv.Atoi(res.Header.Get("Retry-After"))
	if res.StatusCode != 429 || !strings.Contains(body, `"reason":"rate_limited"`) || wait < 3500 || wait > 3600 || res.Header.Get("RateLimit-Policy") != `"client";q=3;w=10800` {
		t.Fatalf("%d, Retry-After %d, policy %q: %s", res.StatusCode, wait, res.Header["Ratelimit-Policy"], body)
	}
	if line := logLine(t, g, res.Header.Get("X-Request-Id")); !strings.Contains(line, "1r/h burst 3 of client network 127.0.0.1/32") {
		t.Errorf("the log does not name the limit: %s", line)
	}
	if err := g.Load(fill(newcomer, pairs("policy", policy, "backend", "respond hello"))); err != nil {
		t.Fatal(err)
	}
	if res, _ := get(t, g.Client(), "https://app.test/"); res.StatusCode != 429 {
		t.Errorf("after a reload: %d", res.StatusCode)
	}
}

// Without a word from the operator the gateway's own pages have a limit, and the site has none (CAL-11).
func TestLoginPagesAreLimitedByDefault(t *testing.T) {
	g := openSite(t)
	c := g.Client()
	got := map[int]int{}
	for range 150 {
		res, _ := get(t, c, "https://app.test/.gatehouse/nothing")
		got[res.StatusCode]++
	}
	if got[http.StatusTooManyRequests] == 0 || got[http.StatusNotFound] < 100 {
		t.Errorf("150 requests for the gateway's pages: %v", got)
	}
	if res, _ := get(t, c, "https://app.test/"); res.StatusCode != 200 || res.Header.Get("RateLimit") != "" {
		t.Errorf("the site: %d, %v", res.StatusCode, res.Header)
	}
}

// What an operator writes for all of the gateway's pages replaces the default, also in the manual's words, which do not
// say whom it counts: once, the default went on beside it.
func TestLoginPagesAreLimitedAsWritten(t *testing.T) {
	for _, words := range []string{"rate_limit 1000r/s burst 1000 /.gatehouse/*", "rate_limit 1000r/s burst 1000 per client /.gatehouse/*"} {
		g := openSite(t, "policy", "public /*\n "+words)
		c := g.Client()
		for i := range 150 {
			if res, _ := get(t, c, "https://app.test/.gatehouse/nothing"); res.StatusCode != http.StatusNotFound {
				t.Fatalf("%s: request %d: %d", words, i, res.StatusCode)
			}
		}
	}
}

// Users are limited on all of their devices together, and others behind the same address are not (CAL-11).
func TestRateLimitPerUser(t *testing.T) {
	g := openSite(t, "idp", "voucher", "policy", "allow authenticated\n rate_limit 1r/h burst 5 per user /work/*\n rate_limit 1r/h burst 4 per session /work/*")
	one, two := as(t, g, "app.test", "as=sam&roles=staff"), as(t, g, "app.test", "as=sam&roles=staff")
	kim := as(t, g, "app.test", "as=kim&roles=staff")
	want := func(c *http.Client, status int) {
		t.Helper()
		if res, body := get(t, c, "https://app.test/work/x"); res.StatusCode != status {
			t.Fatalf("%d, want %d: %s", res.StatusCode, status, body)
		}
	}
	for range 4 {
		want(one, 200)
	}
	want(one, 429) // the session's
	want(two, 200) // the user's fifth
	want(two, 429)
	want(kim, 200)
	if res, _ := get(t, one, "https://app.test/"); res.StatusCode != 200 {
		t.Errorf("outside the limited paths: %d", res.StatusCode)
	}
}

func TestMaxConcurrent(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	up := handlerBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
	})
	g := openSite(t, "policy", "public /*\n max_concurrent 2", "backend", "reverse_proxy "+up)
	c := g.Client()
	done := make(chan int, 2)
	for range 2 {
		go func() {
			res, err := c.Get("https://app.test/slow")
			if err != nil {
				done <- 0
				return
			}
			res.Body.Close()
			done <- res.StatusCode
		}()
		<-arrived
	}
	res, body := get(t, c, "https://app.test/")
	if res.StatusCode != 429 || !strings.Contains(body, "rate_limited") || res.Header.Get("Retry-After") != "1" {
		t.Errorf("the third at a time: %d %s", res.StatusCode, body)
	}
	close(release)
	for range 2 {
		if status := <-done; status != 200 {
			t.Errorf("one of the two: %d", status)
		}
	}
	if res, _ := get(t, c, "https://app.test/"); res.StatusCode != 200 {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
}

func handlerBackend(t *testing.T, h http.HandlerFunc) (address string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// A line for the gateway's own pages stands in the place of the limit that they have without a word, whether it says
// whose requests it counts or not.
func TestOwnLimitOfTheLoginPages(t *testing.T) {
	for _, line := range []string{"rate_limit 500r/s /.gatehouse/*", "rate_limit 500r/s per client /.gatehouse/*"} {
		c := openSite(t, "policy", "public /*\n "+line).Client()
		for i := range 120 { // more than the 100 at once that there are otherwise
			if res, _ := get(t, c, "https://app.test/.gatehouse/session"); res.StatusCode == 429 {
				t.Errorf("%s: request %d was refused", line, i+1)
				break
			}
		}
	}
}
