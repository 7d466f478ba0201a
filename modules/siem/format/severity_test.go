package format_test

import (
	"testing"

	"gatehouse.internal/modules/siem/format"
)

func TestSeverity(t *testing.T) {
	for _, c := range []struct {
		stream, kind, reason string
		want                 format.Severity
	}{
		{"access", "request", "", format.Info},
		{"access", "request.refused", "forbidden", format.Low},
		{"access", "request.refused", "rate_limited", format.Low},
		{"access", "request.refused", "login_required", format.Notice},
		{"access", "request.refused", "waf_blocked", format.Medium},
		{"access", "request.refused", "upstream_down", format.Medium},
		{"access", "request.refused", "a_reason_of_tomorrow", format.Low},
		{"waf", "waf.detected", "", format.Medium},
		{"waf", "waf.canary_failed", "", format.High},
		{"audit", "login.succeeded", "", format.Info},
		{"audit", "login.failed", "login_failed", format.Medium},
		{"audit", "admin.done", "", format.Notice},
		{"audit", "user.created", "", format.Notice},
		{"audit", "a.kind_of_tomorrow", "", format.Notice},
		{"audit", "break_glass.used", "", format.High},
		{"system", "audit.failed", "", format.High},
		{"system", "audit.resumed", "", format.Info},
		{"", "", "", format.Info},
	} {
		if got := format.SeverityOf(&format.Record{Stream: c.stream, Kind: c.kind, Reason: c.reason}); got != c.want {
			t.Errorf("%s %s %s has severity %d, want %d", c.stream, c.kind, c.reason, got, c.want)
		}
	}
}
