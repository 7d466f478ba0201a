package waf

import (
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/cookie"
)

// withoutOurs returns a Cookie header without the gateway's own cookies, every other byte unchanged. They are ours to
// judge, and their random values are what the rules cost most for.
//
// A cookie that only bears our name is shown to the rules: left out is only a value of letters, digits, - and _ (and
// the like), in which no attack can be written, so that it does not matter who reads it in the end.
func withoutOurs(header string) string {
	if !strings.Contains(header, cookie.Ours) { // Fast path
		return header
	}
	kept := make([]string, 0, strings.Count(header, ";")+1)
	for _, pair := range strings.Split(header, ";") {
		name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !strings.HasPrefix(name, cookie.Ours) || !harmless(name) || !harmless(value) {
			kept = append(kept, pair)
		}
	}
	return strings.Trim(strings.Join(kept, ";"), " \t")
}

// harmless reports whether s is made of base64url, dots and padding only.
func harmless(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '-' && s[i] != '_' && s[i] != '.' && s[i] != '=' {
			return false
		}
	}
	return true
}

// asSent shows Connection as the client sent it, in the place of what admit made of it for the backend: contradictions in
// it tell of smuggling. nil changes nothing. It returns h.
func (h *heading) asSent(connection []string) *heading {
	if connection == nil {
		return h
	}
	h.headers = slices.DeleteFunc(h.headers, func(l line) bool { return l.name == "Connection" })
	for _, value := range connection {
		h.add("Connection", value)
	}
	return h
}
