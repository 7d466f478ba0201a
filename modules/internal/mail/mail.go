package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"

	"gatehouse.internal/modules/internal/egress"
	"gatehouse.internal/modules/internal/roots"
)

const (
	queueLength = 256
	sendFor     = 20 * time.Second
	lastFor     = 5 * time.Second // what still waits when nobody sends any more has so long together
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
	// Send with TLS 1.2 to a mail server that knows no 1.3.
	InsecureTLS12 bool `json:"insecure_smtp_tls12,omitempty"`
}

// Letter is a message to one or more people.
type Letter struct {
	To            []string
	Subject, Body string
	Tell          func(error) // what came of it; nil: nobody wants to know
}

// Postman sends letters one after the other, beside the requests. Make one with [New]; it is safe for concurrent use.
type Postman struct {
	mu    sync.Mutex
	ended bool        // guarded by mu; nothing is taken any more
	queue chan Letter // sent to with mu

	client  *gomail.Client
	address string // of the mail server
	from    string
}

// Why a letter was not taken.
var (
	ErrFull  = errors.New("too many messages wait to be sent")
	ErrEnded = errors.New("messages are not sent any more: the configuration has ended")
)

// New checks the settings. User and password are the words themselves. Nothing is sent before Run or Send is called.
func New(s SMTP, password string) (*Postman, error) {
	host, portText, err := net.SplitHostPort(s.Address)
	port, err2 := strconv.Atoi(portText)
	if err != nil || err2 != nil || host == "" || port < 1 || port > 65535 {
		return nil, fmt.Errorf("smtp %q: write host:port, such as mail.example.com:587", s.Address)
	}
	if _, err := netmail.ParseAddress(s.From); err != nil {
		return nil, fmt.Errorf("smtp: from %q is no mail address: %w", s.From, err)
	}
	config, err := roots.Client(s.CA, s.InsecureTLS12)
	if err != nil {
		return nil, fmt.Errorf("smtp: ca: %w", err)
	}
	config.ServerName = host
	options := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(sendFor), gomail.WithTLSConfig(config)}
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
	return &Postman{queue: make(chan Letter, queueLength), client: client, address: s.Address, from: s.From}, nil
}

// Post has the letter sent soon, or returns ErrFull or, once Run has returned, ErrEnded. Of each letter that it takes Tell is
// told.
func (p *Postman) Post(l Letter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return ErrEnded
	}
	select {
	case p.queue <- l:
		return nil
	default:
		return ErrFull
	}
}

// Run sends what was posted, until ctx ends; what waits then is sent as far as that takes no longer than lastFor. It must be
// called once.
func (p *Postman) Run(ctx context.Context) {
	going := context.WithoutCancel(ctx) // who is being talked to is not interrupted
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(going, lastFor)
			defer cancel()
			for p.next(last) {
			}
			return
		case l := <-p.queue:
			p.deliver(going, l)
		}
	}
}

// next sends one of the letters that wait. When there is none, none is taken any more.
func (p *Postman) next(ctx context.Context) bool {
	p.mu.Lock()
	select {
	case l := <-p.queue:
		p.mu.Unlock()
		p.deliver(ctx, l)
		return true
	default:
		p.ended = true
		p.mu.Unlock()
		return false
	}
}

func (p *Postman) deliver(ctx context.Context, l Letter) {
	if err := p.Send(ctx, l); l.Tell != nil {
		l.Tell(err)
	}
}

// Send sends the letter now, and returns when the mail server has taken it or says that it does not. Tell is not called.
func (p *Postman) Send(ctx context.Context, l Letter) error {
	m := gomail.NewMsg()
	if err := errors.Join(m.From(p.from), m.To(l.To...)); err != nil {
		return fmt.Errorf("addressing a message: %w", err)
	}
	m.Subject(l.Subject)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	m.SetBodyString(gomail.TypeTextPlain, l.Body)
	ctx, cancel := context.WithTimeout(ctx, sendFor)
	defer cancel()
	if err := egress.Check("tcp", p.address); err != nil {
		return fmt.Errorf("sending a message: %w", err)
	}
	if err := p.client.DialAndSendWithContext(ctx, m); err != nil {
		return fmt.Errorf("sending a message: %w", err)
	}
	return nil
}
