package audit_test

import (
	"strings"
	"testing"

	"gatehouse.internal/modules/audit"
)

// A log may hold anything: what is no line about the request is passed over.
func TestStoryReadsAnyLog(t *testing.T) {
	log := strings.Join([]string{
		"no JSON at all, and R1 in it", `{"request_id":"R1","msg":`, `[]`, `{"request_id":"R10","msg":"request"}`, `{"request_id":1,"msg":"R1"}`,
		`{"ts":1795890606.5,"request_id":"R1","msg":"request","host":"app.test","method":"GET","path":"/x","status":502,"reason":"upstream_down"}`,
		`{"ts":"2026-11-28T18:00:00Z","request_id":"R1","msg":"request.refused","detail":"dial\n\u001b[31m"}`,
	}, "\n")
	var s audit.Story
	if err := s.Scan(strings.NewReader(log), "R1"); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := s.Write(&b, "R1"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2026-11-28T18:30:06.500Z GET app.test/x → 502", "why      upstream_down\n", "detail=\"dial\ufffd\ufffd[31m\"", "look at the application"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, b.String())
		}
	}
	if err := new(audit.Story).Write(&b, "R2"); err == nil {
		t.Error("a story of nothing")
	}
}
