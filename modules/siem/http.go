package siem

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/secret"
)

const longestAnswer = 1 << 20

// poster sends batches over HTTP.
type poster struct {
	client *http.Client
	url    string
	scheme string // of the Authorization header: "Splunk", "ApiKey", "Bearer", "Basic"
	token  secret.String
}

func newPoster(address, path string, how *tls.Config, scheme string, token secret.String) (*poster, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = path
	}
	return &poster{
		url: u.String(), scheme: scheme, token: token,
		client: &http.Client{
			Timeout: sendFor,
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, DialContext: egress.DialContext, TLSClientConfig: how,
				TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return errors.New("redirected: give the address it leads to")
			},
		},
	}, nil
}

// post sends a batch and returns the answer to it. errRejected stands for an answer that says that the batch is at fault.
func (p *poster) post(ctx context.Context, contentType string, body []byte) (answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "Gatehouse")
	r.Header.Set("Content-Type", contentType)
	if !p.token.IsZero() {
		r.Header.Set("Authorization", p.scheme+" "+p.token.Reveal())
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, longestAnswer))
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return answer, nil
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return nil, fmt.Errorf("%w: %s: %.200s", errRejected, resp.Status, answer)
	}
	return nil, fmt.Errorf("%s: %.200s", resp.Status, answer)
}

// Close ends the connections.
func (p *poster) Close() error {
	p.client.CloseIdleConnections()
	return nil
}

// appendJSON appends s as a JSON string.
func appendJSON(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always can be
	}
	return append(b, text...)
}
