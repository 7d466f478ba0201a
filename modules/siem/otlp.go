package siem

import (
	"context"

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
	_, err = s.post(ctx, "application/x-protobuf", body)
	return err
}

func text(s string) *common.AnyValue {
	return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
}
