// Command gatehouse is the gateway: Caddy with the rooms of modules/standard.
package main

import (
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"gatehouse.internal/modules/standard"
)

func main() {
	caddy.CustomBinaryName = "gatehouse"
	caddy.CustomLongDescription = "Gatehouse is a gateway in front of web applications: WAF, TLS 1.3, login and default-deny policy in one binary."
	caddy.CustomVersion = standard.ProductVersion()
	if os.Getenv("CADDY_ADMIN") == "" {
		// Caddy's default, a TCP port without authentication, lets any local user replace the configuration.
		caddy.DefaultAdminListen = "unix/" + filepath.Join(caddy.AppDataDir(), "admin.sock") + "|0600"
	}
	if len(os.Args) > 1 && os.Args[1] == "version" {
		os.Exit(standard.Version(os.Args[2:]))
	}
	caddycmd.Main()
}
