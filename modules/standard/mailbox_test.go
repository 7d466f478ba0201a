package standard_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mailbox is a mail server that takes what comes after STARTTLS, and nothing before.
type mailbox struct {
	addr, ca string
	mail     chan string

	implicit bool          // TLS from the first byte
	auth     string        // what AUTH PLAIN has to say before a letter is taken; "": nothing
	hold     chan struct{} // nobody is greeted before it is closed; nil: at once
}

func newMailbox(t testing.TB) *mailbox { return newMailboxOf(t, 0) }

// newMailboxOf is one that knows TLS up to the version; 0: all.
func newMailboxOf(t testing.TB, version uint16) *mailbox {
	return openMailbox(t, version, new(mailbox))
}

// openMailbox opens a mail server that is set up already.
func openMailbox(t testing.TB, version uint16, m *mailbox) *mailbox {
	t.Helper()
	srv := httptest.NewTLSServer(nil) // for its certificate, of 127.0.0.1
	t.Cleanup(srv.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	m.addr, m.ca, m.mail = ln.Addr().String(), filepath.Join(t.TempDir(), "ca.pem"), make(chan string, 100)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(m.ca, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			config := srv.TLS.Clone()
			config.MaxVersion = version
			go m.serve(c, config)
		}
	}()
	return m
}

func (m *mailbox) serve(c net.Conn, config *tls.Config) {
	defer func() { c.Close() }()
	if m.hold != nil {
		<-m.hold
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if m.implicit {
		c = tls.Server(c, config)
	}
	secure, known, in := m.implicit, m.auth == "", bufio.NewReader(c)
	say := func(text string) { _, _ = io.WriteString(c, text+"\r\n") }
	say("220 mail.test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word := strings.ToUpper(strings.Fields(line + " x")[0])
		switch {
		case word == "EHLO" && secure && m.auth != "":
			say("250-mail.test\r\n250 AUTH PLAIN")
		case word == "EHLO" && secure:
			say("250 mail.test")
		case word == "EHLO":
			say("250-mail.test\r\n250 STARTTLS")
		case word == "STARTTLS":
			say("220 go")
			over := tls.Server(c, &tls.Config{Certificates: config.Certificates, MaxVersion: config.MaxVersion})
			c, in, secure = over, bufio.NewReader(over), true
		case word == "QUIT":
			say("221 bye")
			return
		case !secure:
			say("530 STARTTLS first")
		case word == "AUTH":
			fields := strings.Fields(line)
			said, _ := base64.StdEncoding.DecodeString(fields[len(fields)-1])
			if known = string(said) == m.auth; known {
				say("235 known")
			} else {
				say("535 unknown")
			}
		case !known:
			say("530 AUTH first")
		case word == "DATA":
			say("354 go on")
			var text strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				text.WriteString(line)
			}
			m.mail <- text.String()
			say("250 taken")
		default:
			say("250 ok")
		}
	}
}

// next waits for a letter, and returns its head and its text.
func (m *mailbox) next(t testing.TB) (head, body string) {
	t.Helper()
	select {
	case raw := <-m.mail:
		head, body, _ = strings.Cut(raw, "\r\n\r\n")
		if strings.Contains(strings.ToLower(head), "quoted-printable") {
			plain, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
			if err != nil {
				t.Fatal(err)
			}
			body = string(plain)
		}
		return head, body
	case <-time.After(20 * time.Second):
		t.Fatal("no letter came")
		return "", ""
	}
}

var (
	codeInLetter = regexp.MustCompile(`(?m)^  (\d{8})\r?$`)
	linkInLetter = regexp.MustCompile(`https://app\.test(:\d+)?(/\.gatehouse/verify/report\?t=\S+)`)
)
