package authn

import (
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/keyring"
)

func TestFlowBelongsToItsBrowser(t *testing.T) {
	keys, now := ring(t), time.Now()
	f := newFlow(host, "/x?y=1")
	token, err := f.seal(keys, "browser")
	if err != nil {
		t.Fatal(err)
	}
	got, err := openFlow(keys, token, "browser", host, now)
	if err != nil || got.ID != f.ID || got.ReturnTo != "/x?y=1" || got.derive("pkce") != f.derive("pkce") {
		t.Fatalf("openFlow = %+v, %v", got, err)
	}
	if n := len(f.derive("pkce")); n != 43 {
		t.Errorf("a derived secret has %d characters; a PKCE verifier has 43 to 128", n)
	}
	if f.derive("pkce") == f.derive("nonce") || f.derive("pkce") == newFlow(host, "/").derive("pkce") {
		t.Error("secrets repeat")
	}
	tests := []struct {
		name                 string
		keys                 *keyring.Ring
		token, binding, host string
		at                   time.Time
	}{
		{"another browser", keys, token, "other", host, now},
		{"a browser without a binding", keys, token, "", host, now},
		{"another site", keys, token, "browser", "other.test", now},
		{"another house", ring(t), token, "browser", host, now},
		{"too late", keys, token, "browser", host, now.Add(flowLifetime + time.Second)},
		{"from the future", keys, token, "browser", host, now.Add(-2 * time.Minute)},
		{"cut", keys, token[:len(token)-1], "browser", host, now},
		{"empty", keys, "", "browser", host, now},
		{"not base64", keys, token[:len(token)-1] + "!", "browser", host, now},
		{"huge", keys, strings.Repeat("A", maxToken+1), "browser", host, now},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := openFlow(tt.keys, tt.token, tt.binding, tt.host, tt.at); !errors.Is(err, errFlow) {
				t.Errorf("openFlow: %v, want errFlow", err)
			}
		})
	}
}

// A flow that is only too old is begun anew with what it was for, and with secrets of its own; never a second time.
func TestOldFlowBeginsAgain(t *testing.T) {
	keys, now := ring(t), time.Now()
	f := newFlow(host, "/x?y=1")
	f.Provider, f.Fragment, f.Kept = "oidc", f.fragmentKey(), "form"
	token, err := f.seal(keys, "browser")
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]error{
		flowLifetime: nil, flowLifetime + 2*time.Second: errFlowOld, flowRestart - time.Second: errFlowOld, flowRestart + 2*time.Second: errFlow,
	} {
		_, err := openFlow(keys, token, "browser", host, f.Started.Add(after))
		if !errors.Is(err, want) || errors.Is(err, errFlowOld) != (want == errFlowOld) {
			t.Errorf("after %v: %v, want %v", after, err, want)
		}
	}
	if _, err := openFlow(keys, token, "other", host, now.Add(time.Hour)); errors.Is(err, errFlowOld) {
		t.Error("another browser's flow begins again")
	}
	if _, err := openFlow(keys, token, "browser", "other.test", now.Add(time.Hour)); errors.Is(err, errFlowOld) {
		t.Error("another site's flow begins again")
	}
	again := f.again()
	if again.ReturnTo != f.ReturnTo || again.Provider != "oidc" || again.Fragment != f.Fragment || again.Kept != "form" || !again.Again {
		t.Errorf("again: %+v", again)
	}
	if again.ID == f.ID || again.derive("pkce") == f.derive("pkce") || time.Since(again.Started) > time.Minute {
		t.Error("the flow is not a new one")
	}
}

// The return address is what open redirects are made of: whatever is given, it must lead back to this site.
func TestReturnPath(t *testing.T) {
	for next, want := range map[string]string{
		"":                         "/",
		"/":                        "/",
		"/a/b?c=d&e=%2F":           "/a/b?c=d&e=%2F",
		"/caf%C3%A9":               "/caf%C3%A9",
		"/.gatehouse/account":      "/.gatehouse/account",
		"/.gatehouse/logout":       "/",
		"/.gatehouse/login?next=/": "/",
		"/.GATEHOUSE/login":        "/",
		"//evil.test":              "/",
		"///evil.test":             "/",
		`/\evil.test`:              "/",
		"/%5cevil.test":            "/",
		"/%2f/evil.test":           "/",
		"https://evil.test/":       "/",
		"https:/evil.test/":        "/",
		"javascript:alert(1)":      "/",
		"evil.test":                "/",
		"@evil.test":               "/",
		"/a\r\nSet-Cookie: x=1":    "/",
		"/a%0d%0aSet-Cookie:x":     "/",
		"/\tevil":                  "/",
		" /a":                      "/",
		"/a/../../b":               "/",
		"/a#//evil":                "/",
		"/?next=//evil.test":       "/?next=//evil.test",
		strings.Repeat("/a", 2000): "/",
	} {
		if got := returnPath(next); got != want {
			t.Errorf("returnPath(%.60q) = %.60q, want %q", next, got, want)
		}
	}
}

func FuzzReturnPath(f *testing.F) {
	for _, s := range []string{"/a?b", "//evil", "/%2f/evil", "https://evil", "/\\evil", "/a\n", "/?//evil"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := returnPath(next)
		if got == "" || got[0] != '/' || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t \x00") {
			t.Errorf("returnPath(%q) = %q leads off the site", next, got)
		}
	})
}

func FuzzOpenFlow(f *testing.F) {
	keys := ring(f)
	good, err := newFlow(host, "/").seal(keys, "browser")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := openFlow(keys, token, "browser", host, time.Now()); err == nil && token != good {
			t.Errorf("a made-up token opens: %q", token)
		}
	})
}
