package siem

import (
	"context"
	"fmt"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// otlp sends OpenTelemetry logs over HTTP, as protocol buffers.
type otlp struct {
	*poster
	node string
}

func (s otlp) send(ctx context.Context, entries []entry) error {
	records := make([]*logs.LogRecord, len(entries))
	for i, e := range entries {
		records[i] = &logs.LogRecord{
			TimeUnixNano: uint64(e.at), ObservedTimeUnixNano: uint64(e.at), SeverityNumber: logs.SeverityNumber_SEVERITY_NUMBER_INFO,
			Body:       text(string(e.text)),
			Attributes: []*common.KeyValue{{Key: "gatehouse.stream", Value: text(e.stream)}, {Key: "event.id", Value: text(e.id)}},
		}
	}
	body, err := proto.Marshal(&collogs.ExportLogsServiceRequest{ResourceLogs: []*logs.ResourceLogs{{
		Resource:  &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: text("gatehouse")}, {Key: "host.name", Value: text(s.node)}}},
		ScopeLogs: []*logs.ScopeLogs{{Scope: &common.InstrumentationScope{Name: "gatehouse"}, LogRecords: records}},
	}}})
	if err != nil {
		return err
	}
	answer, err := s.post(ctx, "application/x-protobuf", body)
	if err != nil {
		return err
	}
	return otlpOutcome(answer)
}

// otlpOutcome reads the answer to a request that was taken: some records may have been rejected all the same.
func otlpOutcome(answer []byte) error {
	var got collogs.ExportLogsServiceResponse
	if proto.Unmarshal(answer, &got) != nil {
		return nil // the status says that it was taken, and nothing else was understood
	}
	if n := got.GetPartialSuccess().GetRejectedLogRecords(); n > 0 {
		return fmt.Errorf("%w: %d: %.200s", errRejected, n, got.GetPartialSuccess().GetErrorMessage())
	}
	return nil
}

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}
