package gatehouse

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"
)

// tlsProfile is what a house asks of every TLS connection. Sites can only ask for more.
type tlsProfile struct {
	floor  string   // of the protocol, as Caddy writes it
	suites []string // of TLS 1.2, where the floor is that; those of 1.3 cannot be chosen in Go, and are all good
	rsa    bool     // the suites are for RSA certificates alone
}

var rsaSuites = []string{
	"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}

var modernSuites = slices.Concat([]string{
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}, rsaSuites)

// tlsProfiles are the profiles by name. That of a house that names none is TLS 1.3. With TLS 1.2 there are suites with forward
// secrecy and authenticated encryption alone (CAL-01, NAT-04). Brainframe's statement names eight suites (BRF-01), of which two
// have CBC: Go does not offer them, and what is accepted may be fewer.
var tlsProfiles = map[string]tlsProfile{
	"":           {floor: "tls1.3"},
	"cerebro":    {floor: "tls1.3"},
	"brainframe": {floor: "tls1.2", suites: rsaSuites, rsa: true},
	"calbrix":    {floor: "tls1.2", suites: modernSuites},
	"natalia":    {floor: "tls1.2", suites: modernSuites},
}

// profile returns the profile that the house names.
func (app *App) profile() (tlsProfile, error) {
	p, known := tlsProfiles[app.TLSProfile]
	if !known {
		names := slices.Sorted(maps.Keys(tlsProfiles))
		return p, fmt.Errorf("unknown tls_profile %q: the profiles are %s; without the word TLS 1.3 is the floor", app.TLSProfile, strings.Join(names[1:], ", "))
	}
	return p, nil
}

// TLSFloor says which versions of TLS there are, for operators.
func (app *App) TLSFloor() string {
	if p, err := app.profile(); err == nil && p.floor == "tls1.2" {
		return "TLS 1.2 or higher (tls_profile " + app.TLSProfile + ")"
	}
	return "TLS 1.3 only"
}

// check refuses policies that ask for less than the profile.
func (p tlsProfile) check(srv *caddyhttp.Server) error {
	for _, policy := range srv.TLSConnPolicies {
		below := policy.ProtocolMin != "" && policy.ProtocolMin < p.floor || policy.ProtocolMax != "" && policy.ProtocolMax < p.floor
		if below {
			return fmt.Errorf("TLS below %s is configured: take `protocols` out of the site's tls directive", strings.TrimPrefix(p.floor, "tls"))
		}
		for _, suite := range policy.CipherSuites {
			if p.floor == "tls1.2" && !slices.Contains(p.suites, suite) && !strings.HasPrefix(suite, "TLS_AES_") && suite != "TLS_CHACHA20_POLY1305_SHA256" {
				return fmt.Errorf("the house's tls_profile has no suite %s: take it out of the site's tls directive", suite)
			}
		}
	}
	return nil
}

// apply has every policy of the server ask for no less than the profile.
func (p tlsProfile) apply(srv *caddyhttp.Server) {
	for _, policy := range srv.TLSConnPolicies {
		if policy.ProtocolMin < p.floor {
			policy.ProtocolMin = p.floor
		}
		if policy.ProtocolMin == "tls1.2" && len(policy.CipherSuites) == 0 {
			policy.CipherSuites = slices.Clone(p.suites)
		}
	}
}

// checkKeys refuses a profile of RSA suites where certificates are made with other keys, as Caddy makes them when nothing is
// said: over TLS 1.2 no handshake would succeed.
func (p tlsProfile) checkKeys(ctx caddy.Context) error {
	if !p.rsa {
		return nil
	}
	guest, err := ctx.AppIfConfigured("tls")
	if err != nil {
		return nil // no app, no certificates of its own
	}
	app := guest.(*caddytls.TLS)
	automated := app.Automation != nil && len(app.Automation.Policies) > 0
	ours := !automated && len(app.CertificatesRaw) == 0 // else without a policy, certificates are the operator's own
	if automated {
		ours = slices.ContainsFunc(app.Automation.Policies, func(p *caddytls.AutomationPolicy) bool { return !strings.HasPrefix(p.KeyType, "rsa") })
	}
	if ours {
		return errors.New("tls_profile brainframe has suites for RSA certificates alone, and the gateway's are not: put `key_type rsa2048` into the global options")
	}
	return nil
}

// tell warns of a floor that was lowered.
func (p tlsProfile) tell(name string, logger *zap.Logger) {
	if p.floor != "tls1.3" {
		logger.Warn("tls_profile "+name+": TLS 1.2 is accepted", zap.Strings("suites", p.suites))
	}
}
