package store

import "time"

// Node is a gateway that uses a store which several may use.
type Node struct {
	ID   string        // random for each start
	Says string        // what it says of itself: host name, version
	Age  time.Duration // how long ago
}

// Shared is implemented by engines whose state several gateways may share.
type Shared interface {
	// Nodes are the gateways that used the store when it last answered, this one among them.
	Nodes() []Node
	// Alone reports whether nothing could be heard of the others for longer than what this node knows may count. When that begins,
	// every watcher gets a Resync.
	Alone() bool
}

// Nodes returns who uses the store, and whether it is one that several gateways may share.
func Nodes(s Store) (nodes []Node, shared bool) {
	if several, ok := asShared(s); ok {
		return several.Nodes(), true
	}
	return nil, false
}

// Alone reports whether the store is shared, and has not been heard of for longer than what this node knows may count.
func Alone(s Store) bool {
	several, ok := asShared(s)
	return ok && several.Alone()
}

// AsMovable is the engine, behind a [Bounded] store too, if all that it holds can be walked.
func AsMovable(s Store) (Movable, bool) {
	if b, ok := s.(*bounded); ok {
		s = b.Store
	}
	all, ok := s.(Movable)
	return all, ok
}

// asShared is the engine, behind a [Bounded] store too, if several gateways may share its state.
func asShared(s Store) (Shared, bool) {
	if b, ok := s.(*bounded); ok {
		s = b.Store
	}
	several, ok := s.(Shared)
	return several, ok
}
