package gatehouse

import (
	"encoding/json"

	"github.com/go-jose/go-jose/v4"

	"gatehouse.internal/modules/internal/keyring"
)

// JWKSPath is where applications find the keys that verify the gateway's assertions.
const JWKSPath = PortalPrefix + "jwks.json"

// JWKS returns the keys that verify assertions, as a JSON Web Key Set (RFC 7517): the one that signs now, and those whose
// assertions may still be on their way.
func (app *App) JWKS() ([]byte, error) {
	state, err := app.State()
	if err != nil {
		return nil, err
	}
	keys, err := state.Keys.ES256Keys(keyring.ForAssertions)
	if err != nil {
		return nil, err
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Key, KeyID: k.ID, Algorithm: string(jose.ES256), Use: "sig"})
	}
	return json.Marshal(set)
}
