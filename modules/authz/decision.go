package authz

import (
	"fmt"
	"slices"
	"time"
)

// Decision is what a policy says about one request. The zero Decision is no.
//
// Rule names what allowed it, or what refused it, for logs; [Decision.Reasons] says why, in full. Part is the innermost
// route that the path could be in, or the site. Obligations are what an allowed request must meet besides, before it passes;
// the slice is the policy's own and must not be changed. LoginHelps says of a refusal that there is somebody who would be let
// in. Until is when what allowed it ends by itself; zero: never. Sensitive says that the path is in a part that is marked so,
// Audited the innermost part whose requests go on record first.
type Decision struct {
	Allowed     bool
	Rule        string
	Part        string
	Obligations []Obligation
	LoginHelps  bool
	Sensitive   bool
	Audited     string
	Until       time.Time

	policy *program
	query  Query
}

// ObligationKind names what an obligation asks for. Whoever adds a kind teaches [Handler] to meet it; one that it cannot
// meet refuses the request.
type ObligationKind string

// MFA asks for a second factor.
const MFA ObligationKind = "mfa"

// Obligation is something that a part of a site asks of every request which its rules allow: rules say who may, an
// obligation says how sure one must be of it. Obligations add up: a route has its own, those of the routes around it, and
// the site's. They are restrictions, and hold in every reading of the path.
type Obligation struct {
	Kind ObligationKind `json:"kind"`
	// MaxAge is how old the proof may be; zero: as old as the session.
	MaxAge time.Duration `json:"max_age,omitempty"`
	// Each asks for a proof of its own for every single request that changes something.
	Each bool `json:"each,omitempty"`
	// AnyMethod, with Each, asks for one of GET, HEAD and OPTIONS, too; without, they pass with one of the session.
	AnyMethod bool `json:"any_method,omitempty"`
}

func (o Obligation) validate() error {
	if o.Kind != MFA || o.MaxAge < 0 || o.Each && o.MaxAge != 0 || o.AnyMethod && !o.Each {
		return fmt.Errorf("an obligation of kind %q, max_age %v, each %v is none that can be met", o.Kind, o.MaxAge, o.Each)
	}
	return nil
}

// join adds to what is asked for already.
func join(asked, more []Obligation) []Obligation {
	for _, o := range more {
		if !slices.Contains(asked, o) {
			asked = append(slices.Clip(asked), o)
		}
	}
	return asked
}
