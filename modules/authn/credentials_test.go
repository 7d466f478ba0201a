package authn

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/running"
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
		lasting := all.enter(runs(t), identity.ProveBy(who, identity.Credential{Method: identity.ByAPIKey, Name: "k"}), check)
		var severed atomic.Bool
		run := running.New(t.Context(), func() { severed.Store(true) })
		short := all.enter(run, identity.ProveBy(who, identity.Credential{Method: identity.ByBearer, Until: time.Now().Add(10 * time.Second)}), nil)
		left := all.enter(runs(t), identity.ProveBy(who, identity.Credential{Method: identity.ByAPIKey}), check)
		left.Leave()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if lasting.cutBy() != "" || short.cutBy() != "" {
			t.Fatalf("cut too early: %q %q", lasting.cutBy(), short.cutBy())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if short.cutBy() != errCredentialOver.Error() || !severed.Load() || lasting.cutBy() != "" {
			t.Fatalf("a second after its time: cut %q, severed %v; the other: %q", short.cutBy(), severed.Load(), lasting.cutBy())
		}
		revoked.Store(true)
		time.Sleep(time.Second)
		synctest.Wait()
		if lasting.cutBy() != "it was revoked" || left.cutBy() != "" {
			t.Fatalf("a second after the revocation: %q; one that had left: %q", lasting.cutBy(), left.cutBy())
		}
		lasting.Leave()
		short.Leave()
		if err := all.Destruct(); err != nil {
			t.Error(err)
		}
	})
}
