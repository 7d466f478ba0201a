package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// probes adds the addresses that only stories use: one that repeats the request, and several that misbehave.
func probes(mux *http.ServeMux) {
	mux.HandleFunc("/whoami", whoami)
	mux.HandleFunc("/status/{code}", status)
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/reset", reset)
	mux.HandleFunc("/half", half)
}

// whoami answers with the request as it arrived.
func whoami(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"method":   r.Method,
		"uri":      r.RequestURI,
		"proto":    r.Proto,
		"host":     r.Host,
		"headers":  r.Header,
		"trailers": r.Trailer,
		"body":     map[string]any{"bytes": n, "sha256": hex.EncodeToString(h.Sum(nil))},
	})
}

// status answers with the status in its path, and with a promise about HTTPS too weak to be worth keeping.
func status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		http.Error(w, "a status is between 200 and 599", http.StatusBadRequest)
		return
	}
	w.Header().Add("Strict-Transport-Security", "max-age=1")
	w.Header().Add("Strict-Transport-Security", "max-age=0; preload")
	switch {
	case code == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="the application"`)
	case code >= 300 && code < 400 && code != http.StatusNotModified:
		w.Header().Set("Location", "/")
	case code == http.StatusNotModified:
		w.Header().Set("ETag", `"same"`)
	case code == http.StatusPartialContent:
		w.Header().Set("Content-Range", "bytes 0-3/10")
	}
	w.WriteHeader(code)
	if code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified {
		_, _ = fmt.Fprintf(w, "%03d", code)
	}
}

// slow answers after ?ms= milliseconds, at most a minute.
func slow(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil || ms < 0 || ms > 60_000 {
		http.Error(w, "ms is between 0 and 60000", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		_, _ = io.WriteString(w, "slow\n")
	case <-r.Context().Done():
	}
}

// reset closes the connection without an answer, with RST.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = c.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// half promises 1,000 bytes, sends 500 and hangs up; with ?chunked it leaves the last chunk out instead.
func half(w http.ResponseWriter, r *http.Request) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	body := make([]byte, 500)
	for i := range body {
		body[i] = 'x'
	}
	if r.URL.Query().Has("chunked") {
		_, _ = fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body)
	} else {
		_, _ = fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", 2*len(body), body)
	}
	_ = buf.Flush()
}
