package testenv

import (
	"strings"
	"testing"
)

// dataRace is the first report of a data race; empty: none.
func dataRace(content []byte) string {
	for _, report := range strings.Split(string(content), "==================") {
		if strings.Contains(report, "WARNING: DATA RACE") && !caddysRace(report) {
			return report
		}
	}
	return ""
}

// caddysRace reports the races that are Caddy's own, as of v2.11.9. Each names the first frames of both sides, so that a race of
// ours with the same code is not taken for one.
//
//   - App.Start lets a server accept TCP connections before serveHTTP3 sets the field h3server, which ServeHTTP reads. What is
//     read is nil or the server, and nil only leaves the Alt-Svc header out.
//   - The reverse proxy counts the bytes read of a request body in a plain int. An HTTP/2 transport whose stream ends closes the
//     body from a goroutine of its own while another may read. At worst the body is not closed there and then but when the
//     handler returns, by net/http.
func caddysRace(report string) bool {
	const caddyhttp = "github.com/caddyserver/caddy/v2/modules/caddyhttp"
	one, other, ok := strings.Cut(report, "Previous ")
	if !ok {
		return false
	}
	switch [2]string{firstFrame(one), firstFrame(other)} {
	case [2]string{caddyhttp + ".(*Server).serveHTTP3()", caddyhttp + ".(*Server).ServeHTTP()"},
		[2]string{caddyhttp + "/reverseproxy.(*bodyNopCloserIfNotRead).Read()", caddyhttp + "/reverseproxy.(*bodyNopCloserIfNotRead).Close()"},
		[2]string{caddyhttp + "/reverseproxy.(*bodyNopCloserIfNotRead).Close()", caddyhttp + "/reverseproxy.(*bodyNopCloserIfNotRead).Read()"}:
		return true
	}
	return false
}

// firstFrame is the function below the line that says what was done.
func firstFrame(stack string) string {
	_, frames, _ := strings.Cut(stack, " by ")
	_, frames, _ = strings.Cut(frames, "\n")
	frame, _, _ := strings.Cut(frames, "\n")
	return strings.TrimSpace(frame)
}

func TestDataRaceIsFound(t *testing.T) {
	report := func(one, other string) string {
		const caddyhttp = "  github.com/caddyserver/caddy/v2/modules/caddyhttp"
		return "==================\nWARNING: DATA RACE\nWrite at 0x00c0 by goroutine 304:\n" + caddyhttp + one + "\n      a.go:1085 +0x645\n\n" +
			"Previous read at 0x00c0 by goroutine 384:\n" + caddyhttp + other + "\n      a.go:634\n==================\n"
	}
	const body = "/reverseproxy.(*bodyNopCloserIfNotRead)"
	for _, caddys := range []string{
		report(".(*Server).serveHTTP3()", ".(*Server).ServeHTTP()"),
		report(body+".Read()", body+".Close()"),
		report(body+".Close()", body+".Read()"),
	} {
		if r := dataRace([]byte(caddys)); r != "" {
			t.Errorf("Caddy's own race is reported: %s", r)
		}
		for _, ours := range []string{
			report(".(*Server).serveHTTP3()", ".(*Server).serveHTTP()"),
			report(body+".Read()", body+".Read()"), // one body read by two
			report(body+".Read()", ".(*Server).ServeHTTP()"),
		} {
			if dataRace([]byte(caddys+ours)) == "" {
				t.Errorf("another race is not reported: %s", ours)
			}
		}
	}
}
