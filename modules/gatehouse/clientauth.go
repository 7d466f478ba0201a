package gatehouse

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
)

// Certificate is a client's certificate that was verified for the site of a request: its chain, its times, its purpose, that
// nobody revoked it; and, by TLS, that the client has its key. It does not change.
type Certificate struct {
	Leaf *x509.Certificate
	// Sum is the SHA-256 of the certificate, which nothing but this certificate has.
	Sum [sha256.Size]byte
	// Names are what it may be known by, the most exact first: sha256:<sum>, then dns:, email:, uri: and ip: as it says,
	// then subject:<its distinguished name>.
	Names []string
}

// AskForCertificates has the server ask the clients of the site that is being provisioned for a certificate, and nobody
// else's: TLS asks before the request is known, so that the server name decides, which equals the host (I9). It must be called
// while the site's row is provisioned. cas are DER. Unless required, a client may have none, and one that does not fit is
// judged by the request's row, which can say what is wrong with it. TLS checks that the client has the certificate's key.
//
// Such connections are never resumed (Caddy switches the tickets of these policies off): a session cannot carry a
// certificate to where it was not shown.
func (app *App) AskForCertificates(ctx caddy.Context, cas [][]byte, required bool) error {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	site := app.Entered()
	if !ok || site == nil {
		return errors.New("the row has no gate before it")
	}
	if len(site.Hosts) == 0 {
		return errors.New("TLS asks for certificates by the server's name: give the site a host name")
	}
	var encoded []string
	for _, der := range cas {
		encoded = append(encoded, base64.StdEncoding.EncodeToString(der))
	}
	mode := "request"
	if required {
		mode = "require_and_verify"
	}
	auth := func() *caddytls.ClientAuthentication {
		return &caddytls.ClientAuthentication{
			CARaw: caddyconfig.JSONModuleObject(caddytls.InlineCAPool{TrustedCACerts: encoded}, "provider", "inline", nil), Mode: mode,
		}
	}
	var policies []*caddytls.ConnectionPolicy
	asked := false
	for _, p := range srv.TLSConnPolicies {
		names, err := namesOf(p, site.Hosts)
		if err != nil {
			return err
		}
		if len(names) > 0 && !p.Drop {
			if p.ClientAuthentication != nil {
				return fmt.Errorf("%s is asked for certificates twice: take `client_auth` out of the site's tls directive", names[0])
			}
			own := *p
			own.MatchersRaw = caddy.ModuleMap{}
			maps.Copy(own.MatchersRaw, p.MatchersRaw)
			own.MatchersRaw["sni"] = caddyconfig.JSON(names, nil)
			own.ClientAuthentication = auth()
			policies, asked = append(policies, &own), true
		}
		policies = append(policies, p)
	}
	if !asked {
		return errors.New("no TLS connection policy of the server is for this site")
	}
	srv.TLSConnPolicies = policies
	return nil
}

// namesOf returns the server names that are both the policy's and the site's.
func namesOf(p *caddytls.ConnectionPolicy, hosts []string) (names []string, err error) {
	raw, ok := p.MatchersRaw["sni"]
	if !ok {
		return hosts, nil
	}
	var of []string
	if err := json.Unmarshal(raw, &of); err != nil {
		return nil, fmt.Errorf("a TLS connection policy's sni: %w", err)
	}
	for _, host := range hosts {
		for _, name := range of {
			host, name := strings.ToLower(host), strings.ToLower(name)
			switch {
			case certmagic.MatchWildcard(host, name):
				names = append(names, host)
			case certmagic.MatchWildcard(name, host):
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
