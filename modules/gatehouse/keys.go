package gatehouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// keyBucket holds one record, by which a state is known to be of the keys that are there.
const keyBucket store.Bucket = "keys"

var keyProof = store.Key{Bucket: keyBucket, ID: "proof"}

// ErrOtherKeys: the state was sealed with master keys that are not there.
var ErrOtherKeys = errors.New("the state was sealed with other master keys")

// keysFit returns an error unless the state was sealed with these keys, and has it be known as theirs when it is new.
func keysFit(ctx context.Context, st store.Store, keys *keyring.Ring, file string) error {
	item, err := st.Get(ctx, keyProof)
	if errors.Is(err, store.ErrNotFound) {
		if err := opensSome(ctx, st, keys, file); err != nil {
			return err
		}
		_, err = st.Put(ctx, keyProof, keys.Seal(string(keyBucket), nil, []byte(keyProof.ID)), store.PutOptions{Match: store.Absent})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		item, err = st.Get(ctx, keyProof) // another gateway was faster
	}
	if err != nil {
		return fmt.Errorf("reading whose keys the state has: %w", err)
	}
	if _, err := keys.OpenStored(string(keyBucket), item.Value, []byte(keyProof.ID)); err != nil {
		return fmt.Errorf("%w than those in %s: put the right key file there; it has key %s", ErrOtherKeys, file, keyring.SealedBy(item.Value))
	}
	return nil
}

// opensSome returns an error when a state without a proof, which is new or of before there were any, has records and these keys open none.
func opensSome(ctx context.Context, st store.Store, keys *keyring.Ring, file string) error {
	sealed, err := recordsOf(ctx, st)
	if err != nil || len(sealed) == 0 {
		return nil // nobody can tell, or it is new
	}
	for _, k := range keys.Keys() {
		if sealed[k.ID()] > 0 {
			return nil
		}
	}
	return fmt.Errorf("%w than those in %s: put the right key file there; its records have %s", ErrOtherKeys, file, strings.Join(slices.Sorted(maps.Keys(sealed)), ", "))
}

// keepProof has the proof be of the active key, so that the one before can go one day.
func keepProof(ctx context.Context, st store.Store, keys *keyring.Ring) error {
	item, err := st.Get(ctx, keyProof)
	if err != nil || keyring.SealedBy(item.Value) == keys.ActiveID() {
		return err
	}
	_, err = st.Put(ctx, keyProof, keys.Seal(string(keyBucket), nil, []byte(keyProof.ID)), store.PutOptions{})
	return err
}

// followers are the rings that hold what is in a key file, by its path.
var followers = struct {
	mu sync.Mutex
	of map[string][]*keyring.Ring // guarded by mu
}{of: map[string][]*keyring.Ring{}}

// FollowKeys has the ring hold what is in the key file, whenever the house reads it anew, until leave is called.
func FollowKeys(file string, ring *keyring.Ring) (leave func()) {
	file = filepath.Clean(file)
	followers.mu.Lock()
	defer followers.mu.Unlock()
	followers.of[file] = append(followers.of[file], ring)
	return func() {
		followers.mu.Lock()
		defer followers.mu.Unlock()
		followers.of[file] = slices.DeleteFunc(followers.of[file], func(r *keyring.Ring) bool { return r == ring })
		if len(followers.of[file]) == 0 {
			delete(followers.of, file)
		}
	}
}

// adopting is held while the key file is changed, or read, until all hold what is in it.
var adopting sync.Mutex

// adoptKeys has all who use the house's keys hold what is in the key file now, on record. A file that is not of these keys, or has
// some no more that are needed, is refused, and nothing changes.
//
// adopting is held.
func (app *App) adoptKeys(ctx context.Context, state *State) error {
	file := app.KeysPath()
	fresh, err := keyring.Load(file)
	if err != nil {
		return err
	}
	same := told(fresh) == told(state.Keys) // others who follow the file may have missed it
	if !same {
		if err := fitsAfter(ctx, state, fresh, file); err != nil {
			return err
		}
		if err := state.Bus.Record(event.Event{Time: time.Now(), Kind: event.KeysChanged, Attrs: keyAttrs(fresh)}); err != nil {
			return fmt.Errorf("the keys stay as they are: their change must be on record first: %w", err)
		}
	}
	followers.mu.Lock()
	for _, ring := range followers.of[filepath.Clean(file)] {
		ring.Adopt(fresh)
	}
	followers.mu.Unlock()
	if err := keepProof(ctx, state.Store, state.Keys); err != nil && !same { // a store that is away refuses no reload
		return err
	}
	return nil
}

