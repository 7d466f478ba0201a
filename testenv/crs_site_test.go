package testenv

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"
)

// crsGateway is the configuration that the corpus runs against: any host name, nobody has to log in, and what the
// corpus attacks with is let through to the WAF wherever a site may say so: methods, and headers that are dropped. Of
// X-Filename, X_Filename and X.Filename a server accepts one spelling, because backends take them for the same name:
// hence three ports.
func crsGateway(t *testing.T) config {
	t.Helper()
	rules, err := filepath.Abs("crs")
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, name := range []string{"UNDERSCORE", "DOT"} {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, name+"="+strconv.Itoa(port))
	}
	return config{Backend: startReflector(t), Env: ports, Caddyfile: `{
	import {$COMMON}
	servers 127.0.0.1:{$UNDERSCORE} {
		expected_underscore_headers X_Filename
	}
	servers 127.0.0.1:{$DOT} {
		expected_dot_headers X.Filename
	}
	log waf {
		output file {$STATE}.waf.log
		level DEBUG
		format json
		include http.handlers.gatehouse_waf
	}
	gatehouse {
		state_dir {$STATE}
		local
	}
}
https://:{$PORT}, https://:{$UNDERSCORE}, https://:{$DOT} {
	tls {$CERT} {$KEY}
	gatehouse {
		public /*
		methods TEST FOO SUBSCRIBE PROPFIND REALLYLONGUNREALMETHOD |GET
		keep_header Remote-Ip
		waf {
			paranoia 4
			mode detect
			response_inspection
			rules ` + rules + `
		}
	}
	reverse_proxy {$BACKEND}
}
`}
}

// startReflector starts the application of the corpus: below /reflect it answers what the request's body says, as the
// project's own test server albedo does, and elsewhere nothing.
func startReflector(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(reflectRequest), ReadHeaderTimeout: rawPatience}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	t.Cleanup(func() { _ = srv.Close() })
	return l.Addr().String()
}

func reflectRequest(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/reflect" {
		return
	}
	var spec struct {
		Status      int               `json:"status"`
		Headers     map[string]string `json:"headers"`
		Body        string            `json:"body"`
		EncodedBody []byte            `json:"encodedBody"`
	}
	if err := json.Unmarshal(body, &spec); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for name, value := range spec.Headers {
		w.Header().Set(name, value)
	}
	if spec.Status > 0 {
		w.WriteHeader(spec.Status)
	}
	if spec.Body == "" {
		spec.Body = string(spec.EncodedBody)
	}
	_, _ = io.WriteString(w, spec.Body)
}
