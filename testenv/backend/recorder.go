package main

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxSeen bounds how many requests the recorder remembers; it counts all of them.
const maxSeen = 2000

// seen is one request as it reached the application.
type seen struct {
	At       time.Time   `json:"at"`
	Method   string      `json:"method"`
	URI      string      `json:"uri"` // the raw request target
	Proto    string      `json:"proto"`
	Host     string      `json:"host"`
	Headers  http.Header `json:"headers"`
	Trailers http.Header `json:"trailers,omitempty"`
	Bytes    int64       `json:"bytes"` // of the body, as far as the application read it
	SHA256   string      `json:"sha256"`
	Done     bool        `json:"done"` // the application has answered
}

// recorder remembers what reached the application, down to connections on which nothing valid was sent.
type recorder struct {
	connections atomic.Int64
	received    atomic.Int64 // bytes on all connections

	mu       sync.Mutex
	total    int     // guarded by mu
	requests []*seen // guarded by mu, entries too; the newest maxSeen
}

func (rec *recorder) wrap(app http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entry := &seen{
			At: time.Now(), Method: r.Method, URI: r.RequestURI, Proto: r.Proto, Host: r.Host, Headers: r.Header.Clone(),
		}
		rec.mu.Lock()
		rec.total++
		if len(rec.requests) == maxSeen {
			rec.requests = append(rec.requests[:0], rec.requests[maxSeen/2:]...)
		}
		rec.requests = append(rec.requests, entry)
		rec.mu.Unlock()

		body := &digest{body: r.Body, sum: sha256.New()}
		r.Body = body
		defer func() {
			rec.mu.Lock()
			defer rec.mu.Unlock()
			entry.Trailers = r.Trailer.Clone()
			entry.Bytes, entry.SHA256, entry.Done = body.n, hex.EncodeToString(body.sum.Sum(nil)), true
		}()
		app.ServeHTTP(w, r)
	})
}

// digest hashes a body on its way. It is used by one request's goroutine only.
type digest struct {
	body io.ReadCloser
	sum  hash.Hash
	n    int64
}

func (d *digest) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	d.n += int64(n)
	_, _ = d.sum.Write(p[:n])
	return n, err
}

func (d *digest) Close() error { return d.body.Close() }

// control answers on the second listener: GET /__seen lists, DELETE /__seen forgets.
func (rec *recorder) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /__seen", func(w http.ResponseWriter, _ *http.Request) {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		writeJSON(w, http.StatusOK, map[string]any{
			"connections": rec.connections.Load(),
			"received":    rec.received.Load(),
			"total":       rec.total,
			"requests":    append([]*seen{}, rec.requests...),
		})
	})
	mux.HandleFunc("DELETE /__seen", func(w http.ResponseWriter, _ *http.Request) {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		rec.total, rec.requests = 0, nil
		rec.connections.Store(0)
		rec.received.Store(0)
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (rec *recorder) listener(l net.Listener) net.Listener { return countingListener{l, rec} }

type countingListener struct {
	net.Listener
	rec *recorder
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.rec.connections.Add(1)
	return countingConn{c, l.rec}, nil
}

type countingConn struct {
	net.Conn
	rec *recorder
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.rec.received.Add(int64(n))
	return n, err
}

// NetConn lets /reset reach the TCP connection below.
func (c countingConn) NetConn() net.Conn { return c.Conn }
