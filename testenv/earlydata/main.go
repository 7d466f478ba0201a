// Command earlydata asks an HTTP/3 server twice for a page, the second time before the handshake is over, and prints
// "used" when the server took that request as early data (0-RTT), "refused" when it did not.
//
//	earlydata <address> <server name> <file of the authority> <url>
//
// It is a program of its own because the QUIC library's client has a data race while early data is sent: the race
// detector, which the stories run with, must not see it.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const (
	answersIn = 30 * time.Second
	ticketIn  = 5 * time.Second
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: earlydata <address> <server name> <file of the authority> <url>")
		os.Exit(2)
	}
	used, err := early(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		fmt.Fprintln(os.Stderr, "earlydata:", err)
		os.Exit(1)
	}
	fmt.Println(map[bool]string{true: "used", false: "refused"}[used])
}

func early(address, name, authority, url string) (used bool, err error) {
	pem, err := os.ReadFile(authority)
	if err != nil {
		return false, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	tickets := &ticketSignal{ClientSessionCache: tls.NewLRUClientSessionCache(4), put: make(chan struct{}, 16)}
	conf := &tls.Config{ServerName: name, RootCAs: roots, ClientSessionCache: tickets, NextProtos: []string{http3.NextProtoH3}}
	ctx, cancel := context.WithTimeout(context.Background(), answersIn)
	defer cancel()
	if _, err := ask(ctx, address, url, conf); err != nil {
		return false, err
	}
	select {
	case <-tickets.put:
	case <-time.After(ticketIn): // no ticket: then nothing can be sent early
	}
	used, err = ask(ctx, address, url, conf)
	if errors.Is(err, errRequest) {
		err = nil // a refusal
	}
	return used, err
}

// errRequest is an error of the request, not of the connection.
var errRequest = errors.New("the request failed")

// ask asks for a page on a connection of its own and reports whether the server took early data.
func ask(ctx context.Context, address, url string, conf *tls.Config) (early bool, err error) {
	conn, err := quic.DialAddrEarly(ctx, address, conf, &quic.Config{})
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.CloseWithError(0, "") }()
	req, err := http.NewRequestWithContext(ctx, http3.MethodGet0RTT, url, nil)
	if err != nil {
		return false, err
	}
	resp, err := (&http3.Transport{}).NewClientConn(conn).RoundTrip(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errRequest, err)
	}
	return conn.ConnectionState().Used0RTT, err
}

// ticketSignal tells when a ticket has come.
type ticketSignal struct {
	tls.ClientSessionCache
	put chan struct{}
}

func (s *ticketSignal) Put(key string, state *tls.ClientSessionState) {
	s.ClientSessionCache.Put(key, state)
	select {
	case s.put <- struct{}{}:
	default:
	}
}
