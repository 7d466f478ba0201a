package mfa

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/identity"
)

// ProveTyped implements [gatehouse.SecondFactor]: what people prove elsewhere than on the room's pages, such as on a command
// line. A code works once, wherever it is typed, and guesses count there as they do here.
func (m *Module) ProveTyped(ctx context.Context, who identity.Identity, text, what string) (string, error) {
	accounts, state, err := m.accounts()
	if err != nil {
		return "", err
	}
	name := who.Provider + ":" + who.Subject
	a, err := accounts.get(ctx, who)
	if err != nil {
		return "", err
	}
	if a.TOTP == nil && left(a.Codes) == 0 {
		return "", fmt.Errorf("%w: %s has no authenticator application and no backup code to prove it with", gatehouse.ErrUnproven, name)
	}
	method, codes, wait, err := accounts.proveCode(ctx, who, text)
	tell := func(kind event.Kind, detail string, attrs ...event.Attr) {
		state.Bus.Publish(event.Event{Time: time.Now(), Kind: kind, User: name, Detail: detail, Attrs: append(attrs, event.Attr{Key: "factor", Value: method}, event.Attr{Key: "for", Value: what})})
	}
	outcome := "wrong"
	switch {
	case err == nil && wait == 0:
		proofs.WithLabelValues(method, "proven").Inc()
		tell(event.FactorUsed, "")
		if method == identity.BackupCode {
			tell(event.BackupCodeUsed, "", event.Attr{Key: "left", Value: strconv.Itoa(codes)})
		}
		return method, nil
	case wait > 0:
		outcome, err = "paused", fmt.Errorf("too many attempts: wait %s", wait.Round(time.Second))
	case errors.Is(err, errUsed):
		outcome, err = "used_before", fmt.Errorf("%w: wait for the next one", err)
	case !errors.Is(err, errCode):
		return "", err
	}
	proofs.WithLabelValues(method, outcome).Inc()
	tell(event.FactorFailed, err.Error(), event.Attr{Key: "outcome", Value: outcome})
	return "", fmt.Errorf("%w: %w", gatehouse.ErrUnproven, err)
}
