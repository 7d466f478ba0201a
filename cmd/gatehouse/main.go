// Command gatehouse is the gateway: Caddy with the rooms of modules/standard.
package main

import (
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "gatehouse.internal/modules/standard"
)

// version is stamped at build time.
var version = "devel"

func main() {
	caddy.CustomBinaryName = "gatehouse"
	caddy.CustomLongDescription = "Gatehouse is a gateway in front of web applications: WAF, TLS 1.3, login and default-deny policy in one binary."
	caddy.CustomVersion = version
	if os.Getenv("CADDY_ADMIN") == "" {
		// Caddy's default, a TCP port without authentication, lets any local user replace the configuration.
		caddy.DefaultAdminListen = "unix/" + filepath.Join(caddy.AppDataDir(), "admin.sock") + "|0600"
	}
	caddycmd.Main()
}
