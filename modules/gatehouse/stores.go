package gatehouse

import (
	"cmp"
	"errors"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

func init() { caddy.RegisterModule(EmbeddedStore{}) }

// StoreOpener is implemented by the modules in the namespace gatehouse.stores.
type StoreOpener interface {
	// StoreKey tells two stores apart: equal keys mean the same open store serves both configurations. It begins with the engine's name and a colon.
	StoreKey() string
	// OpenStore opens the store. dir is the house's state directory; keys seal what lies on machines of others; the bus is told
	// what becomes of a store that others keep. It is nil for who is no gateway: then none is listed, and nobody is told.
	OpenStore(dir string, keys *keyring.Ring, bus *event.Bus) (store.Store, error)
}

// EmbeddedStore keeps the house's state in one file of its own. It needs no set-up and serves one gateway.
type EmbeddedStore struct {
	// The file. Default: store.db in the house's state directory.
	Path string `json:"path,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (EmbeddedStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.stores.embedded", New: func() caddy.Module { return new(EmbeddedStore) }}
}

// StoreKey implements [StoreOpener].
func (s *EmbeddedStore) StoreKey() string { return "embedded:" + s.Path }

// OpenStore implements [StoreOpener].
func (s *EmbeddedStore) OpenStore(dir string, _ *keyring.Ring, _ *event.Bus) (store.Store, error) {
	return store.OpenEmbedded(s.file(dir), store.EmbeddedOptions{})
}

// file is where the store is, of a house with that state directory.
func (s *EmbeddedStore) file(dir string) string {
	return cmp.Or(s.Path, filepath.Join(dir, "store.db"))
}

// UnmarshalCaddyfile reads
//
//	store embedded [<file>]
func (s *EmbeddedStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the engine's name
	if d.NextArg() {
		s.Path = d.Val()
	}
	if d.NextArg() || d.NextBlock(0) {
		return errors.New("store embedded takes at most a file name")
	}
	return nil
}

var (
	_ StoreMover            = (*EmbeddedStore)(nil)
	_ caddyfile.Unmarshaler = (*EmbeddedStore)(nil)
)
