package valkey

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/build"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/roots"
	"gatehouse.internal/modules/internal/secret"
	"gatehouse.internal/modules/internal/store"
)

func init() { caddy.RegisterModule(Store{}) }

// openTimeout is how long a start waits for the server.
const openTimeout = 10 * time.Second

// Store keeps the house's state on a Valkey or Redis server, which several gateways share.
type Store struct {
	// The server's host:port, or unix//path; with a sentinel those of sentinels; several without one are a cluster.
	Addresses []string `json:"addresses,omitempty"`
	// The primary that the sentinels know.
	Sentinel string `json:"sentinel,omitempty"`
	// Tells the stores of one server apart. Default: gatehouse.
	Name string `json:"name,omitempty"`
	// The server's user and its password, as a placeholder: {file./run/secrets/valkey}. A password alone is the default user's.
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	// Authorities of the server's certificate, in PEM. Default: the system's.
	TrustPEM string `json:"trust_pem,omitempty"`
	// This gateway's own certificate and key, where the server asks for one.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	// For how long what this gateway knows counts while it hears nothing of the others. Default: 10m.
	Grace caddy.Duration `json:"grace,omitempty"`
	// How many replicas must have a change before it is acknowledged, so that a failover does not lose it. Default: none need to.
	Replicas int `json:"replicas,omitempty"`
	// How long a change waits for them. Default: 1s.
	ReplicasWithin caddy.Duration `json:"replicas_within,omitempty"`
	// Do without TLS on a network. Loopback addresses and sockets are without TLS unless trust_pem or a certificate is named.
	InsecurePlaintext bool `json:"insecure_plaintext,omitempty"`
	// Speak TLS 1.2 with a server that knows no better.
	InsecureTLS12 bool `json:"insecure_tls12,omitempty"`

	password secret.String
	tls      *tls.Config
}

// CaddyModule returns the Caddy module information.
func (Store) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.stores.valkey", New: func() caddy.Module { return new(Store) }}
}

// Reaches implements gatehouse.Reacher.
func (s *Store) Reaches() (all []gatehouse.Reach) {
	for _, address := range s.Addresses {
		all = append(all, gatehouse.Reach{What: "the store", Address: address, Data: true})
	}
	return all
}

// Provision implements caddy.Provisioner.
func (s *Store) Provision(ctx caddy.Context) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("store valkey: %w", err)
	}
	if err := gatehouse.RegisterMetrics(ctx, gauges()...); err != nil {
		return err
	}
	password, err := caddy.NewReplacer().ReplaceOrErr(s.Password, true, true)
	if err != nil {
		return fmt.Errorf("store valkey: password: %w", err)
	}
	if password != "" {
		s.password = secret.New(password)
	}
	if s.InsecurePlaintext {
		ctx.Logger().Warn("insecure_plaintext: whoever listens on the way to the server learns its password, and sees when the state changes")
	}
	if s.InsecureTLS12 {
		ctx.Logger().Warn("insecure_tls12: the server is spoken to with TLS 1.2 if it wants that")
	}
	if !s.encrypted() {
		return nil
	}
	if s.tls, err = roots.Client(s.TrustPEM, s.InsecureTLS12); err != nil {
		return fmt.Errorf("store valkey: trust_pem: %w", err)
	}
	if s.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
		if err != nil {
			return fmt.Errorf("store valkey: certificate: %w", err)
		}
		s.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func (s *Store) check() error {
	if len(s.Addresses) == 0 {
		return errors.New("it needs an address: store valkey <host:port> or store valkey unix//<socket>")
	}
	for _, a := range s.Addresses {
		if strings.HasPrefix(a, "unix/") {
			if len(s.Addresses) > 1 || s.Sentinel != "" || len(a) == len("unix/") {
				return fmt.Errorf("%q: a socket is one server's, and has a path", a)
			}
			continue
		}
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return fmt.Errorf("%q is no address: write host:port or unix//<socket>", a)
		}
	}
	if s.Grace != 0 && (time.Duration(s.Grace) < time.Second || time.Duration(s.Grace) > 24*time.Hour) {
		return errors.New("grace: want 1s to 24h")
	}
	if s.Replicas < 0 || s.Replicas > 16 {
		return errors.New("replicas: want 1 to 16")
	}
	if s.Replicas > 0 && len(s.Addresses) > 1 && s.Sentinel == "" {
		return errCluster
	}
	if w := time.Duration(s.ReplicasWithin); w != 0 && (s.Replicas == 0 || w < 10*time.Millisecond || w > 4*time.Second) {
		return errors.New("replicas: a change waits for them for 10ms to 4s")
	}
	if s.InsecurePlaintext && (s.TrustPEM != "" || s.Certificate != "" || s.InsecureTLS12) {
		return errors.New("insecure_plaintext leaves nothing for trust_pem, certificate or insecure_tls12 to do: take one of them out")
	}
	return nil
}

