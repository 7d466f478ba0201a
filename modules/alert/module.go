package alert

import (
	"cmp"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	gatemail "gatehouse.internal/modules/internal/mail"
)

func init() { caddy.RegisterModule(new(Settings)) }

const (
	stateFile       = "alerts.json" // in the state directory
	defaultInterval = 15 * time.Second
	defaultRepeat   = 4 * time.Hour
	defaultRunbooks = "caddyfiles/README.md"
)

// Settings are the house's words about alerts. A house without them raises none.
type Settings struct {
	// Who is told.
	Receivers []Target `json:"receivers,omitempty"`
	// How often what is still wrong is told again. Default: 4h.
	Repeat caddy.Duration `json:"repeat,omitempty"`
	// How often the rules look; events that they watch for make them look at once. Default: 15s.
	Interval caddy.Duration `json:"interval,omitempty"`
	// Where the runbooks are: the address of a page with a heading for each alert. Default: the manual's place in the repository.
	Runbooks string `json:"runbooks,omitempty"`
	// Alerts that are not wanted, by name.
	Without []string `json:"without,omitempty"`
	// What this gateway calls itself. Default: the machine's name.
	Node string `json:"node,omitempty"`

	ctx    caddy.Context
	made   []func() *courier
	board  *board
	events *event.Subscription
}

