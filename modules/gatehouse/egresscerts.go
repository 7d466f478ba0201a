package gatehouse

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"

	"gatehouse.internal/modules/internal/egress"
)

// holdCertificates refuses certificates that are fetched from whom the mode does not allow.
func (app *App) holdCertificates(ctx caddy.Context, srv *caddyhttp.Server) error {
	guest, err := ctx.App("tls")
	if err != nil {
		return err
	}
	certs := guest.(*caddytls.TLS)
	errs := app.holdTLS(certs)
	auto := cmp.Or(srv.AutoHTTPS, new(caddyhttp.AutoHTTPSConfig))
	var names []string
	if !auto.Disabled && !auto.DisableCerts {
		for _, route := range srv.Routes {
			for _, host := range routeHosts(route) {
				if !slices.Contains(auto.Skip, host) && !slices.Contains(auto.SkipCerts, host) && (auto.IgnoreLoadedCerts || !certs.HasCertificateForSubject(host)) {
					names = append(names, host)
				}
			}
		}
	}
	automated := reflect.ValueOf(certs).Elem().FieldByName("automateNames")
	if !automated.IsValid() || automated.Kind() != reflect.Map {
		return errors.New("another Caddy: whose certificates are fetched is not known")
	}
	for _, name := range automated.MapKeys() {
		names = append(names, name.String())
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		errs = append(errs, app.holdIssuers(certs, name))
	}
	return errors.Join(errs...)
}

// holdTLS refuses what of the TLS app is of no name, once.
func (app *App) holdTLS(certs *caddytls.TLS) (errs []error) {
	if app.tlsHeld {
		return nil
	}
	app.tlsHeld = true
	if app.egress.Mode() == egress.Strict && !certs.DisableOCSPStapling {
		errs = append(errs, errors.New("mode strict: authorities would be asked about certificates: put `ocsp_stapling off` into the global options"))
	}
	if certs.EncryptedClientHello != nil {
		errs = append(errs, fmt.Errorf("mode %s: keys of encrypted hellos are published in the DNS: take `ech` out of the global options", app.egress.Mode()))
	}
	if certs.Automation != nil && certs.Automation.OnDemand != nil {
		asked := reflect.ValueOf(certs.Automation.OnDemand).Elem().FieldByName("permission")
		switch {
		case !asked.IsValid():
			errs = append(errs, errors.New("another Caddy: who is asked whether a certificate may be had is not known"))
		case asked.IsNil():
		case asked.Elem().Type() == reflect.TypeFor[*caddytls.PermissionByHTTP]():
			errs = append(errs, app.MayReach(Reach{What: "who is asked about certificates on demand", Address: asked.Elem().Elem().FieldByName("Endpoint").String()}))
		default:
			errs = append(errs, fmt.Errorf("mode %s: nothing is known of who is asked about certificates on demand (%v): take `on_demand_tls` out", app.egress.Mode(), asked.Elem().Type()))
		}
	}
	return errs
}

// holdIssuers looks at who issues a name's certificate.
func (app *App) holdIssuers(certs *caddytls.TLS, name string) error {
	const fix = "write `tls internal`, or `tls <certificate> <key>` with files of yours"
	public := certmagic.SubjectQualifiesForPublicCert(name) && !certmagic.SubjectIsInternal(name)
	authority := certmagic.LetsEncryptProductionCA
	if certs.Automation != nil {
		for _, p := range certs.Automation.Policies {
			subjects := p.Subjects()
			if len(subjects) > 0 && !slices.ContainsFunc(subjects, func(s string) bool { return certmagic.MatchWildcard(name, s) }) {
				continue
			}
			if len(p.Managers) > 0 {
				return fmt.Errorf("%s: mode %s: its certificate is fetched from elsewhere: %s", app.placeOf(name), app.egress.Mode(), fix)
			}
			if len(p.Issuers) > 0 {
				public = false
			}
			for _, issuer := range p.Issuers {
				switch i := issuer.(type) {
				case *caddytls.InternalIssuer:
				case *caddytls.ACMEIssuer:
					public, authority = true, cmp.Or(i.CA, authority)
				default:
					public, authority = true, "https://acme.zerossl.com"
				}
			}
			break
		}
	}
	if !public {
		return nil
	}
	if err := app.MayReach(Reach{What: "the authority of the certificate of " + name, Address: authority}); err != nil {
		return fmt.Errorf("%s: %w; or %s", app.placeOf(name), err, fix)
	}
	return nil
}
