package gatehouse

import "sync/atomic"

// Kept remembers what a room keeps in the State (see [State.Keep]), so that a request does not look for it. The zero Kept has
// found nothing yet. It is safe for concurrent use.
type Kept[T any] struct{ found atomic.Pointer[T] }

// Of returns what open returns for the house, which is asked until it succeeds once.
func (k *Kept[T]) Of(house *App, open func(*App) (*T, error)) (*T, error) {
	if v := k.found.Load(); v != nil { // Fast path
		return v, nil
	}
	v, err := open(house)
	if err == nil {
		k.found.Store(v)
	}
	return v, err
}
