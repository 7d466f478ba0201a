package authn

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/standing"
)

// What runs by a credential ends within a second of it: of its time, and of its being revoked.
func TestVisitsEndWithTheirCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newVisits(new(standing.Book))
		who := identity.Identity{Provider: "service", Subject: "backup", Kind: identity.Service}
		var revoked atomic.Bool
		check := func() error {
			if revoked.Load() {
				return errors.New("it was revoked")
			}
			return nil
		}
		lasting := all.enter(t.Context(), identity.ProveBy(who, identity.Credential{Method: identity.ByAPIKey, Name: "k"}), check)
		short := all.enter(t.Context(), identity.ProveBy(who, identity.Credential{Method: identity.ByBearer, Until: time.Now().Add(10 * time.Second)}), nil)
		left := all.enter(t.Context(), identity.ProveBy(who, identity.Credential{Method: identity.ByAPIKey}), check)
		left.Leave()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if lasting.Cut() != "" || short.Cut() != "" {
			t.Fatalf("cut too early: %q %q", lasting.Cut(), short.Cut())
		}
		var severed atomic.Bool
		short.Sever(func() { severed.Store(true) })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if short.Cut() != errCredentialOver.Error() || !severed.Load() || lasting.Cut() != "" {
			t.Fatalf("a second after its time: cut %q, severed %v; the other: %q", short.Cut(), severed.Load(), lasting.Cut())
		}
		revoked.Store(true)
		time.Sleep(time.Second)
		synctest.Wait()
		if lasting.Cut() != "it was revoked" || left.Cut() != "" {
			t.Fatalf("a second after the revocation: %q; one that had left: %q", lasting.Cut(), left.Cut())
		}
		lasting.Leave()
		short.Leave()
		if err := all.Destruct(); err != nil {
			t.Error(err)
		}
	})
}
