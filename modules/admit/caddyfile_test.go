package admit

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func read(text string) (*Handler, error) {
	h, d := new(Handler), caddyfile.NewTestDispenser(text)
	for d.Next() {
		if known, err := h.Option(d); err != nil {
			return h, err
		} else if !known {
			return h, d.Errf("unknown %q", d.Val())
		}
	}
	return h, nil
}

func TestWordsForOtherOrigins(t *testing.T) {
	h, err := read("cors https://a.test http://localhost:3000 {\n credentials\n methods PUT DELETE\n headers X-Csrf-Token\n max_age 1h\n}\ncors https://b.test\ncors backend\ncross_site /pay /saml/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(h.CORS) != 2 || !h.CORS[0].Credentials || len(h.CORS[0].Origins) != 2 || len(h.CORS[0].Methods) != 2 || h.CORS[0].MaxAge != 3600 ||
		h.CORS[1].Credentials || !h.CORSBackend || len(h.CrossSite) != 2 || h.CrossSite[1].String() != "/saml/*" {
		t.Errorf("read as %+v", h)
	}
	for text, want := range map[string]string{
		"cors":                                  "name at least one origin",
		"cors *":                                "name each origin in full",
		"cors null":                             "name each origin in full",
		"cors https://a.test/":                  "browsers write that https://a.test",
		"cors http://a.test":                    "only https://",
		"cors https://a.test https://a.test":    "stands twice",
		"cors https://a.test {\n credential\n}": "unknown word \"credential\"",
		"cors https://a.test {\n credentials x\n}": "wrong argument count",
		"cors https://a.test {\n methods\n}":       "wrong argument count",
		"cors https://a.test {\n methods put\n}":   "in capitals",
		"cors https://a.test {\n headers *\n}":     "not the name of a request header",
		"cors https://a.test {\n max_age 2d\n}":    "between a second and a day",
		"cors https://a.test {\n max_age 1ms\n}":   "between a second and a day",
		"cors backend {\n credentials\n}":          "no options here",
		"cross_site":                               "name at least one path",
		"cross_site /a/*/b":                        "may stand only at the end",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to say %q", text, err, want)
		}
	}
}
