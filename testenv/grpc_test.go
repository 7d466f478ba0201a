package testenv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcService is an application that speaks gRPC, by the library that everybody uses.
type grpcService struct {
	grpc_testing.UnimplementedTestServiceServer
}

func (grpcService) UnaryCall(ctx context.Context, in *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if err := grpc.SetTrailer(ctx, metadata.Pairs("app-trailer", "unary")); err != nil {
		return nil, err
	}
	if want := in.GetResponseStatus(); want != nil {
		return nil, status.Error(codes.Code(want.GetCode()), want.GetMessage())
	}
	return &grpc_testing.SimpleResponse{Payload: in.GetPayload()}, nil
}

// FullDuplexCall answers each message before it reads the next.
func (grpcService) FullDuplexCall(stream grpc_testing.TestService_FullDuplexCallServer) error {
	stream.SetTrailer(metadata.Pairs("app-trailer", "duplex"))
	for {
		in, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&grpc_testing.StreamingOutputCallResponse{Payload: in.GetPayload()}); err != nil {
			return err
		}
	}
}

// startGRPC starts the service without TLS, as one behind a gateway.
func startGRPC(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	grpc_testing.RegisterTestServiceServer(s, grpcService{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// dialGRPC is a client of the gateway.
func (g *gateway) dialGRPC(t *testing.T) grpc_testing.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+g.addr(),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: ca().pool, ServerName: appHost})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return grpc_testing.NewTestServiceClient(conn)
}

// TestGRPC: calls, conversations and trailers pass the WAF as they are, held by nobody; what stands in their paths and
// headers is judged; and without a session there is no service.
func TestGRPC(t *testing.T) {
	t.Parallel()
	const service = "/grpc.testing.TestService/*"
	for name, waf := range map[string]string{"requests": "", "answers, too": "waf {\n response_inspection\n }"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, config{Race: true, Backend: startGRPC(t), Site: "public " + service + "\n" + waf, Rest: "reverse_proxy h2c://{$BACKEND}"})
			c := g.dialGRPC(t)
			ctx, cancel := context.WithTimeout(t.Context(), answersIn)
			defer cancel()
			// Messages are streamed unread: an attack in one is the application's to judge.
			payload := &grpc_testing.Payload{Body: []byte("<script>alert(1)</script>" + strings.Repeat("\x00x", 100_000))}

			var trailer metadata.MD
			out, err := c.UnaryCall(ctx, &grpc_testing.SimpleRequest{Payload: payload}, grpc.Trailer(&trailer))
			if err != nil || len(out.GetPayload().GetBody()) != len(payload.Body) || fmt.Sprint(trailer["app-trailer"]) != "[unary]" {
				t.Errorf("a call: %v, %d bytes, trailer %v", err, len(out.GetPayload().GetBody()), trailer)
			}
			_, err = c.UnaryCall(ctx, &grpc_testing.SimpleRequest{ResponseStatus: &grpc_testing.EchoStatus{Code: int32(codes.FailedPrecondition), Message: "not yet"}})
			if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "not yet" {
				t.Errorf("an error of the application: %v", err)
			}
			converse(ctx, t, c)
			_, err = c.UnaryCall(metadata.AppendToOutgoingContext(ctx, "x-note", "<script>alert(1)</script>"), &grpc_testing.SimpleRequest{})
			if status.Code(err) != codes.PermissionDenied {
				t.Errorf("an attack in a header: %v", err)
			}
		})
	}
	t.Run("without a session", func(t *testing.T) {
		t.Parallel()
		g := startGateway(t, config{Race: true, Backend: startGRPC(t), Site: "allow role staff", Rest: "reverse_proxy h2c://{$BACKEND}"})
		if _, err := g.dialGRPC(t).UnaryCall(t.Context(), &grpc_testing.SimpleRequest{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v", err)
		}
	})
}

// converse sends messages one by one, each after the answer to the one before, beginning with an empty stream: whoever
// held either side for its beginning would wait forever.
func converse(ctx context.Context, t *testing.T, c grpc_testing.TestServiceClient) {
	t.Helper()
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		text := fmt.Sprintf("message %d", n)
		if err := stream.Send(&grpc_testing.StreamingOutputCallRequest{Payload: &grpc_testing.Payload{Body: []byte(text)}}); err != nil {
			t.Fatal(err)
		}
		out, err := stream.Recv()
		if err != nil || string(out.GetPayload().GetBody()) != text {
			t.Fatalf("message %d: %q, %v", n, out.GetPayload().GetBody(), err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	if got := fmt.Sprint(stream.Trailer()["app-trailer"]); got != "[duplex]" {
		t.Errorf("trailers %v", got)
	}
}
