package link

import "gatehouse.internal/modules/gatehouse"

// testimony is what the engine, which knows no Caddy, gives to authn.
type testimony = gatehouse.Testimony
