package waf

import (
	"net/textproto"
	"slices"
	"strings"

	"gatehouse.internal/modules/waf/seclang"
)

// names is how the parser gets headers' names: in lower case already, which saves Coraza two copies of each, where nothing
// that is proven depends on it (prove.HeaderNamesFold, plainNames).
func (p *innocence) names() func(name string) string {
	if p.folds {
		return lowered
	}
	return sent
}

// sent is a header's name as it was sent.
func sent(name string) string { return name }

// lowered is a header's name in lower case, if it is one that prove.HeaderNamesFold speaks of.
func lowered(name string) string {
	if low, ok := lowNames[name]; ok {
		return low
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return name
		}
	}
	return strings.ToLower(name)
}

// lowNames are the names that are common, in the form that Go's server gives them.
var lowNames = func() map[string]string {
	all := map[string]string{}
	for _, low := range strings.Fields(`accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-origin
		access-control-request-headers access-control-request-method age allow alt-svc authorization cache-control connection
		content-disposition content-encoding content-language content-length content-location content-range
		content-security-policy content-type cookie date depth destination dnt etag expect expires forwarded from host if-match
		if-modified-since if-none-match if-range if-unmodified-since keep-alive last-modified link location max-forwards origin
		overwrite permissions-policy pragma prefer priority proxy-authorization range referer referrer-policy retry-after
		save-data sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user
		sec-gpc sec-websocket-extensions sec-websocket-key sec-websocket-protocol sec-websocket-version server set-cookie
		strict-transport-security te trailer transfer-encoding upgrade upgrade-insecure-requests user-agent vary via
		www-authenticate x-content-type-options x-csrf-token x-forwarded-for x-forwarded-host x-forwarded-proto
		x-frame-options x-powered-by x-real-ip x-request-id x-requested-with x-xsrf-token`) {
		all[textproto.CanonicalMIMEHeaderKey(low)] = low
	}
	return all
}()

// plainNames reports that none of the rules looks at the names of headers.
func plainNames(list []*seclang.Rule) bool {
	return !slices.ContainsFunc(list, func(r *seclang.Rule) bool { return strings.Contains(strings.ToUpper(r.Raw), "_NAME") })
}
