package testenv

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

// TestGuessersWait (NAT-10): who guesses a password waits twice as long after each failure, and is told for how long; an attempt in
// between is not judged, right or wrong. Meanwhile the victim logs in from the browser that they have used before, and once the pause is
// over from any; that ends it, and nobody stays locked out.
func TestGuessersWait(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Backend: be.Listen})
	home := g.newUser(t, "alice", alicesPassword)
	if _, err := home.logout(); err != nil {
		t.Fatal(err)
	}
	attempt := func(c *client, password string) *answer {
		t.Helper()
		a, err := c.loginOnce("alice", password, "/")
		if a == nil {
			t.Fatal(err)
		}
		return a
	}
	for k, pause := 0, time.Second; k < 5; k, pause = k+1, 2*pause {
		began := time.Now()
		if a := attempt(g.stranger(t), "a guess at a password "+strconv.Itoa(k)); a.Status != http.StatusForbidden {
			t.Fatalf("guess %d, after its pause: status %d", k, a.Status)
		}
		judged := time.Now()
		a := attempt(g.stranger(t), alicesPassword)
		left, err := strconv.Atoi(a.Header.Get("Retry-After"))
		switch took := time.Since(began); {
		case took < pause && (a.Status != http.StatusTooManyRequests || err != nil):
			t.Errorf("in the pause after guess %d: status %d, Retry-After %q", k, a.Status, a.Header.Get("Retry-After"))
		case a.Status == http.StatusTooManyRequests && (time.Duration(left)*time.Second > pause || time.Duration(left)*time.Second < pause-took):
			t.Errorf("after guess %d: wait %ds, want at most %v", k, left, pause)
		case a.Status != http.StatusTooManyRequests && k > 2: // nothing takes that long
			t.Errorf("after guess %d an attempt that took %v is judged, in a pause of %v", k, took, pause)
		case a.Status != http.StatusTooManyRequests: // a slow machine: the pause was over
			t.Skipf("an attempt took %v: too slow a machine to look at a pause of %v", took, pause)
		}
		if k == 3 {
			if a, err := home.loginOnce("alice", alicesPassword, "/"); err != nil {
				t.Errorf("the victim, from the browser they have used before: %v, %+v", err, a)
			}
		}
		time.Sleep(time.Until(judged.Add(pause + 100*time.Millisecond))) // the pause itself is what is looked at
	}
	if _, err := g.stranger(t).loginOnce("alice", alicesPassword, "/"); err != nil {
		t.Errorf("once the pause is over, from anywhere: %v", err)
	}
	if a := attempt(g.stranger(t), "one more guess"); a.Status != http.StatusForbidden {
		t.Errorf("after a login the count does not begin anew: %d", a.Status)
	}
}
