package standard

import (
	// Caddy's own modules.
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	// The identity providers and second factors; the other rooms are imported by the directive.
	_ "gatehouse.internal/modules/idp/breakglass"
	_ "gatehouse.internal/modules/idp/local"
	_ "gatehouse.internal/modules/idp/oidc"
	_ "gatehouse.internal/modules/mfa"
)
