package certstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

func init() { caddy.RegisterModule(new(Module)) }

// Module is Caddy's storage in the store of several gateways. Its words are those of the house, for Caddy needs storage before there
// is one.
type Module struct {
	// The file with the house's master keys. It must exist.
	KeysFile string `json:"keys_file,omitempty"`
	// The store engine, one that is shared.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=gatehouse.stores inline_key=engine"`

	key    openKey
	opened *opened
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.gatehouse", New: func() caddy.Module { return new(Module) }}
}

// Provision checks the words. It opens nothing.
func (m *Module) Provision(ctx caddy.Context) error {
	if m.KeysFile == "" || m.StoreRaw == nil {
		return errors.New("storage gatehouse: it needs `keys file <path>` and `store <engine> ...`, as the gatehouse option has them")
	}
	guest, err := ctx.LoadModule(m, "StoreRaw")
	if err != nil {
		return fmt.Errorf("storage gatehouse: loading the store: %w", err)
	}
	opener := guest.(gatehouse.StoreOpener)
	if _, alone := opener.(*gatehouse.EmbeddedStore); alone {
		return errors.New("storage gatehouse: the embedded store is one gateway's: take the word storage out, and Caddy keeps certificates in files")
	}
	m.key = openKey{keys: m.KeysFile, store: opener.StoreKey()}
	kept, _, err := open.LoadOrNew(m.key, func() (caddy.Destructor, error) { return newOpened(m.KeysFile, opener), nil })
	if err != nil {
		return err
	}
	m.opened = kept.(*opened)
	return nil
}

// Cleanup implements caddy.CleanerUpper.
func (m *Module) Cleanup() error {
	if m.opened == nil {
		return nil
	}
	_, err := open.Delete(m.key)
	return err
}

// CertMagicStorage implements caddy.StorageConverter.
func (m *Module) CertMagicStorage() (certmagic.Storage, error) { return m.opened.storage, nil }

type openKey struct{ keys, store string }

// open holds what configurations share that overlap.
var open = caddy.NewUsagePool()

// opened is a connection that is made when it is needed first.
type opened struct {
	keysFile string
	opener   gatehouse.StoreOpener
	storage  *Storage

	mu   sync.Mutex
	keys *keyring.Ring // guarded by mu
	st   store.Store   // guarded by mu; nil: not yet

	leave func() // guarded by mu; the key file is followed no more
}

func newOpened(keysFile string, opener gatehouse.StoreOpener) *opened {
	o := &opened{keysFile: keysFile, opener: opener}
	o.storage = New(o.open)
	return o
}

func (o *opened) open() (store.Store, *keyring.Ring, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.st != nil {
		return o.st, o.keys, nil
	}
	keys, err := keyring.Load(o.keysFile)
	if err != nil {
		return nil, nil, fmt.Errorf("storage gatehouse: opening the keys: %w", err)
	}
	st, err := o.opener.OpenStore("", keys, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("storage gatehouse: opening the store: %w", err)
	}
	o.st, o.keys, o.leave = gatehouse.BoundStore(st), keys, gatehouse.FollowKeys(o.keysFile, keys)
	return o.st, o.keys, nil
}

// Destruct implements caddy.Destructor.
func (o *opened) Destruct() error {
	o.storage.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.st == nil {
		return nil
	}
	o.leave()
	return o.st.Close()
}

var (
	_ caddy.Provisioner      = (*Module)(nil)
	_ caddy.CleanerUpper     = (*Module)(nil)
	_ caddy.StorageConverter = (*Module)(nil)
)
