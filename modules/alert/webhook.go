package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/roots"
	"gatehouse.internal/modules/internal/secret"
)

const (
	sendFor      = 15 * time.Second
	secretPrefix = "whsec_" // then base64, as the specification has it
	shortest     = 24       // bytes of a secret
)

// errRefused: the receiver says that the fault is ours; it may be mended there, and most often will not.
var errRefused = errors.New("the receiver refuses it")

// webhook posts notices as JSON, signed as Standard Webhooks 1.0 has it: HMAC-SHA-256 of "id.timestamp.body", so that who
// receives one knows from whom it is, when it was sent, and whether it came before.
type webhook struct {
	client *http.Client
	url    string
	key    secret.String
}

// webhookKey is the key that a secret stands for.
func webhookKey(text string) (secret.String, error) {
	key := []byte(text)
	if encoded, ok := strings.CutPrefix(text, secretPrefix); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return secret.String{}, errors.New("secret: what follows whsec_ is not base64")
		}
	}
	if len(key) < shortest {
		return secret.String{}, fmt.Errorf("secret: want %d bytes or more: make one with `openssl rand -base64 32`", shortest)
	}
	return secret.New(string(key)), nil
}

func newWebhook(url, caFile string, insecureTLS12 bool, key secret.String) (*webhook, error) {
	config, err := roots.Client(caFile, insecureTLS12)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return &webhook{url: url, key: key, client: &http.Client{
		Timeout: sendFor,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: egress.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("redirected: give the address it leads to")
		},
	}}, nil
}

func (h *webhook) send(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(h.key.Reveal()))
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", n.ID, at, body) // never fails (hash.Hash)
	r.Header.Set("User-Agent", "Gatehouse")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", n.ID)
	r.Header.Set("Webhook-Timestamp", at)
	r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	resp, err := h.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s: %s", errRefused, resp.Status, answer)
	}
	return fmt.Errorf("%s: %s", resp.Status, answer)
}
