package standard

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"gatehouse.internal/modules/admit"
	"gatehouse.internal/modules/apikey"
	"gatehouse.internal/modules/authn"
	"gatehouse.internal/modules/authz"
	"gatehouse.internal/modules/ban"
	"gatehouse.internal/modules/clientcert"
	"gatehouse.internal/modules/contain"
	"gatehouse.internal/modules/forward"
	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/idp/oidc/bearer"
	"gatehouse.internal/modules/link"
	"gatehouse.internal/modules/ratelimit"
	"gatehouse.internal/modules/verify"
	"gatehouse.internal/modules/waf"
)

func init() {
	httpcaddyfile.RegisterDirective("gatehouse", parseSite)
	// Before everything that can answer or rewrite; after what only sets variables and headers (CADDY 41).
	httpcaddyfile.RegisterDirectiveOrder("gatehouse", httpcaddyfile.Before, "redir")
}

// words are the site directive's options, for the error that names them.
var words = []string{
	"allow", "deny", "public", "route", "forward", "waf", "insecure_waf_off", "insecure_waf_fail_open", "name", "encoded_slashes", "empty_segments", "methods", "keep_header", "max_headers",
	"cors", "cross_site", "security_txt", "session", "background", "api", "api_key_header", "api_key_forward", "device_pairing", "client_certificates", "tenant", "mfa", "rate_limit", "max_concurrent", "policy_tests", "policy_shadow",
}

// site is the directive while it is read: one configuration for each room of the row.
type site struct {
	admit   admit.Handler
	limits  ratelimit.Site
	certs   clientcert.Handler
	waf     waf.Handler
	authn   authn.Handler
	bearer  bearer.Authenticator
	apikey  apikey.Authenticator
	link    link.Authenticator
	authz   authz.Handler
	forward forward.Handler
}

// parseSite reads the site directive:
//
//	gatehouse {
//		allow <condition...>
//		deny <condition...>
//		public <path...>
//		route <path> {
//			allow ...
//			deny ...
//			sensitive
//			audit
//			mfa ...
//		}
//		mfa [<max-age>] | each [any_method]
//		forward <field...> {
//			roles <role...> | *
//		}
//		waf {
//			paranoia <1 to 4>
//			mode block | detect
//			body_limit <size>
//			response_inspection [<size>]
//			app <name...>
//			exclude <rule id or tag> <target> [<path>]
//			rules <dir>
//			route <path> {
//				paranoia ... | mode ... | body_limit ... | app ... | exclude ... | insecure_waf_off
//			}
//		}
//		insecure_waf_fail_open
//		name <name>
//		tenant <name>
//		encoded_slashes
//		empty_segments
//		methods <METHOD...>
//		keep_header <name...>
//		max_headers <n>
//		cors <origin...> {
//			credentials
//			methods <METHOD...>
//			headers <name...>
//			max_age <duration>
//		}
//		cors backend
//		cross_site <path...>
//		security_txt [<file>] {
//			contact <address...>
//			expires <day>
//			...
//		}
//		session {
//			idle <duration>
//			...
//		}
//		background <path...>
//		rate_limit <n>r/s|r/m|r/h [burst <n>] [per client|user|session|header <name>] [<path...>]
//		max_concurrent <n>
//		api <path...> {
//			issuer <name> [<https URL>]
//			audience <name...>
//			...
//		}
//		api_key_header <name...>
//		api_key_forward
//		device_pairing [<path...>] { ... }
//		client_certificates {
//			ca <file...>
//			crl <file...>
//			required | optional
//		}
//	}
func parseSite(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // gatehouse
	if err := checkPlace(h); err != nil {
		return nil, err
	}
	if h.NextArg() {
		return nil, h.Errf("the gatehouse directive takes no argument and no matcher (%q): it guards the whole site; use `public` and `route` inside it", h.Val())
	}
	var s site
	s.admit.Source = fmt.Sprintf("%s:%d", h.File(), h.Line())
	s.authz.Source = s.admit.Source
	s.limits.Early.Source, s.limits.Late.Source = s.admit.Source, s.admit.Source
	for h.NextBlock(0) {
		if err := s.option(h); err != nil {
			return nil, err
		}
	}
	if err := s.authz.Policy.Validate(); err != nil {
		return nil, h.Errf("the site's gatehouse directive at %s: %v", s.admit.Source, err)
	}
	s.authn.AuthenticatorsRaw = s.authenticators()
	s.forward.Named(s.authz.Named())
	s.authz.EncodedSlashes, s.authz.EmptySegments = s.admit.EncodedSlashes, s.admit.EmptySegments
	s.authz.Preflights = s.admit.CORSBackend // two rooms must agree on who answers them
	s.admit.Version = s.version()
	return []httpcaddyfile.ConfigValue{{Class: "route", Value: s.row()}}, nil
}

