package siem

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/pseudonym"
	"gatehouse.internal/modules/internal/roots"
	"gatehouse.internal/modules/internal/secret"
	"gatehouse.internal/modules/siem/format"
)

func init() { caddy.RegisterModule(new(Settings)) }

const (
	folder       = "siem" // in the state directory
	defaultSpool = 1 << 30
	defaultKeep  = 30 * 24 * time.Hour
)

// Settings are the house's words about log collectors.
type Settings struct {
	// What this gateway calls itself. Default: the machine's name.
	Node string `json:"node,omitempty"`
	// The tenants whose records name people; "*" stands for all. Default: none, records hold pseudonyms.
	ClearTenants []string `json:"clear_tenants,omitempty"`
	// Tell nothing of paths but their pseudonyms. Default: their words are told.
	HidePaths bool `json:"hide_paths,omitempty"`
	// How long a person keeps a pseudonym. Default: 90d.
	Epoch caddy.Duration `json:"epoch,omitempty"`
	// Where records go.
	Sinks []Sink `json:"sinks,omitempty"`

	collector *collector
	ctx       context.Context // of the configuration
	logger    *zap.Logger
}

// Sink is one place that records go to.
type Sink struct {
	// file, stdout, syslog, splunk, elasticsearch, loki or otlp.
	Kind string `json:"kind"`
	// A file's path, tls://host:port, or a URL.
	Address string `json:"address,omitempty"`
	// For logs, metrics and the spool's folder: a-z, 0-9 and hyphens. Default: the kind.
	Name string `json:"name,omitempty"`
	// json, ecs, ocsf, cef, leef, gelf, syslog or csv. Default: ecs for elasticsearch, else json.
	Format string `json:"format,omitempty"`
	// access, waf, audit, system. Default: all.
	Streams []string `json:"streams,omitempty"`
	// A PEM file with the authorities that the collector's certificate comes from. Default: the system's.
	CAFile string `json:"ca_file,omitempty"`
	// A credential, best as a placeholder: {env.NAME} or {file./path}.
	Token string `json:"token,omitempty"`
	// How Elasticsearch is told the token: ApiKey, Bearer or Basic. Default: ApiKey.
	TokenType string `json:"token_type,omitempty"`
	// Of Splunk, or the index or data stream of Elasticsearch. Default there: logs-gatehouse-default.
	Index string `json:"index,omitempty"`
	// How many bytes wait on the disk for a collector at the most, and how long. Default: 1 GiB, 30d.
	SpoolSize int64          `json:"spool_size,omitempty"`
	SpoolKeep caddy.Duration `json:"spool_keep,omitempty"`
	// A file's size in MiB before another is begun, how many are kept, and how long. Default: 100, 10, 30d.
	RollMiB  int            `json:"roll_mib,omitempty"`
	RollKeep int            `json:"roll_keep,omitempty"`
	RollFor  caddy.Duration `json:"roll_for,omitempty"`
	// Send in clear: http:// and tcp:// addresses.
	InsecurePlain bool `json:"insecure_plain,omitempty"`
	// Speak TLS 1.2 with a collector that knows no 1.3.
	InsecureTLS12 bool `json:"insecure_tls12,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Settings) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.siem", New: func() caddy.Module { return new(Settings) }}
}

// Provision checks the words, and that what they name can be read.
func (s *Settings) Provision(ctx caddy.Context) error {
	s.ctx, s.logger = ctx, ctx.Logger()
	if err := s.check(); err != nil {
		return err
	}
	for i := range s.Sinks {
		k := &s.Sinks[i]
		if _, err := roots.Read(k.CAFile); err != nil {
			return fmt.Errorf("siem: %s: ca: %w", k.Name, err)
		}
		if k.InsecurePlain {
			ctx.Logger().Warn("insecure_plain: whoever is between the gateway and the collector " + k.Name + " can read, change and drop records")
		}
		if k.InsecureTLS12 {
			ctx.Logger().Warn("insecure_tls12: records go to the collector " + k.Name + " with TLS 1.2 if it wants that")
		}
		if k.Token == "" {
			continue
		}
		if _, err := k.token(caddy.NewReplacer()); err != nil {
			return fmt.Errorf("siem: %s: %w", k.Name, err)
		}
		if !strings.HasPrefix(k.Token, "{") {
			ctx.Logger().Warn("a token is written into the configuration, where `GET /config/` shows it; use {env.NAME} or {file./path}")
		}
	}
	return gatehouse.RegisterMetrics(ctx, sentRecords, lostRecords, spoolBytes, up)
}

// Reaches implements gatehouse.Reacher.
func (s *Settings) Reaches() (all []gatehouse.Reach) {
	for _, k := range s.Sinks {
		if k.Kind != "file" && k.Kind != "stdout" {
			all = append(all, gatehouse.Reach{What: "the collector " + k.Name, Address: k.Address, Data: true})
		}
	}
	return all
}

// token is the credential itself.
func (k *Sink) token(repl *caddy.Replacer) (secret.String, error) {
	if k.Token == "" {
		return secret.String{}, nil
	}
	value, err := repl.ReplaceOrErr(k.Token, true, true)
	if value = strings.TrimSpace(value); err != nil || value == "" {
		return secret.String{}, errors.New("token: it is empty: give the environment variable or file that it stands for a value")
	}
	return secret.New(value), nil
}

var (
	streams = []string{string(event.Access), string(event.WAF), string(event.Audit), string(event.System)}
	// kinds are the sinks, with what their address must look like.
	kinds = map[string]struct{ schemes, example string }{
		"file": {"", "/var/log/gatehouse/siem.json"}, "stdout": {}, "syslog": {"tls tcp", "tls://siem.example.com:6514"},
		"splunk": {"https http", "https://splunk.example.com:8088"}, "elasticsearch": {"https http", "https://elastic.example.com:9200"},
		"loki": {"https http", "https://loki.example.com:3100"}, "otlp": {"https http", "https://collector.example.com:4318"},
	}
)

// check fills in what was left open and says what is wrong, in one sentence that names the fix.
func (s *Settings) check() error {
	if len(s.Sinks) == 0 {
		return errors.New("siem: nowhere to send to: write `send <kind> <address>`, such as `send syslog tls://siem.example.com:6514`")
	}
	if s.Epoch < 0 || s.Epoch > 0 && time.Duration(s.Epoch) < time.Hour {
		return errors.New("siem: epoch: want an hour or more, such as 90d")
	}
	names := map[string]bool{}
	for i := range s.Sinks {
		k := &s.Sinks[i]
		if k.Name == "" {
			k.Name = k.Kind
		}
		if err := gatehouse.TakeName(names, "sinks", k.Name); err != nil {
			return fmt.Errorf("siem: %w", err)
		}
		if err := k.check(); err != nil {
			return fmt.Errorf("siem: %s: %w", k.Name, err)
		}
	}
	return nil
}

