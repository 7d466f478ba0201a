package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"gatehouse.internal/modules/internal/egress"
)

// maxBody bounds every answer of the provider. An ID token with 2,000 groups in it has about 100 KiB.
const maxBody = 1 << 20

// errUnsafeURL says that a URL would carry what is secret in clear, or is no place to send a person to.
var errUnsafeURL = errors.New("not an https URL")

// safeURL returns nil when requests and people may be sent to raw: an absolute https URL without user name or fragment.
// With insecure, http to a loopback address is one too.
func safeURL(raw string, insecure bool) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return fmt.Errorf("%w: %.200q", errUnsafeURL, raw)
	}
	if u.Scheme == "https" || insecure && u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("%w: %.200q", errUnsafeURL, raw)
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// newHTTPClient returns the client for all requests to the provider: bounded in time and size, https only, and blind to
// redirects, which nothing in the protocol needs and which would carry the client secret to wherever they lead.
// clock reads the time off the answers of host.
func newHTTPClient(roots *x509.CertPool, insecure bool, host string, clock *clock) *http.Client {
	base := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            egress.Dialer(&net.Dialer{Timeout: 5 * time.Second}),
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  fetchFor,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
	}
	return &http.Client{
		Transport:     bounded{base: base, insecure: insecure, host: host, clock: clock},
		Timeout:       fetchFor,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded refuses requests to unsafe URLs and cuts off answers beyond maxBody, with an error rather than silently.
type bounded struct {
	base     *http.Transport
	insecure bool
	host     string
	clock    *clock
}

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := safeURL(r.URL.String(), b.insecure); err != nil {
		return nil, err
	}
	began := time.Now()
	resp, err := b.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if r.URL.Host == b.host {
		b.clock.measure(resp.Header, began, time.Now())
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxBody)
	return resp, nil
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] through.
func (b bounded) CloseIdleConnections() { b.base.CloseIdleConnections() }

// getJSON fetches a JSON document. bearer is the access token to send, if any. No error quotes the answer.
func getJSON(ctx context.Context, client *http.Client, from, bearer string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	return doJSON(client, req, into)
}

// doJSON sends a request that wants a JSON document.
func doJSON(client *http.Client, req *http.Request, into any) error {
	from := req.URL.Scheme + "://" + req.URL.Host + req.URL.Path
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &statusError{from: from, status: resp.StatusCode}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("reading %s: %w", from, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s is not the JSON it should be", from)
	}
	return nil
}

// statusError is an answer that is no success.
type statusError struct {
	from   string
	status int
}

// Error is for operators.
func (e *statusError) Error() string { return fmt.Sprintf("%s answered %d", e.from, e.status) }

// broken reports whether a status says that the server does not work now, rather than that it refuses.
func broken(status int) bool { return status >= 500 || status == http.StatusTooManyRequests }
