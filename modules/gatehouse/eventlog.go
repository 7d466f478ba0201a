package gatehouse

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"gatehouse.internal/modules/internal/event"
)

// newEventLog returns a bus subscriber that writes each event as one log line, which names nobody where the veil says so. Fields that
// do not apply are left out.
func newEventLog(logger *zap.Logger, veil func(*event.Ended) (string, bool)) func(event.Event) {
	return func(e event.Event) {
		level := zapcore.InfoLevel
		switch e.Kind {
		case event.BreakGlassUsed: // somebody has to hear of it now
			level = zapcore.ErrorLevel
		case event.AlertRaised, event.AlertUndelivered:
			level = zapcore.WarnLevel
		}
		line := logger.Check(level, string(e.Kind))
		if line == nil {
			return
		}
		said := event.Ended{Event: e}
		client, veiled := veil(&said)
		e = said.Event
		fields := make([]zap.Field, 0, 16)
		text := func(key, value string) {
			if value != "" {
				fields = append(fields, zap.String(key, value))
			}
		}
		fields = append(fields, zap.Time("time", e.Time))
		text("request_id", e.RequestID)
		text("site", e.Site)
		fields = AppendClient(fields, e.ClientIP, client, veiled)
		text("user", e.User)
		text("session", e.Session)
		text("method", e.Method)
		text("path", e.Path)
		if e.Status != 0 {
			fields = append(fields, zap.Int("status", e.Status))
		}
		text("reason", string(e.Reason))
		text("detail", e.Detail)
		for _, a := range e.Attrs {
			text(a.Key, a.Value)
		}
		line.Write(fields...)
	}
}