func (k *Sink) check() error {
	if k.Format == "" {
		k.Format = map[bool]string{true: "ecs", false: "json"}[k.Kind == "elasticsearch"]
	}
	if _, ok := format.Named(k.Format); !ok {
		return fmt.Errorf("format %q is none of %s", k.Format, strings.Join(format.Names(), ", "))
	}
	if k.Kind == "elasticsearch" && !slices.Contains([]string{"json", "ecs", "ocsf", "gelf"}, k.Format) {
		return fmt.Errorf("format %s: Elasticsearch takes JSON: json, ecs, ocsf or gelf", k.Format)
	}
	for _, name := range k.Streams {
		if !slices.Contains(streams, name) {
			return fmt.Errorf("stream %q is none of %s", name, strings.Join(streams, ", "))
		}
	}
	if !slices.Contains([]string{"", "ApiKey", "Bearer", "Basic"}, k.TokenType) {
		return fmt.Errorf("token type %q is none of ApiKey, Bearer, Basic", k.TokenType)
	}
	return k.checkAddress()
}

func (k *Sink) checkAddress() error {
	kind, ok := kinds[k.Kind]
	if !ok {
		return fmt.Errorf("%q is no kind of sink: use file, stdout, syslog, splunk, elasticsearch, loki or otlp", k.Kind)
	}
	switch k.Kind {
	case "stdout":
		if k.Address != "" {
			return errors.New("stdout has no address")
		}
		return nil
	case "file":
		if !filepath.IsAbs(k.Address) {
			return fmt.Errorf("%q is not an absolute path: write one such as %s", k.Address, kind.example)
		}
		return nil
	}
	u, err := url.Parse(k.Address)
	if err != nil || u.Host == "" || u.User != nil || !slices.Contains(strings.Fields(kind.schemes), u.Scheme) {
		return fmt.Errorf("%q is not an address: write one such as %s", k.Address, kind.example)
	}
	if (u.Scheme == "http" || u.Scheme == "tcp") && !k.InsecurePlain {
		return fmt.Errorf("%s sends in clear: use %s, or say `insecure_plain`", k.Address, kind.example)
	}
	if _, _, err := net.SplitHostPort(u.Host); k.Kind == "syslog" && err != nil {
		return fmt.Errorf("%q has no port: write one such as %s", k.Address, kind.example)
	}
	return nil
}

