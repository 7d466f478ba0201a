package gatetest

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// warm is a configuration that is never run: it is there for what it shares with those of the tests.
const warm = `{
	admin off
	persist_config off
	auto_https disable_redirects
	skip_install_trust
	gatehouse {
		state_dir %[1]s/state
		local
	}
	storage file_system %[1]s/caddy
	log {
		output discard
	}
}
https://warm.test {
	tls internal
	gatehouse {
		public /*
	}
	respond hello
}
`

// Main runs a package's tests, for its TestMain, and exits. Meanwhile the WAF's compiled rules are kept, which gateways of one
// process share: with the race detector compiling them takes seconds, for each test that starts a gateway.
func Main(m *testing.M) {
	release, err := keepWarm()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gatetest: keeping the rules:", err)
		os.Exit(1)
	}
	code := m.Run()
	release()
	os.Exit(code)
}

func keepWarm() (release func(), err error) {
	dir, err := os.MkdirTemp("", "warm")
	if err != nil {
		return nil, err
	}
	raw, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(fmt.Appendf(nil, warm, dir), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return nil, err
	}
	cfg := new(caddy.Config)
	if err := json.Unmarshal(raw, cfg); err != nil {
		return nil, err
	}
	// The context stays as it is until the process ends, and so do the references that it holds.
	if _, err := caddy.ProvisionContext(cfg); err != nil {
		return nil, err
	}
	return func() { _ = os.RemoveAll(dir) }, nil
}
