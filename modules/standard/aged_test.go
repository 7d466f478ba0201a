package standard_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/gatetest"
)

// patiently waits as long as a gateway that looks once a minute needs.
func patiently(t *testing.T, what string, f func() bool) {
	t.Helper()
	for range 900 {
		if f() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("not after a minute and a half: %s", what)
}

// A signed list that nobody renews is told of, and stays in force (NAT-15): nobody is let in because it is old.
func TestListThatGrowsOld(t *testing.T) {
	g := &operated{t: t, admin: gatetest.FreeAddr(t), Gateway: gatetest.New(t)}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(g.Dir, "hostile.txt")
	text := "127.0.0.1/32\n"
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(list, text)
	write(list+".sig", base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(text))))
	house := "local\n ban {\n include_private\n blocklist hostile " + list + " {\n every 10s\n stale_after 10s\n signed_by " + base64.StdEncoding.EncodeToString(public) + "\n }\n }"
	if err := g.Load(g.text("idp", house, "policy", "public /*", "backend", "respond hello")); err != nil {
		t.Fatal(err)
	}
	awaitDropped(t, g.Gateway)
	write(list, "198.51.100.0/24\n") // of whom its keeper knows nothing
	patiently(t, "the list is told of", func() bool { return strings.Contains(g.Log(), "blocklist.stale") })
	if _, err := g.Client().Get("https://app.test/"); err == nil {
		t.Error("a list that is old shuts nobody out any more")
	}
	g.WantEvent("blocklist.rejected", "the signature is not one of this list")
	g.WantEvent("blocklist.stale", "stays in force")
}
