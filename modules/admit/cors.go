package admit

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Sharing lets scripts of other origins use the site (CORS). The zero Sharing names no origin and is refused.
type Sharing struct {
	// The origins, exactly: scheme, host and port. There are no wildcards.
	Origins []string `json:"origins"`
	// Scripts of these origins act with the person's session, and their pages count as the site's own for the check
	// against forged requests. Without it they are answered as strangers are.
	Credentials bool `json:"credentials,omitempty"`
	// What a script may ask for beside GET, HEAD and POST.
	Methods []string `json:"methods,omitempty"`
	// Request headers that a script may set. Default: Content-Type.
	Headers []string `json:"headers,omitempty"`
	// For how many seconds a browser may remember all that, a day at most. Default: 600.
	MaxAge int `json:"max_age,omitempty"`
}

const (
	defaultShareAge = 600
	maxShareAge     = 86400 // no browser remembers longer
)

// shared is a Sharing of one origin, as header values. They are in many answers at once and never written.
type shared struct {
	credentials bool

	origin, methods, headers, maxAge []string
}

// origins holds what each origin may do, by its serialisation. Nil: none has been named.
type origins map[string]*shared

var (
	allowed = []string{"true"}
	// exposed are the headers of a refusal that tell a script what happened, and what to do about it.
	exposed = []string{"X-Request-Id, Retry-After, WWW-Authenticate"}
	// askedWith is what the answer to a preflight depends on.
	askedWith = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
)

// share makes the sharings ready, or says what is wrong with them.
func share(list []Sharing) (origins, error) {
	var all origins
	for _, s := range list {
		if err := s.validate(); err != nil {
			return nil, err
		}
		one := shared{
			credentials: s.Credentials,
			methods:     []string{strings.Join(append([]string{"GET", "HEAD", "POST"}, s.Methods...), ", ")},
			headers:     []string{"Content-Type"},
			maxAge:      []string{strconv.Itoa(defaultShareAge)},
		}
		if len(s.Headers) > 0 {
			one.headers[0] = strings.Join(s.Headers, ", ")
		}
		if s.MaxAge > 0 {
			one.maxAge[0] = strconv.Itoa(s.MaxAge)
		}
		for _, origin := range s.Origins {
			if all[origin] != nil {
				return nil, fmt.Errorf("cors: %s stands twice: put what it may do into one", origin)
			}
			if all == nil {
				all = origins{}
			}
			its := one
			its.origin = []string{origin}
			all[origin] = &its
		}
	}
	return all, nil
}

func (s Sharing) validate() error {
	if len(s.Origins) == 0 {
		return errors.New("cors: name at least one origin, such as `cors https://app.example.com`, or write `cors backend`")
	}
	for _, origin := range s.Origins {
		if err := checkOrigin(origin); err != nil {
			return fmt.Errorf("cors: %q: %w", origin, err)
		}
	}
	for _, m := range s.Methods {
		if !httpguts.ValidHeaderFieldName(m) || m != strings.ToUpper(m) || m == "*" || slices.Contains(neverAccepted, m) { // a method is a token too
			return fmt.Errorf("cors: %q cannot be allowed: name methods in capitals, and never CONNECT or TRACE", m)
		}
	}
	for _, name := range s.Headers {
		if !httpguts.ValidHeaderFieldName(name) || name == "*" {
			return fmt.Errorf("cors: %q is not the name of a request header", name)
		}
		if claimed(name) {
			return fmt.Errorf("cors: %s is dropped from every request: it cannot come from a client", name)
		}
	}
	if s.MaxAge < 0 || s.MaxAge > maxShareAge {
		return errors.New("cors: max_age is between a second and a day")
	}
	return nil
}

// answers reports whether the sharing says anything that only the answer to a preflight could.
func (s Sharing) answers() bool { return len(s.Methods) > 0 || len(s.Headers) > 0 || s.MaxAge > 0 }

// checkOrigin says what keeps the text from being an origin as browsers write it (RFC 6454 6.2), or from being one that
// may be named: only what comes over TLS, or from the person's own machine, comes from who it says.
func checkOrigin(text string) error {
	if strings.Contains(text, "*") || text == "null" {
		return errors.New("name each origin in full; what anybody's scripts may read the application can say itself, on its public paths")
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return errors.New("write scheme, host and port, such as https://app.example.com")
	}
	local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && local) {
		return errors.New("only https:// is accepted, or http:// on localhost: what came in the clear may be anybody's page")
	}
	host := strings.ToLower(u.Host)
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]") != "" {
		return errors.New("write the host's name as the browser sends it, in xn-- form")
	}
	if port := u.Port(); port == map[string]string{"https": "443", "http": "80"}[u.Scheme] || strings.HasSuffix(host, ":") {
		host = strings.TrimSuffix(host, ":"+port)
	}
	if want := u.Scheme + "://" + host; text != want {
		return fmt.Errorf("browsers write that %s", want)
	}
	return nil
}

// of returns what the origin that the request names may do; nil: nothing.
func (o origins) of(h http.Header) *shared {
	if origin := h["Origin"]; o != nil && len(origin) == 1 {
		return o[origin[0]]
	}
	return nil
}

// trusts reports whether pages of the request's origin may act in the name of the person.
func (o origins) trusts(h http.Header) bool {
	s := o.of(h)
	return s != nil && s.credentials
}

// allow lets the origin's scripts read the answer with these headers.
func (s *shared) allow(h http.Header) {
	h["Access-Control-Allow-Origin"] = s.origin
	if s.credentials {
		h["Access-Control-Allow-Credentials"] = allowed
	}
}

// expose is allow for an answer of the gateway's own.
func (s *shared) expose(h http.Header) {
	s.allow(h)
	h["Access-Control-Expose-Headers"] = exposed
}

// preflight is the answer to a preflight. Whether it permits what was asked the browser judges: it tells the developer.
func (s *shared) preflight(h http.Header) {
	s.allow(h)
	h["Access-Control-Allow-Methods"] = s.methods
	h["Access-Control-Allow-Headers"] = s.headers
	h["Access-Control-Max-Age"] = s.maxAge
}

// varyOnOrigin keeps caches from giving one origin what was meant for another.
func varyOnOrigin(h http.Header) {
	if !hasToken(h["Vary"], "Origin") && !hasToken(h["Vary"], "*") {
		h["Vary"] = append(h["Vary"], "Origin")
	}
}