// Target is one receiver.
type Target struct {
	// webhook or mail.
	Kind string `json:"kind"`
	// For logs and metrics: a-z, 0-9 and hyphens. Default: the kind.
	Name string `json:"name,omitempty"`
	// Of a webhook: https://...
	URL string `json:"url,omitempty"`
	// What a webhook is signed with, best as a placeholder: {env.NAME} or {file./path}; 24 bytes or more, or whsec_ and base64.
	Secret string `json:"secret,omitempty"`
	// A PEM file with the authorities that the webhook's certificate comes from. Default: the system's.
	CA string `json:"ca,omitempty"`
	// Post to an http:// address.
	InsecurePlain bool `json:"insecure_plain,omitempty"`
	// Speak TLS 1.2 with a webhook's receiver that knows no 1.3.
	InsecureTLS12 bool `json:"insecure_tls12,omitempty"`
	// The people who get mail, and how it is sent.
	To   []string      `json:"to,omitempty"`
	SMTP gatemail.SMTP `json:"smtp,omitzero"`
	// The least severity that is told: warning or critical. Default: warning.
	Severity string `json:"severity,omitempty"`
	// The classes that are told. Default: all.
	Classes []string `json:"classes,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Settings) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.alert", New: func() caddy.Module { return new(Settings) }}
}

// Reaches implements gatehouse.Reacher.
func (s *Settings) Reaches() (all []gatehouse.Reach) {
	for _, t := range s.Receivers {
		all = append(all, gatehouse.Reach{What: "the receiver " + t.Name + " of alerts", Address: cmp.Or(t.URL, t.SMTP.Address)})
	}
	return all
}

// Provision checks the words.
func (s *Settings) Provision(ctx caddy.Context) error {
	s.ctx = ctx
	if err := s.check(); err != nil {
		return fmt.Errorf("alert: %w", err)
	}
	for _, t := range s.Receivers {
		to, err := t.open(ctx)
		if err != nil {
			return fmt.Errorf("alert: %s: %w", t.Name, err)
		}
		s.made = append(s.made, func() *courier { return newCourier(t.Name, t.Severity, t.Classes, to) })
	}
	return gatehouse.RegisterMetrics(ctx, notices, receiverUp)
}

// check fills in what was left open and says what is wrong.
func (s *Settings) check() error {
	if s.Interval != 0 && (time.Duration(s.Interval) < time.Second || time.Duration(s.Interval) > time.Minute) {
		return errors.New("interval: want 1s to 1m")
	}
	if s.Repeat != 0 && time.Duration(s.Repeat) < time.Minute {
		return errors.New("repeat: want a minute or more, such as 4h")
	}
	for _, name := range s.Without {
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.name == name }) {
			return fmt.Errorf("without: there is no alert %q: the alerts are %s", name, strings.Join(Names(), ", "))
		}
	}
	names := map[string]bool{}
	for i := range s.Receivers {
		t := &s.Receivers[i]
		t.Name, t.Severity = cmp.Or(t.Name, t.Kind), cmp.Or(t.Severity, warning)
		if err := gatehouse.TakeName(names, "receivers", t.Name); err != nil {
			return err
		}
		if err := t.check(); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return nil
}

// Names are the alerts' names.
func Names() (names []string) {
	for _, r := range rules {
		if !slices.Contains(names, r.name) {
			names = append(names, r.name)
		}
	}
	return names
}

func (t *Target) check() error {
	if !slices.Contains(Severities, t.Severity) {
		return fmt.Errorf("severity %q is none of %s", t.Severity, strings.Join(Severities, ", "))
	}
	for _, c := range t.Classes {
		if !slices.Contains(Classes, c) {
			return fmt.Errorf("class %q is none of %s", c, strings.Join(Classes, ", "))
		}
	}
	switch t.Kind {
	case "webhook":
		u, err := url.Parse(t.URL)
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("%q is not an address: write one such as https://oncall.example.com/gatehouse", t.URL)
		}
		if u.Scheme == "http" && !t.InsecurePlain {
			return errors.New("it would be sent in clear: use https://, or say `insecure_plain`")
		}
		if t.Secret == "" {
			return errors.New("nobody could tell its notices from others': write `secret {env.ALERT_SECRET}`")
		}
	case "mail":
		if len(t.To) == 0 || t.SMTP.Address == "" {
			return errors.New("write `mail <address...> { smtp <host:port> { from <address> } }`")
		}
		for _, to := range t.To {
			if _, err := mail.ParseAddress(to); err != nil {
				return fmt.Errorf("%q is no mail address", to)
			}
		}
	default:
		return fmt.Errorf("%q is no kind of receiver: use webhook or mail", t.Kind)
	}
	return nil
}

// open makes what sends to the receiver.
func (t *Target) open(ctx caddy.Context) (sender, error) {
	if t.Kind == "mail" {
		if t.SMTP.InsecureClear {
			ctx.Logger().Warn("insecure_smtp_clear: whoever is between the gateway and the mail server can read and drop alerts")
		}
		if t.SMTP.InsecureTLS12 {
			ctx.Logger().Warn("insecure_smtp_tls12: alerts are sent with TLS 1.2 if the mail server wants that")
		}
		postman, err := gatehouse.NewPostman(t.SMTP)
		return mailer{postman, t.To}, err
	}
	if t.InsecurePlain {
		ctx.Logger().Warn("insecure_plain: whoever is between the gateway and the receiver " + t.Name + " can read and drop alerts")
	}
	if t.InsecureTLS12 {
		ctx.Logger().Warn("insecure_tls12: alerts are posted to " + t.Name + " with TLS 1.2 if it wants that")
	}
	if !strings.HasPrefix(t.Secret, "{") {
		ctx.Logger().Warn("a secret is written into the configuration, where `GET /config/` shows it; use {env.NAME} or {file./path}")
	}
	text, err := caddy.NewReplacer().ReplaceOrErr(t.Secret, true, true)
	if err != nil {
		return nil, errors.New("secret: it is empty: give the environment variable or file that it stands for a value")
	}
	key, err := webhookKey(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	return newWebhook(t.URL, t.CA, t.InsecureTLS12, key)
}

// StartRoom implements gatehouse.RoomStarter.
func (s *Settings) StartRoom(app *gatehouse.App, state *gatehouse.State) error {
	found, err := state.Keep("alert.board", func() (caddy.Destructor, error) {
		return openBoard(filepath.Join(app.Dir(), stateFile), state.Bus.Publish), nil
	})
	if err != nil {
		return err
	}
	node := s.Node
	if host, err := os.Hostname(); node == "" && err == nil {
		node = host
	}
	s.board = found.(*board)
	s.board.Use(&plan{
		owner: s, interval: cmp.Or(time.Duration(s.Interval), defaultInterval), repeat: cmp.Or(time.Duration(s.Repeat), defaultRepeat),
		off: s.Without, node: cmp.Or(node, "gatehouse"), runbooks: cmp.Or(strings.TrimSuffix(s.Runbooks, "#"), defaultRunbooks),
		read: func() Reading { return read(s.ctx.GetMetricsRegistry()) },
		couriers: func() (all []*courier) {
			for _, make := range s.made {
				all = append(all, make())
			}
			return all
		},
	})
	watched := watchedKinds()
	s.events = state.Bus.Subscribe("alert", 64, func(e event.Event) {
		if slices.Contains(watched, string(e.Kind)) {
			s.board.Wake()
		}
	})
	return nil
}

// watchedKinds are the kinds of events that a rule counts.
func watchedKinds() (kinds []string) {
	for _, r := range rules {
		for _, o := range r.count {
			if o.label == "kind" {
				kinds = append(kinds, o.values...)
			}
		}
	}
	return kinds
}

// read takes a reading of the metrics that rules look at. What cannot be gathered is left out.
func read(from prometheus.Gatherer) (r Reading) {
	wanted := map[string]bool{}
	for _, rule := range rules {
		for _, o := range slices.Concat(rule.level, rule.count, rule.among) {
			wanted[o.metric], wanted[o.share] = true, true
		}
	}
	families, _ := from.Gather() // with an error comes what could be gathered
	for _, f := range families {
		if !wanted[f.GetName()] {
			continue
		}
		for _, m := range f.GetMetric() {
			s := Series{Name: f.GetName(), Labels: map[string]string{}}
			switch {
			case m.GetCounter() != nil:
				s.Value = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				s.Value = m.GetGauge().GetValue()
			default:
				continue
			}
			for _, l := range m.GetLabel() {
				s.Labels[l.GetName()] = l.GetValue()
			}
			r = append(r, s)
		}
	}
	return r
}

// Cleanup leaves the board to other configurations.
func (s *Settings) Cleanup() error {
	if s.events != nil {
		s.events.Close()
	}
	if s.board != nil {
		s.board.Leave(s)
	}
	return nil
}

var (
	_ caddy.Provisioner     = (*Settings)(nil)
	_ caddy.CleanerUpper    = (*Settings)(nil)
	_ gatehouse.RoomStarter = (*Settings)(nil)
)
