package cookie

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Ours is what the names of all the gateway's cookies begin with: no backend and no rule may see them, and none may set
// them.
const Ours = "__Host-gatehouse"

// Guest is the cookie of whoever was let in by a link. Like the session's, named [Ours], it says by itself who asks.
const Guest = Ours + "-guest"

// Prefix begins every name.
const Prefix = "__Host-"

// MaxSize is the greatest length of name and value together, in bytes. RFC
// 6265bis §5.6 has user agents ignore cookies beyond it.
const MaxSize = 4096

// MaxAge is the greatest lifetime user agents grant (RFC 6265bis §5.5).
const MaxAge = 400 * 24 * time.Hour

// Errors of Set and Clear.
var (
	ErrName   = errors.New("cookie name must be a token that begins with " + Prefix)
	ErrValue  = errors.New("cookie value has bytes that are not allowed")
	ErrSize   = errors.New("cookie is larger than 4096 bytes")
	ErrMaxAge = errors.New("cookie lifetime is negative or longer than 400 days")
)

// Options of a cookie that may differ.
type Options struct {
	// MaxAge is the lifetime, rounded up to seconds. 0 makes a session
	// cookie, which ends with the browser.
	MaxAge time.Duration

	// SameSite defaults to Lax, which OpenID Connect callbacks need.
	SameSite http.SameSite
}

// Set adds a Set-Cookie line to the response header w, in place of an earlier
// one of the same name. The value must consist of cookie-octets (RFC 6265
// §4.1.1): no spaces, quotes, commas, semicolons or backslashes. On error,
// w is unchanged.
func Set(w http.Header, name, value string, o Options) error {
	if !isName(name) {
		return ErrName
	}
	if len(name)+len(value) > MaxSize {
		return ErrSize
	}
	if !isValue(value) {
		return ErrValue
	}
	if o.MaxAge < 0 || o.MaxAge > MaxAge {
		return ErrMaxAge
	}
	sameSite, err := sameSiteName(o.SameSite)
	if err != nil {
		return err
	}
	line := name + "=" + value + "; Path=/"
	if o.MaxAge > 0 {
		seconds := (o.MaxAge + time.Second - 1) / time.Second
		line += "; Max-Age=" + strconv.FormatInt(int64(seconds), 10)
	}
	replace(w, name, line+"; Secure; HttpOnly; SameSite="+sameSite)
	return nil
}

// Clear makes the browser forget the cookie. On error, w is unchanged.
func Clear(w http.Header, name string) error {
	if !isName(name) {
		return ErrName
	}
	replace(w, name, name+"=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
	return nil
}

func sameSiteName(s http.SameSite) (string, error) {
	switch s {
	case 0, http.SameSiteDefaultMode, http.SameSiteLaxMode:
		return "Lax", nil
	case http.SameSiteStrictMode:
		return "Strict", nil
	case http.SameSiteNoneMode:
		return "None", nil
	}
	return "", fmt.Errorf("unknown SameSite mode %d", s)
}

// replace drops the Set-Cookie lines of name from w and adds line.
func replace(w http.Header, name, line string) {
	old := w["Set-Cookie"]
	lines := make([]string, 0, len(old)+1)
	for _, l := range old {
		if n, _, _ := strings.Cut(l, "="); strings.TrimSpace(n) != name {
			lines = append(lines, l)
		}
	}
	w["Set-Cookie"] = append(lines, line)
}

// Get returns the value of the cookie name (exactly, RFC 6265 §5.4) from the
// Cookie lines of the request header h. It is not ok if there is none, if it
// is empty or larger than [MaxSize], if it has bytes that Set refuses, or if
// there is another one of that name with a different value.
func Get(h http.Header, name string) (value string, ok bool) {
	for _, line := range h["Cookie"] {
		for more := true; more; {
			var pair string
			pair, line, more = strings.Cut(line, ";")
			n, v, found := strings.Cut(pair, "=")
			if trim(n) != name {
				continue
			}
			v = trim(v)
			if !found || v == "" || ok && v != value {
				return "", false
			}
			value, ok = v, true
		}
	}
	if !ok || len(name)+len(value) > MaxSize || !isValue(value) {
		return "", false
	}
	return value, true
}

// trim removes what RFC 6265bis §5.5 calls WSP.
func trim(s string) string { return strings.Trim(s, " \t") }

// isName reports whether s is a token (RFC 9110 §5.6.2) behind the prefix.
func isName(s string) bool {
	rest, ok := strings.CutPrefix(s, Prefix)
	if !ok || rest == "" {
		return false
	}
	for i := 0; i < len(rest); i++ {
		if !isToken(rest[i]) {
			return false
		}
	}
	return true
}

func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// isValue reports whether s is made of cookie-octets.
func isValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= 0x20 || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\' {
			return false
		}
	}
	return true
}