// fitsAfter returns an error if something is lost when those keys take the place of the state's.
func fitsAfter(ctx context.Context, state *State, fresh *keyring.Ring, file string) error {
	has := func(id string) bool {
		return slices.ContainsFunc(fresh.Keys(), func(k keyring.Key) bool { return k.ID() == id })
	}
	var missing []string
	for i, k := range state.Keys.Keys() {
		switch {
		case has(k.ID()):
		case i == 0:
			return fmt.Errorf("%s has not key %s, with which this gateway seals: is it another's file?", file, k.ID())
		default:
			missing = append(missing, k.ID())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	sealed, err := recordsOf(ctx, state.Store)
	if err != nil {
		return fmt.Errorf("looking for what is sealed with the keys that %s has no more: %w", file, err)
	}
	for _, id := range missing {
		if sealed[id] > 0 {
			return fmt.Errorf("%s has not key %s any more, and %d records are sealed with it: put its line back, with the word retired behind it", file, id, sealed[id])
		}
	}
	return nil
}

// recordsOf counts the records that each key has sealed, by reading all of them, and a store's own key, where it has one.
func recordsOf(ctx context.Context, st store.Store) (map[string]int, error) {
	all, ok := store.AsMovable(st)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	sealed := map[string]int{}
	if own, ok := all.(interface{ SealedKey() []byte }); ok {
		sealed[keyring.SealedBy(own.SealedKey())]++
	}
	for r, err := range all.Records(ctx) {
		if err != nil {
			return nil, err
		}
		if id := keyring.SealedBy(r.Value); id != "" && !r.Counter {
			sealed[id]++
		}
	}
	return sealed, nil
}

// KeyStatus is a master key, as an operator sees it.
type KeyStatus struct {
	ID   string    `json:"id"`
	From time.Time `json:"from"`
	// What it does: "seals", "opens" and verifies, "waits" for its time (and opens and verifies), "retired".
	Use string `json:"use"`
	// How many records of the store it has sealed; nil where they were not counted.
	Records *int `json:"records,omitempty"`
}

// keyStatuses says what each key of the ring does.
func keyStatuses(ring *keyring.Ring) (all []KeyStatus) {
	now := time.Now()
	for i, k := range ring.Keys() {
		use := "opens"
		switch {
		case i == 0:
			use = "seals"
		case k.Retired():
			use = "retired"
		case k.From().After(now):
			use = "waits"
		}
		all = append(all, KeyStatus{ID: k.ID(), From: k.From(), Use: use})
	}
	return all
}

// told says of a ring what there is to tell, but for what time alone changes.
func told(ring *keyring.Ring) string {
	var lines []string
	for _, k := range ring.Keys() {
		lines = append(lines, fmt.Sprint(k.ID(), k.From(), k.Retired()))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func keyAttrs(ring *keyring.Ring) (attrs []event.Attr) {
	by := map[string][]string{}
	for _, k := range keyStatuses(ring) {
		text := k.ID
		if k.Use == "waits" {
			text += " from " + k.From.Format(time.RFC3339)
		}
		by[k.Use] = append(by[k.Use], text)
	}
	for _, use := range []string{"seals", "waits", "opens", "retired"} {
		if by[use] != nil {
			attrs = append(attrs, event.Attr{Key: use, Value: event.Clip(strings.Join(by[use], " "), maxAskedText)})
		}
	}
	return attrs
}

const adminKeys = "/gatehouse/keys"

func init() { caddy.RegisterModule(AdminKeys{}) }

// AdminKeys answers at Caddy's administration endpoint:
//
//	GET  /gatehouse/keys[?count=true]  the master keys, never the keys themselves: a list of [KeyStatus]
//	POST /gatehouse/keys/rotate        a new one; {"at_once": true}: that seals at once
//	POST /gatehouse/keys/retire        {"key": id, "at_once": …}: one that only opens what is stored
//	POST /gatehouse/keys/adopt         those that are in the key file now
type AdminKeys struct{}

// CaddyModule returns the Caddy module information.
func (AdminKeys) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_keys", New: func() caddy.Module { return new(AdminKeys) }}
}

type keyAsk struct {
	Key    string `json:"key,omitempty"`
	AtOnce bool   `json:"at_once,omitempty"`
}

// Routes implements caddy.AdminRouter.
func (AdminKeys) Routes() []caddy.AdminRoute {
	change := func(what string, do func(file string, ask keyAsk) error) caddy.AdminRoute {
		return AdminRoute(http.MethodPost, adminKeys+"/"+what, func(r *http.Request) (any, error) {
			app, state, err := RunningState()
			if err != nil {
				return nil, err
			}
			adopting.Lock()
			defer adopting.Unlock()
			ask, err := ReadAsk[keyAsk](r)
			if err == nil {
				err = app.adoptKeys(r.Context(), state) // what would be refused now is refused before anything is written
			}
			if err == nil && do != nil {
				if err = do(app.KeysPath(), ask); err == nil {
					err = app.adoptKeys(r.Context(), state)
				}
			}
			return keyStatuses(state.Keys), err
		})
	}
	return Audited(
		AdminRoute(http.MethodGet, adminKeys, func(r *http.Request) (any, error) {
			_, state, err := RunningState()
			if err != nil {
				return nil, err
			}
			all := keyStatuses(state.Keys)
			if r.FormValue("count") != "true" {
				return all, nil
			}
			sealed, err := recordsOf(r.Context(), state.Store)
			for i := range all {
				n := sealed[all[i].ID]
				all[i].Records = &n
			}
			return all, err
		}),
		change("rotate", func(file string, ask keyAsk) error {
			_, err := keyring.Rotate(file, fromWhen(ask.AtOnce))
			return err
		}),
		change("retire", func(file string, ask keyAsk) error {
			_, err := keyring.Retire(file, ask.Key, ask.AtOnce)
			return err
		}),
		change("adopt", nil),
	)
}

// fromWhen is when a key that is made now begins to seal.
func fromWhen(atOnce bool) time.Time {
	if atOnce {
		return time.Now()
	}
	return time.Now().Add(keyring.Lead)
}

var _ caddy.AdminRouter = AdminKeys{}
