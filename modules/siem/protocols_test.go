package siem

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/secret"
)

// collectorStub answers each request with what answer says, and keeps what it was sent.
type collectorStub struct {
	*httptest.Server
	got    []string
	header http.Header
	path   string
}

func stub(t *testing.T, status int, answer string) *collectorStub {
	s := &collectorStub{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.got, s.header, s.path = append(s.got, string(body)), r.Header, r.URL.Path
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *collectorStub) poster(t *testing.T, path, scheme string) *poster {
	t.Helper()
	p, err := newPoster(s.URL, path, nil, scheme, secret.New("hush"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var two = []entry{
	{at: 1795000000123456789, stream: "access", id: "id1", text: []byte(`{"a":"b\"c"}`)},
	{at: 1795000001000000000, stream: "audit", id: "id2", text: []byte(`{"d":1}`)},
}

func TestSplunk(t *testing.T) {
	s := stub(t, 200, `{"text":"Success","code":0}`)
	if err := (splunk{s.poster(t, "/services/collector/event", "Splunk"), true, "main"}).send(context.Background(), two); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(s.got[0]))
	for i := range two {
		var got struct {
			Time       float64
			Sourcetype string
			Index      string
			Fields     struct {
				ID string `json:"event_id"`
			}
			Event json.RawMessage
		}
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if string(got.Event) != string(two[i].text) || got.Fields.ID != two[i].id || got.Index != "main" || got.Sourcetype != "gatehouse:"+two[i].stream {
			t.Errorf("%+v", got)
		}
		if i == 0 && got.Time != 1795000000.123 {
			t.Errorf("time %f", got.Time)
		}
	}
	if s.header.Get("Authorization") != "Splunk hush" || s.path != "/services/collector/event" {
		t.Errorf("%v %s", s.header, s.path)
	}
}

func TestElasticsearch(t *testing.T) {
	tests := []struct {
		status           int
		answer           string
		fails, rejection bool
	}{
		{200, `{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, false, false},
		{200, `{"errors":true,"items":[{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}},{"create":{"status":201}}]}`, false, false},
		{200, `{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":429,"error":{"type":"busy"}}}]}`, true, false},
		{200, `{"errors":true,"items":[{"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"no"}}},{"create":{"status":201}}]}`, true, true},
		{413, ``, true, true},
		{401, `who`, true, false},
		{503, ``, true, false},
		{200, `<html>`, true, false},
		{302, ``, true, false},
	}
	for _, tt := range tests {
		s := stub(t, tt.status, tt.answer)
		err := elastic{s.poster(t, "/_bulk", "ApiKey"), "logs-x"}.send(context.Background(), two)
		if (err != nil) != tt.fails || errors.Is(err, errRejected) != tt.rejection {
			t.Errorf("%d %s: %v", tt.status, tt.answer, err)
		}
		if want := `{"create":{"_index":"logs-x","_id":"id1"}}` + "\n" + string(two[0].text) + "\n"; !strings.HasPrefix(s.got[0], want) || !strings.HasSuffix(s.got[0], "\n") {
			t.Errorf("sent %s", s.got[0])
		}
	}
}

func TestLoki(t *testing.T) {
	s := stub(t, 204, "")
	if err := (loki{s.poster(t, "/loki/api/v1/push", "Bearer")}).send(context.Background(), append(two, two[0])); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Streams []struct {
			Stream map[string]string
			Values [][2]string
		}
	}
	if err := json.Unmarshal([]byte(s.got[0]), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Streams) != 2 || got.Streams[0].Stream["stream"] != "access" || len(got.Streams[0].Values) != 2 ||
		got.Streams[0].Values[0] != [2]string{"1795000000123456789", string(two[0].text)} {
		t.Errorf("%+v", got)
	}
}

// RFC 5425: TLS, and each record preceded by its length. A receiver that closes the connection is noticed.
func TestSyslogOverTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS() // for its certificate
	conf := &tls.Config{Certificates: srv.TLS.Certificates, MinVersion: tls.VersionTLS13}
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	srv.Close()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got, closeNow := make(chan string, 10), make(chan struct{})
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for range 2 {
					n, err := r.ReadString(' ')
					if err != nil {
						return
					}
					size, err := strconv.Atoi(strings.TrimSpace(n))
					b := make([]byte, size)
					if err == nil {
						_, err = io.ReadFull(r, b)
					}
					if err != nil {
						got <- fmt.Sprint("broken: ", err)
						return
					}
					got <- string(b)
				}
				<-closeNow
			}()
		}
	}()
	s := &syslog{address: ln.Addr().String(), tls: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
	defer s.Close()
	for round := range 2 {
		if err := s.send(within(t), two); err != nil {
			t.Fatal(err)
		}
		for i := range two {
			if g := <-got; g != string(two[i].text) {
				t.Errorf("round %d: got %s", round, g)
			}
		}
		if s.broken() {
			t.Error("broken while it is open")
		}
		conn := s.conn
		closeNow <- struct{}{}
		for !s.gone.Load() { // the test's own time limit bounds it
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		}
	}
	// Whom we do not trust gets nothing.
	s = &syslog{address: ln.Addr().String(), tls: &tls.Config{ServerName: "example.com"}}
	if err := s.send(within(t), two); err == nil {
		t.Error("sent to a stranger")
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A collector that accepts and then says nothing holds nobody for longer than a batch may take.
func TestSilentCollector(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	p, err := newPoster("http://"+ln.Addr().String(), "/", nil, "", secret.String{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := (loki{p}).send(ctx, two); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
