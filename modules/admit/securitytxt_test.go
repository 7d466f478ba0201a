package admit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSecurityTxt(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	h, err := read("security_txt {\n contact mailto:sec@a.test https://a.test/report\n expires 2027-06-30\n policy https://a.test/policy\n languages en de\n}")
	if err != nil {
		t.Fatal(err)
	}
	text, until, err := h.SecurityTxt.render([]string{"https://a.test" + securityPath}, now)
	want := "Contact: mailto:sec@a.test\r\nContact: https://a.test/report\r\nExpires: 2027-06-30T00:00:00Z\r\nPreferred-Languages: en, de\r\n" +
		"Canonical: https://a.test/.well-known/security.txt\r\nPolicy: https://a.test/policy\r\n"
	if err != nil || string(text) != want || !until.Equal(time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%q until %v, %v", text, until, err)
	}
	// A signed file stays as it is.
	file := filepath.Join(t.TempDir(), "security.txt")
	signed := "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nContact: mailto:sec@a.test\nExpires: 2026-10-01T00:00:00.000Z\n-----BEGIN PGP SIGNATURE-----\n\nx\n"
	if err := os.WriteFile(file, []byte(signed), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err = read("security_txt " + file); err != nil {
		t.Fatal(err)
	}
	if text, until, err = h.SecurityTxt.render(nil, now); err != nil || string(text) != signed || !until.Before(now) {
		t.Errorf("%q until %v, %v", text, until, err)
	}
	for config, says := range map[string]string{
		"security_txt":                           "write",
		"security_txt {\n expires 2027-06-30\n}": "no contact",
		"security_txt {\n contact sec@a.test\n expires 2027-06-30\n}":                               "no address",
		"security_txt {\n contact http://a.test\n expires 2027-06-30\n}":                            "no address",
		"security_txt {\n contact mailto:s@a.test\n}":                                               "no day",
		"security_txt {\n contact mailto:s@a.test\n expires soon\n}":                                "no day",
		"security_txt {\n contact mailto:s@a.test\n expires 2029-06-30\n}":                          "more than a year",
		"security_txt {\n contact mailto:s@a.test\n expires 2027-06-30\n hiring x\n}":               "unknown",
		"security_txt " + file + " {\n contact mailto:s@a.test\n}":                                  "as it is",
		"security_txt /nowhere/security.txt":                                                        "no such file",
		"security_txt {\n contact mailto:s@a.test\n expires 2027-06-30\n languages \"en\r\nX:\"\n}": "languages",
	} {
		h, err := read(config)
		if err == nil {
			_, _, err = h.SecurityTxt.render(nil, now)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", config, err, says)
		}
	}
}
