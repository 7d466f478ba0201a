package page

import "net/url"

// traceable returns the id, or "" when it is none that a person could read out or a log could find.
func traceable(id string) string {
	if len(id) > 128 {
		return ""
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return ""
		}
	}
	return id
}

// local reports whether every browser reads s as a path on the same host.
// Backslashes, spaces and control characters are refused wherever they stand: browsers turn the first into slashes
// and drop some of the others, so that "/\evil" or "/\t/evil" leads away.
func local(s string) bool {
	if s == "" || s[0] != '/' || len(s) > 1 && s[1] == '/' {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// foreign reports whether s is an https URL with a host and without a password in it.
func foreign(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil
}