// StartRoom implements gatehouse.RoomStarter: from now on records go where the settings say.
func (s *Settings) StartRoom(app *gatehouse.App, state *gatehouse.State) error {
	for _, tenant := range s.ClearTenants {
		if tenant != "*" && !app.KnowsTenant(tenant) {
			return fmt.Errorf("siem: personal_data clear: the house has no tenant %q: name one of its `tenant` words, or none for all", tenant)
		}
	}
	kept, err := state.Keep("siem.collector", func() (caddy.Destructor, error) {
		c := newCollector(state.Bus.Publish)
		c.remove = state.Removals()
		c.untap = state.Bus.Tap(c.happened)
		return c, nil
	})
	if err != nil {
		return err
	}
	c := kept.(*collector)
	node, outlets := s.node(), map[string]func() (*outlet, error){}
	for _, k := range s.Sinks {
		key, err := json.Marshal(k)
		if err != nil {
			return err
		}
		token, err := k.token(caddy.NewReplacer())
		if err != nil {
			return err
		}
		made := string(key) + node + gatehouse.Digest([]byte(token.Reveal()))
		outlets[made] = func() (*outlet, error) { return k.open(filepath.Join(app.Dir(), folder), node, token) }
	}
	s.collector = c // which Cleanup leaves, whatever comes of this
	keys, err := app.MakePseudonyms(state)
	if err != nil {
		return fmt.Errorf("siem: %w", err)
	}
	if err := c.Use(plan{s, s.scribe(app, keys, node), outlets}); err != nil {
		return err
	}
	app.OnEnded(c.ended)
	go s.watchLeft(app, state)
	return nil
}

func (s *Settings) node() string {
	if s.Node != "" {
		return s.Node
	}
	name, err := os.Hostname()
	if err != nil {
		return "gatehouse"
	}
	return name
}

// PseudonymEpoch is how long a person keeps a pseudonym.
func (s *Settings) PseudonymEpoch() time.Duration {
	return cmp.Or(time.Duration(s.Epoch), pseudonym.Epoch)
}

func (s *Settings) scribe(app *gatehouse.App, keys *pseudonym.Keys, node string) *scribe {
	epoch := s.PseudonymEpoch()
	w := &scribe{
		node: node, tenant: map[string]string{}, hosts: map[string][]string{}, namers: map[string]*pseudonym.Namer{},
		paths: !s.HidePaths, keys: keys, epoch: epoch,
		clear: s.named,
	}
	for _, site := range app.Sites() {
		w.tenant[site.Name], w.hosts[site.Name] = site.Tenant, site.Hosts
		w.namers[site.Tenant] = keys.Namer(site.Tenant, epoch)
	}
	return w
}

// Remains implements gatehouse.Remainer.
func (s *Settings) Remains(_ *gatehouse.App, tenant string, now time.Time) (all []string) {
	as := "under pseudonyms"
	if s.named(tenant) || tenant == "" && len(s.ClearTenants) > 0 {
		as = "by name"
	}
	until := func(keep caddy.Duration) string {
		return now.Add(cmp.Or(time.Duration(keep), defaultKeep)).UTC().Format(time.DateOnly)
	}
	for _, k := range s.Sinks {
		switch k.Kind {
		case "file": // another is begun each day
			all = append(all, fmt.Sprintf("lines of %s, %s, until the day after %s", k.Address, as, until(k.RollFor)))
		case "stdout":
			all = append(all, fmt.Sprintf("what was written to standard output, %s, as long as who reads it keeps it", as))
		default:
			all = append(all, fmt.Sprintf("records that wait for %s, %s, until they are sent, at the latest %s; then as long as it keeps them", k.Name, as, until(k.SpoolKeep)))
		}
	}
	return all
}

// named reports whether a tenant's records name people.
func (s *Settings) named(tenant string) bool {
	return slices.Contains(s.ClearTenants, "*") || tenant != "" && slices.Contains(s.ClearTenants, tenant)
}

// Cleanup ends the sinks, unless another configuration has them.
func (s *Settings) Cleanup() error {
	if s.collector != nil {
		s.collector.Leave(s)
	}
	return nil
}

var (
	_ caddy.Provisioner     = (*Settings)(nil)
	_ caddy.CleanerUpper    = (*Settings)(nil)
	_ gatehouse.RoomStarter = (*Settings)(nil)
	_ gatehouse.Remainer    = (*Settings)(nil)
)
