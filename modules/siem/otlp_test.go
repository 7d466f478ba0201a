package siem

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse.internal/modules/internal/secret"
)

// otlpReceiver implements the LogsService of OpenTelemetry's own definitions; the code that they generate reads the requests, at
// the path that they name. What the definitions do not know is refused.
type otlpReceiver struct {
	collogs.UnimplementedLogsServiceServer
	answer *collogs.ExportLogsServiceResponse

	mu  sync.Mutex
	got []*collogs.ExportLogsServiceRequest // guarded by mu
}

func (o *otlpReceiver) Export(_ context.Context, req *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	if where := unknownIn(req.ProtoReflect(), "request"); where != "" {
		return nil, status.Error(codes.InvalidArgument, "unknown fields in "+where)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, req)
	return o.answer, nil
}

// unknownIn names the first message that has fields which its definition does not.
func unknownIn(m protoreflect.Message, where string) (found string) {
	if len(m.GetUnknown()) > 0 {
		return where
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := where + "." + string(f.Name())
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				if found = unknownIn(v.List().Get(i).Message(), fmt.Sprintf("%s[%d]", name, i)); found != "" {
					break
				}
			}
		default:
			found = unknownIn(v.Message(), name)
		}
		return found == ""
	})
	return found
}

func (o *otlpReceiver) serve(t *testing.T) *poster {
	t.Helper()
	mux := runtime.NewServeMux(runtime.WithMarshalerOption("application/x-protobuf", &runtime.ProtoMarshaller{}))
	if err := collogs.RegisterLogsServiceHandlerServer(t.Context(), mux, o); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Authorization") != "Bearer hush" {
			http.Error(w, "no", http.StatusUnsupportedMediaType)
			return
		}
		r.Header.Set("Accept", "application/x-protobuf")
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	p, err := newPoster(srv.URL, "/v1/logs", nil, "Bearer", secret.New("hush"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What is sent is what OpenTelemetry's definitions say, field by field; records that the receiver takes out are rejected ones.
func TestOTLP(t *testing.T) {
	o := &otlpReceiver{answer: &collogs.ExportLogsServiceResponse{}}
	sink := otlp{o.serve(t), "gw1"}
	if err := sink.send(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range o.got[0].ResourceLogs[0].Resource.Attributes {
		names = append(names, a.Key+"="+a.Value.GetStringValue())
	}
	if !slices.Equal(names, []string{"service.name=gatehouse", "host.name=gw1"}) {
		t.Errorf("the resource is %q", names)
	}
	records := o.got[0].ResourceLogs[0].ScopeLogs[0].LogRecords
	if len(records) != len(two) {
		t.Fatalf("%d records", len(records))
	}
	for i, r := range records {
		if r.Body.GetStringValue() != string(two[i].text) || r.TimeUnixNano != uint64(two[i].at) || r.ObservedTimeUnixNano == 0 ||
			r.Attributes[0].Value.GetStringValue() != two[i].stream || r.Attributes[1].Value.GetStringValue() != two[i].id {
			t.Errorf("record %d is %v", i, r)
		}
	}
	o.answer = &collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{RejectedLogRecords: 1, ErrorMessage: "too old"}}
	if err := sink.send(t.Context(), two); !errors.Is(err, errRejected) || !strings.Contains(err.Error(), "too old") {
		t.Errorf("a record that was rejected: %v", err)
	}
	o.answer = &collogs.ExportLogsServiceResponse{PartialSuccess: &collogs.ExportLogsPartialSuccess{ErrorMessage: "a warning"}}
	if err := sink.send(t.Context(), two); err != nil {
		t.Errorf("a warning: %v", err)
	}
}

// The receiver's judgement is worth something.
func TestOTLPReceiverIsStrict(t *testing.T) {
	o := &otlpReceiver{answer: &collogs.ExportLogsServiceResponse{}}
	p := o.serve(t)
	if err := (otlp{p, "gw1"}).send(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	odd := proto.Clone(o.got[0]).(*collogs.ExportLogsServiceRequest)
	odd.ResourceLogs[0].ScopeLogs[0].LogRecords[1].ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01}) // field 127, varint 1
	body, err := proto.Marshal(odd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.post(t.Context(), "application/x-protobuf", body); !errors.Is(err, errRejected) || !strings.Contains(err.Error(), "unknown fields") {
		t.Errorf("a field that nobody knows: %v", err)
	}
	if _, err := p.post(t.Context(), "application/x-protobuf", body[:len(body)-1]); !errors.Is(err, errRejected) {
		t.Errorf("half a message: %v", err)
	}
}