// encrypted reports whether the server is spoken to with TLS.
func (s *Store) encrypted() bool {
	if s.InsecurePlaintext {
		return false
	}
	return s.TrustPEM != "" || s.Certificate != "" || slices.ContainsFunc(s.Addresses, func(a string) bool { return !local(a) })
}

// local reports whether nobody else can listen in: a socket, or a loopback address.
func local(address string) bool {
	if strings.HasPrefix(address, "unix/") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// StoreKey implements gatehouse.StoreOpener. The password is part of it only as a placeholder.
func (s *Store) StoreKey() string {
	all, err := json.Marshal(s)
	if err != nil {
		panic(err) // texts and flags
	}
	return "valkey:" + string(all)
}

// OpenStore implements gatehouse.StoreOpener.
func (s *Store) OpenStore(_ string, keys *keyring.Ring, bus *event.Bus) (store.Store, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	o := s.options(keys)
	if bus != nil {
		o.Node, o.Tell = says(), func(n Notice) { tell(bus, n) }
	}
	st, err := Open(ctx, o)
	if err == nil && bus != nil {
		opened.Store(st.(*remote))
	}
	return st, err
}

// OpenToMove implements gatehouse.StoreMover.
func (s *Store) OpenToMove(ctx context.Context, _ string, keys *keyring.Ring, as store.Role, dry bool) (store.Moving, error) {
	return OpenToMove(ctx, s.options(keys), as, dry)
}

func (s *Store) options(keys *keyring.Ring) Options {
	return Options{
		Addresses: s.Addresses, Sentinel: s.Sentinel, Name: s.Name, TLS: s.tls, User: s.User, Password: s.password, Keys: keys, Grace: time.Duration(s.Grace),
		Replicas: s.Replicas, ReplicasWithin: time.Duration(s.ReplicasWithin),
	}
}

// says is what this gateway says of itself to the others.
func says() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	version := build.Read().Version
	return host + " " + version
}

func tell(bus *event.Bus, n Notice) {
	switch n {
	case Cut:
		bus.Publish(event.Event{Kind: event.StoreCut, Detail: "the feed of changes is cut: until it is back, what other gateways do is not heard"})
	case Alone:
		bus.Publish(event.Event{Kind: event.StoreAlone, Detail: "nothing was heard of other gateways for the grace: whom this gateway knows is let in no more until the store answers"})
	case Joined:
		bus.Publish(event.Event{Kind: event.StoreJoined, Detail: "the feed of changes is back, and everything is read anew"})
	case Slow:
		bus.Publish(event.Event{Kind: event.StoreSlow, Detail: "the server takes more than 50 ms to answer: logins and other changes wait for it"})
	case Brisk:
		bus.Publish(event.Event{Kind: event.StoreBrisk, Detail: "the server answers soon again"})
	case Skewed:
		bus.Publish(event.Event{Kind: event.StoreSkewed, Detail: "this gateway's clock and the store's are more than a minute apart: lengths of time are kept, but what is compared with other clocks is wrong"})
	case Refused:
		bus.Publish(event.Event{Kind: event.StoreRefused, Detail: "the store is of another version's, or is being moved: this gateway writes nothing to it; `gatehouse status` says which"})
	case Emptied:
		bus.Publish(event.Event{Kind: event.StoreEmptied, Detail: "the server has lost what it held: everybody logs in anew, and bans are lost"})
	}
}

var (
	_ gatehouse.StoreMover  = (*Store)(nil)
	_ caddy.Provisioner     = (*Store)(nil)
	_ caddyfile.Unmarshaler = (*Store)(nil)
)
