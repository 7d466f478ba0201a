package apikey

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
)

var errTwoKeys = errors.New("the request has several keys, or several headers where one belongs")

// maxBasic bounds the credentials of HTTP Basic that are worth a look.
const maxBasic = 1 << 10

// find returns the key in the request's headers and the names of those in which it stands; "" when there is none. named are
// the headers that the site names for keys. What is in these headers and no key of ours is the application's own business.
func find(h http.Header, named []string) (text string, in []string, err error) {
	take := func(name, found string, alone bool) {
		switch {
		case found == "":
		case !alone || text != "" && text != found:
			err = errTwoKeys
		default:
			text, in = found, append(in, name)
		}
	}
	for _, name := range named {
		for _, v := range h[name] {
			if keyText.Begins(v) {
				take(name, v, len(h[name]) == 1)
			}
		}
	}
	for _, v := range h["Authorization"] {
		take("Authorization", inAuthorization(v), len(h["Authorization"]) == 1)
	}
	if err != nil {
		return "", nil, err
	}
	return text, in, nil
}

// inAuthorization returns the key in a value of the header: a bearer token, or the password of HTTP Basic, whatever the user
// is called.
func inAuthorization(value string) string {
	scheme, rest, _ := strings.Cut(value, " ")
	rest = strings.Trim(rest, " ")
	switch {
	case strings.EqualFold(scheme, "bearer"):
		if keyText.Begins(rest) {
			return rest
		}
	case strings.EqualFold(scheme, "basic") && len(rest) <= maxBasic:
		var buf [maxBasic]byte
		n, err := base64.StdEncoding.Decode(buf[:], []byte(rest))
		if err != nil {
			return ""
		}
		if _, password, ok := strings.Cut(string(buf[:n]), ":"); ok && keyText.Begins(password) {
			return password
		}
	}
	return ""
}
