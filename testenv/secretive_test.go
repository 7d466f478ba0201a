package testenv

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// secretServer is an OpenID provider that refuses every code, and says aloud with what it was asked; and a receiver of alerts (Standard
// Webhooks).
type secretServer struct {
	*httptest.Server
	mu    sync.Mutex
	basic []string        // guarded by mu; ids and secrets
	hooks []*http.Request // guarded by mu
	texts []string        // guarded by mu; their bodies
}

func secretive(t testing.TB) *secretServer {
	t.Helper()
	s := new(secretServer)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{
				"issuer": s.URL, "authorization_endpoint": s.URL + "/auth", "token_endpoint": s.URL + "/token", "jwks_uri": s.URL + "/keys",
				"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
				"id_token_signing_alg_values_supported": []string{"RS256"}, "token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
				"code_challenge_methods_supported": []string{"S256"},
			})
		case "/token":
			id, secret, _ := r.BasicAuth()
			s.basic = append(s.basic, id, secret)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant", "error_description": "asked by " + id + " with " + secret + ", " + r.Header.Get("Authorization")})
		case "/hook":
			body, _ := io.ReadAll(r.Body)
			s.hooks, s.texts = append(s.hooks, r), append(s.texts, string(body))
		default:
			_, _ = fmt.Fprint(w, `{"keys":[]}`)
		}
	}))
	s.Server.TLS = serverTLS(t)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// serverTLS has a certificate of the run's authority for 127.0.0.1.
func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	cert, key, err := ca().leaf("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

// asked is with what the provider was asked last; both are sent as forms are (RFC 6749 2.3.1).
func (s *secretServer) asked(t testing.TB) (id, secret string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.basic) < 2 {
		t.Fatal("the provider was never asked")
	}
	id, err := url.QueryUnescape(s.basic[len(s.basic)-2])
	if err == nil {
		secret, err = url.QueryUnescape(s.basic[len(s.basic)-1])
	}
	if err != nil {
		t.Fatal(err)
	}
	return id, secret
}

// hooked reports whether an alert came that is signed with the secret.
func (s *secretServer) hooked(secret string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.hooks {
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), s.texts[i])
		if r.Header.Get("Webhook-Signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			return true
		}
	}
	return false
}

// mailServer takes letters after STARTTLS and AUTH PLAIN, whoever asks.
type mailServer struct {
	addr string
	conf *tls.Config
	mu   sync.Mutex
	auth string // guarded by mu; what AUTH PLAIN said last
}

func startMailServer(t testing.TB) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailServer{addr: l.Addr().String(), conf: serverTLS(t)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { m.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return m
}

func (m *mailServer) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(answersIn))
	lines := bufio.NewReader(conn)
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	say("220 mail.test")
	letter, secure := false, false
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		word, rest, _ := strings.Cut(line, " ")
		switch word = strings.ToUpper(word); {
		case letter:
			if letter = line != "."; !letter {
				say("250 taken")
			}
		case word == "EHLO" && secure:
			say("250-mail.test\r\n250 AUTH PLAIN")
		case word == "EHLO":
			say("250-mail.test\r\n250 STARTTLS")
		case word == "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, m.conf)
			lines, secure = bufio.NewReader(conn), true
		case word == "AUTH" && secure:
			m.mu.Lock()
			m.auth = strings.TrimPrefix(rest, "PLAIN ")
			m.mu.Unlock()
			say("235 welcome")
		case word == "DATA":
			letter = true
			say("354 go on")
		case word == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// login is who logged in last, with what (RFC 4616).
func (m *mailServer) login() (user, password string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, _ := base64.StdEncoding.DecodeString(m.auth)
	if parts := strings.Split(string(text), "\x00"); len(parts) == 3 {
		return parts[1], parts[2]
	}
	return "", ""
}