// checkPlace refuses the directive where it could be bypassed, or where redirects would answer before it.
func checkPlace(h httpcaddyfile.Helper) error {
	const mark = "gatehouse.place"
	h.BlockState[mark] = true
	_, top := h.State[mark] // only at a site's top level are the two the same map (CADDY 42)
	delete(h.BlockState, mark)
	if !top || h.IsNamedRoute() {
		return h.Err("the gatehouse directive guards a whole site: move it out of route/handle to the site's top level, where nothing can be ordered before it")
	}
	auto, _ := h.Option("auto_https").([]string)
	if !slices.Contains(auto, "disable_redirects") && !slices.Contains(auto, "off") {
		return h.Err("plain HTTP must be refused, not redirected: put `auto_https disable_redirects` into the global options")
	}
	return nil
}

func (s *site) option(h httpcaddyfile.Helper) error {
	for _, room := range []interface {
		Option(d *caddyfile.Dispenser) (bool, error)
	}{&s.authz, &s.forward, &s.admit, &s.authn, &s.waf, &s.bearer, &s.apikey, &s.certs, &s.limits} {
		if known, err := room.Option(h.Dispenser); known || err != nil {
			return err
		}
	}
	return h.Errf("unknown gatehouse option %q: the options are %s", h.Val(), strings.Join(words, ", "))
}

// version tells configurations of a site apart, wherever they stand in a file.
func (s *site) version() string {
	places := []*string{&s.admit.Source, &s.authz.Source, &s.limits.Early.Source, &s.limits.Late.Source, &s.certs.Source}
	were := make([]string, len(places))
	for i, p := range places {
		were[i], *p = *p, ""
	}
	row := caddyconfig.JSON(s.row(), nil)
	for i, p := range places {
		*p = were[i]
	}
	return gatehouse.Digest(row)
}

// row is the life of a request, in order. Rooms that a site does not configure have their defaults.
func (s *site) row() caddyhttp.Route {
	handler := func(name string, config any) json.RawMessage {
		return caddyconfig.JSONModuleObject(config, "handler", name, nil)
	}
	row := []json.RawMessage{
		handler("gatehouse_admit", &s.admit),
		handler("gatehouse_ban", new(ban.Handler)),
		handler("gatehouse_rate_limit", &s.limits.Early),
	}
	if s.certs.Configured() {
		row = append(row, handler("gatehouse_client_certificate", &s.certs))
	}
	return caddyhttp.Route{HandlersRaw: append(row,
		handler("gatehouse_waf", &s.waf),
		handler("gatehouse_authenticate", &s.authn),
		handler("gatehouse_ban_name", new(ban.NameHandler)),
		handler("gatehouse_rate_limit_user", &s.limits.Late),
		handler("gatehouse_contain", new(contain.Handler)),
		handler("gatehouse_verify", new(verify.Handler)),
		handler("gatehouse_portal", s.authn.Portal()),
		handler("gatehouse_authorize", &s.authz),
		handler("gatehouse_waf_body", &waf.BodyHandler{}),
		handler("gatehouse_forward", &s.forward),
	)}
}

// authenticators are the credentials that the site takes besides sessions, in the order in which they are looked for.
func (s *site) authenticators() (guests []json.RawMessage) {
	guest := func(name string, config any) {
		guests = append(guests, caddyconfig.JSONModuleObject(config, "authenticator", name, nil))
	}
	for _, api := range s.bearer.APIs { // two rooms must agree on what requests are for
		agreed := apikey.API{Path: api.Path, By: api.Workspaces}
		if lasts, ok := api.Own(); ok {
			agreed.Tokens = &apikey.Tokens{Audiences: api.Audiences, Scopes: api.Scopes, Lasts: lasts, Forward: api.ForwardToken}
		}
		s.apikey.APIs = append(s.apikey.APIs, agreed)
	}
	if d := s.apikey.Device; d != nil { // what the site asks of people counts for their approval, too
		for _, o := range s.authz.Policy.Require {
			age := o.MaxAge
			if o.Each {
				age = time.Minute // a proof for this very form cannot be kept beside it; one of just now can be had
			}
			if d.MFA = true; age > 0 && (d.MFAMaxAge == 0 || age < time.Duration(d.MFAMaxAge)) {
				d.MFAMaxAge = caddy.Duration(age)
			}
		}
	}
	guest("api_key", &s.apikey)
	guest("link", &s.link)
	if len(s.bearer.APIs) > 0 {
		guest("bearer", &s.bearer)
	}
	if s.certs.Configured() {
		guest("client_certificate", new(clientcert.Authenticator))
	}
	return guests
}
