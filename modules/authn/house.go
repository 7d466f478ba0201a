package authn

import "gatehouse.internal/modules/gatehouse"

// What the sessions, which know no Caddy, speak of by the house's own names.
type (
	vouching = gatehouse.Vouching
	renewer  = gatehouse.Renewer
)

var errVouchingEnded = gatehouse.ErrVouchingEnded

const maxKeep = gatehouse.MaxKeep
