package gatehouse

import (
	"encoding/json"

	"github.com/go-jose/go-jose/v4"
)

// JWKSPath is where applications find the keys that verify the gateway's assertions.
const JWKSPath = PortalPrefix + "jwks.json"

// JWKS returns the keys that verify what is signed for the purpose, as a JSON Web Key Set (RFC 7517): the one that signs now, and those
// whose signatures may still be on their way.
func (app *App) JWKS(purpose string) ([]byte, error) {
	state, err := app.State()
	if err != nil {
		return nil, err
	}
	keys, err := state.Keys.ES256Keys(purpose)
	if err != nil {
		return nil, err
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Key, KeyID: k.ID, Algorithm: string(jose.ES256), Use: "sig"})
	}
	return json.Marshal(set)
}
