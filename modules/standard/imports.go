package standard

import (
	// Caddy's own modules.
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	// The rooms that no site has a word for; the others are imported by the directive.
	_ "gatehouse.internal/modules/alert"
	_ "gatehouse.internal/modules/audit"
	_ "gatehouse.internal/modules/backup"
	_ "gatehouse.internal/modules/certstore"
	_ "gatehouse.internal/modules/evidence"
	_ "gatehouse.internal/modules/idp/breakglass"
	_ "gatehouse.internal/modules/idp/local"
	_ "gatehouse.internal/modules/idp/oidc"
	_ "gatehouse.internal/modules/mfa"
	_ "gatehouse.internal/modules/operators"
	_ "gatehouse.internal/modules/privacy"
	_ "gatehouse.internal/modules/siem"
	_ "gatehouse.internal/modules/stores/valkey"
)
