package gatehouse

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/mail"
)

// ParseSMTP reads a mail server's words at the dispenser's token:
//
//	smtp <host:port> {
//		from <address>
//		user <name> <password>
//		implicit_tls
//		ca <file>
//		insecure_smtp_clear
//		insecure_smtp_tls12
//	}
func ParseSMTP(d *caddyfile.Dispenser, s *mail.SMTP) error {
	if s.Address != "" {
		return d.Err("there are two smtp options: put everything into one")
	}
	if !d.Args(&s.Address) || d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch word, args := d.Val(), d.RemainingArgs(); {
		case word == "from" && len(args) == 1:
			s.From = args[0]
		case word == "user" && len(args) == 2:
			s.User, s.Password = args[0], args[1]
		case word == "ca" && len(args) == 1:
			s.CA = args[0]
		case word == "implicit_tls" && len(args) == 0:
			s.Implicit = true
		case word == "insecure_smtp_clear" && len(args) == 0:
			s.InsecureClear = true
		case word == "insecure_smtp_tls12" && len(args) == 0:
			s.InsecureTLS12 = true
		default:
			return d.Errf("smtp: %q is no option, or has not the arguments that it needs: the options are from <address>, user <name> <password>, ca <file>, implicit_tls, insecure_smtp_clear, insecure_smtp_tls12", word)
		}
	}
	if s.From == "" {
		return d.Err("smtp: say with `from <address>` who the messages are from")
	}
	return nil
}

// NewPostman returns what sends by these settings, whose placeholders it replaces.
func NewPostman(s mail.SMTP) (*mail.Postman, error) {
	repl := caddy.NewReplacer()
	user, err1 := repl.ReplaceOrErr(s.User, true, true)
	password, err2 := repl.ReplaceOrErr(s.Password, true, true)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	s.User = user
	return mail.New(s, password)
}
