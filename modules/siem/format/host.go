package format

import "strings"

// domain is a request's host without its port.
func domain(host string) string {
	if port(host) == 0 {
		return host
	}
	return host[:strings.LastIndexByte(host, ':')]
}

// port is the one that a request's host names; 0 for none.
func port(host string) (n int) {
	at := strings.LastIndexByte(host, ':')
	if at < 0 || strings.IndexByte(host[at:], ']') >= 0 || len(host)-at > 6 {
		return 0
	}
	if host[0] != '[' && strings.IndexByte(host, ':') < at { // an IPv6 address without brackets
		return 0
	}
	for _, c := range host[at+1:] {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	if n > 65535 {
		return 0
	}
	return n
}

// isHostname reports whether s is written as names and IPv4 addresses are.
func isHostname(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return s != ""
}
