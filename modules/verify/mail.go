package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"
)

const (
	mailQueue = 256
	mailTime  = 20 * time.Second
)

// SMTP is how messages are sent. The zero SMTP sends none.
type SMTP struct {
	// Where the mail server is: host:port.
	Address string `json:"address,omitempty"`
	// Who the messages are from.
	From string `json:"from,omitempty"`
	// User and password, as placeholders: {env.SMTP_PASSWORD}, {file./run/secrets/smtp}.
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	// TLS from the first byte, as on port 465. Default: STARTTLS, without which nothing is sent.
	Implicit bool `json:"implicit_tls,omitempty"`
	// A file with the certificates of authorities that the server's is verified by. Default: the system's.
	CA string `json:"ca,omitempty"`
	// Send in the clear.
	InsecureClear bool `json:"insecure_smtp_clear,omitempty"`
}

// letter is a message to one person.
type letter struct {
	to, subject, body string
	tell              func(error) // what came of it; nil: nobody wants to know
}

// postman sends letters one after the other, beside the requests. Make one with newPostman; it is safe for concurrent use.
type postman struct {
	queue  chan letter
	client *gomail.Client
	from   string
}

var errQueue = errors.New("too many messages wait to be sent")

// newPostman checks the settings. It sends nothing before run.
func newPostman(s SMTP, password string) (*postman, error) {
	host, portText, err := net.SplitHostPort(s.Address)
	port, err2 := strconv.Atoi(portText)
	if err != nil || err2 != nil || host == "" || port < 1 || port > 65535 {
		return nil, fmt.Errorf("smtp %q: write host:port, such as mail.example.com:587", s.Address)
	}
	if _, err := mail.ParseAddress(s.From); err != nil {
		return nil, fmt.Errorf("smtp: from %q is no mail address: %w", s.From, err)
	}
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("smtp: reading ca: %w", err)
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("smtp: %s holds no certificate", s.CA)
		}
	}
	options := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(mailTime), gomail.WithTLSConfig(config)}
	switch {
	case s.InsecureClear:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case s.Implicit:
		options = append(options, gomail.WithSSL())
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.User != "" {
		if s.InsecureClear {
			return nil, errors.New("smtp: a password is not sent in the clear: take user or insecure_smtp_clear out")
		}
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthPlain), gomail.WithUsername(s.User), gomail.WithPassword(password))
	}
	client, err := gomail.NewClient(host, options...)
	if err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	return &postman{queue: make(chan letter, mailQueue), client: client, from: s.From}, nil
}

// post has the letter sent soon.
func (p *postman) post(l letter) error {
	select {
	case p.queue <- l:
		return nil
	default:
		return errQueue
	}
}

// run sends what was posted, until ctx ends.
func (p *postman) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-p.queue:
			if err := p.send(ctx, l); l.tell != nil {
				l.tell(err)
			}
		}
	}
}

func (p *postman) send(ctx context.Context, l letter) error {
	m := gomail.NewMsg()
	if err := errors.Join(m.From(p.from), m.To(l.to)); err != nil {
		return fmt.Errorf("addressing a message: %w", err)
	}
	m.Subject(l.subject)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	m.SetBodyString(gomail.TypeTextPlain, l.body)
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	if err := p.client.DialAndSendWithContext(ctx, m); err != nil {
		return fmt.Errorf("sending a message: %w", err)
	}
	return nil
}
