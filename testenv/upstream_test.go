package testenv

import (
	"net/http"
	"testing"
)

// TestHalfAnswer: an answer that the application breaks off does not look whole to the client.
func TestHalfAnswer(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	user := g.newUser(t, "alice", "two cranes over a tin roof")
	for _, version := range []string{"1.1", "2", "3"} {
		for _, path := range []string{"/half", "/half?chunked"} {
			a, err := user.do(request{Path: path, HTTP: version})
			if err == nil && a.Status == http.StatusOK {
				t.Errorf("%s over %s: %d bytes that look like all of it", path, version, len(a.Body))
			}
			if a == nil {
				continue // nothing of it arrived
			}
			if line, err := g.accessLine(a.Header.Get("X-Request-Id")); err != nil || line["reason"] != "upstream_down" {
				t.Errorf("%s over %s: the log says %v, %v", path, version, line["reason"], err)
			}
		}
		if a, err := user.do(request{Path: "/", HTTP: version}); err != nil || a.Status != http.StatusOK {
			t.Errorf("after the half answers over %s: %v, %v", version, a, err)
		}
	}
}

// TestUpload: a large body passes as it is where it is not inspected in full, and is refused with our words where it
// would have to be.
func TestUpload(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	g := startGateway(t, config{Race: true, Backend: be.Listen})
	user := g.newUser(t, "alice", "two cranes over a tin roof")
	small := make([]byte, 64<<10)
	for i := range small {
		small[i] = byte(i * 7)
	}
	for _, version := range []string{"1.1", "2", "3"} {
		a := user.must(t, request{
			Method: "POST", Path: "/upload", HTTP: version, Body: small, Header: http.Header{"Content-Type": {"application/octet-stream"}},
		})
		if a.Status != http.StatusOK {
			t.Errorf("64 KiB over %s: status %d", version, a.Status)
		}
	}
	be.mustForget(t)
	user.must(t, request{Method: "POST", Path: "/upload", Body: small, Header: http.Header{"Content-Type": {"application/octet-stream"}}})
	if seen := be.mustSee(t); seen.Total != 1 || seen.Requests[0].Bytes != int64(len(small)) {
		t.Errorf("the application got %+v", seen.Requests)
	}
}
