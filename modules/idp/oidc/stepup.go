package oidc

import (
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/gatehouse"
)

// attempt is what this login asks of the provider, and what its answer must fit.
//
// A second factor is asked for, not insisted on: what comes back is judged by what it proves, and a provider that proves
// nothing more leaves the person to the gateway's own second factor. What every login must have it must have still, unless
// the provider has answered with one of the classes that were asked for instead.
func (p *Provider) attempt(l gatehouse.Login) Attempt {
	a := Attempt{
		// Derived for this provider alone: what one provider of the house sees of a flow is nothing at another.
		State: l.Flow.Token, Nonce: l.Flow.Derive("nonce " + p.ProviderName), Verifier: l.Flow.Derive("pkce " + p.ProviderName),
		RedirectURI: l.Origin + l.Base + callback, Started: l.Flow.Started,
		ACR: p.ACR, MaxAge: time.Duration(p.MaxAge), Anew: slices.Contains(p.Prompt, "login"), Prompt: strings.Join(p.Prompt, " "),
	}
	switch {
	case !l.StepUp:
	case l.Sub != callback:
		a.Anew = true
		if len(p.StepUpACR) > 0 {
			a.ACR = p.StepUpACR
		}
	case len(a.ACR) > 0:
		a.ACR = slices.Concat(a.ACR, p.StepUpACR)
	}
	return a
}

// StepsUp implements [gatehouse.StepUpProvider].
func (p *Provider) StepsUp() bool { return p.StepUp }

// ProvesBy implements [gatehouse.StepUpProvider].
func (p *Provider) ProvesBy(acr string) bool { return slices.Contains(p.StepUpACR, acr) }

// AnewBy implements [gatehouse.StepUpProvider].
func (p *Provider) AnewBy(acr string) bool { return len(p.StepUpACR) == 0 || p.ProvesBy(acr) }

var _ gatehouse.StepUpProvider = (*Provider)(nil)
