package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Limits of every engine. What is larger is refused with ErrTooLarge before it is queued.
const (
	MaxBucket  = 32      // bytes in a Bucket
	MaxID      = 1 << 10 // bytes in Key.ID
	MaxValue   = 1 << 20 // bytes in a value
	MaxIndex   = 512     // bytes in one index entry
	MaxIndexes = 16      // index entries of one item
)

// WatchBuffer is how many events a watcher may lie behind before it gets a Resync.
const WatchBuffer = 1024

var (
	// ErrNotFound: no live item has the key. Returned by Get and Take.
	ErrNotFound = errors.New("store: not found")
	// ErrConflict: PutOptions.Match was not met; nothing was written.
	ErrConflict = errors.New("store: conflict")
	// ErrDown: the engine cannot answer. From a write it means "outcome unknown".
	ErrDown = errors.New("store: unavailable")
	// ErrClosed: Close was called. It is an ErrDown too, so that deciding by ErrDown is enough to refuse.
	ErrClosed = fmt.Errorf("%w: closed", ErrDown)
	// ErrFull: EmbeddedOptions.MaxBytes is reached; nothing was written, deletes still work. It is an ErrDown too.
	ErrFull = fmt.Errorf("%w: full", ErrDown)
	// ErrCorrupt: a stored record cannot be read. It is an ErrDown too: unknown means refuse.
	ErrCorrupt = fmt.Errorf("%w: corrupt record", ErrDown)
	// ErrTooLarge: a key, value or index list beyond the limits above.
	ErrTooLarge = errors.New("store: too large")
	// ErrInvalid: an argument no engine can mean, such as an empty ID or a negative TTL. A bug of the caller.
	ErrInvalid = errors.New("store: invalid argument")
	// ErrLocked: another process has the file open. Returned by OpenEmbedded.
	ErrLocked = errors.New("store: file is in use by another process")
	// ErrSchema: the file was written by a newer program, or is not a store at all. Returned by OpenEmbedded.
	ErrSchema = errors.New("store: unknown file format")
	// ErrClock: Health only. Store time runs more than a minute ahead of the wall clock, which was set back.
	// The store still works (it is no ErrDown) and time-outs keep their length.
	ErrClock = errors.New("store: wall clock was set back")
)

// Bucket is a keyspace: "session", "ban", "user", … It is 1 to MaxBucket bytes of a-z, 0-9, '_', '-', '.'.
type Bucket string

// Key names an item, a counter or a lease. ID is 1 to MaxID bytes, any bytes.
type Key struct {
	Bucket Bucket
	ID     string
}

// Item is a stored value. The receiver owns Value.
type Item struct {
	Key     Key
	Value   []byte
	Version uint64    // grows with every Put in the store, so it never repeats for a key, not even after a delete
	Expires time.Time // by this node's wall clock, UTC; zero: never
}

// Match is the condition of a Put.
type Match uint8

// The conditions of a Put. An unmet one is ErrConflict.
const (
	Always  Match = iota // last writer wins
	Absent               // only when no live item has the key
	Version              // only when a live item has the key and PutOptions.Version
)

// PutOptions is how a Put writes. The zero value: overwrite, never expires, no index.
type PutOptions struct {
	TTL     time.Duration // zero: never expires; negative: ErrInvalid
	Match   Match
	Version uint64
	Index   []string // "user:u-1", "sid:abc": see DeleteIndexed and Scan. A set; replaces that of the item before.
	Soft    bool     // a failover of the server may lose it, as it may a lease: it waits for no replica
}

// Limit is a token bucket: Burst tokens at most, one more each Every. Both must be positive and their product below a century.
type Limit struct {
	Burst int64
	Every time.Duration
}

// EventKind says what happened to an item.
type EventKind uint8

// The kinds of event.
const (
	Set    EventKind = iota // an item was written by Put
	Gone                    // an item was taken, deleted, or has expired
	Resync                  // the feed of Key.Bucket was interrupted: drop node-local copies of the bucket and Scan again
)

// Event is one change. It carries no value: read the item if you hold a copy of it.
type Event struct {
	Kind EventKind
	Key  Key // ID is empty for Resync
}

// Store is safe for concurrent use. Every method fails with ctx's error when ctx is done, and with ErrClosed after Close.
//
// A write that returns ctx's error or ErrDown may or may not have happened.
//
// Items, counters (Incr) and leases (Lease) live in keyspaces of their own: the same Key names one of each.
// Get, Take, Touch, Scan, DeleteIndexed and Watch see items only; Delete removes all three.
type Store interface {
	// Get returns the live item, or ErrNotFound.
	Get(ctx context.Context, k Key) (Item, error)
	// Put writes the item and returns its version once the write is durable. The value is copied.
	Put(ctx context.Context, k Key, value []byte, o PutOptions) (version uint64, err error)
	// Take reads and deletes in one step: OAuth state, one-time codes, signed-link nonces. Of any number of callers one gets the item, the others ErrNotFound.
	Take(ctx context.Context, k Key) (Item, error)
	// Delete removes the keys in one step. Missing keys are no error.
	Delete(ctx context.Context, keys ...Key) error
	// DeleteIndexed removes every item of the bucket carrying the index, in one step, and says which were live: logout by user or by IdP sid.
	DeleteIndexed(ctx context.Context, b Bucket, index string) ([]Key, error)
	// Touch moves expiries (wall clock times) forward, never back. It leaves missing items, items that never expire, and times outside 1970 to 2200 alone.
	// It keeps the version and feeds no event. Large maps are written in steps, each of them consistent.
	Touch(ctx context.Context, to map[Key]time.Time) error
	// Scan walks the live items of a bucket, or those carrying an index if it is not empty, in no promised order.
	// An item that is there all the while is yielded once; one that comes or goes meanwhile may be. Nothing is locked while the caller works.
	// An error is yielded last.
	Scan(ctx context.Context, b Bucket, index string) iter.Seq2[Item, error]
	// Incr adds n, which may be negative, to a counter that vanishes ttl after its first increment, and returns the sum: failed logins, fail2ban windows.
	// It saturates at the ends of int64. A zero ttl never vanishes. A zero n reads, and creates nothing.
	Incr(ctx context.Context, k Key, n int64, ttl time.Duration) (int64, error)
	// Lease takes up to want tokens of a GCRA bucket shared by every node. got may be fewer; retry says when one more is free, zero if one is free now.
	// A want of zero looks. A lowered Limit applies at once.
	Lease(ctx context.Context, k Key, l Limit, want int64) (got int64, retry time.Duration, err error)
	// Watch feeds every change of the buckets, this node's own included, until ctx ends or the store closes; then the channel is closed.
	// The feed has begun when Watch returns: Watch, then Scan, misses nothing. On the node that wrote, the event is in the channel before the write returns.
	Watch(ctx context.Context, b ...Bucket) (<-chan Event, error)
	// Snapshot writes a consistent copy an operator can restore, or returns errors.ErrUnsupported. Give it a fast writer, such as a local file.
	// To restore is to go back in time: sessions revoked and codes used since are valid again until they expire. Delete those buckets after a restore.
	Snapshot(ctx context.Context, w io.Writer) error
	// Health is nil when reads and the last write work. ErrClock is a warning.
	Health(ctx context.Context) error
	// Close refuses new calls, lets the running ones end, and releases the engine. Later calls do nothing.
	Close() error
}

// Check returns ErrInvalid or ErrTooLarge for a key that no engine takes. Engines call it before anything else.
func (k Key) Check() error {
	if err := k.Bucket.Check(); err != nil {
		return err
	}
	switch {
	case k.ID == "":
		return fmt.Errorf("%w: empty ID in bucket %q", ErrInvalid, k.Bucket)
	case len(k.ID) > MaxID:
		return fmt.Errorf("%w: ID of %d bytes in bucket %q", ErrTooLarge, len(k.ID), k.Bucket)
	}
	return nil
}

// Check returns ErrInvalid for what is no bucket.
func (b Bucket) Check() error {
	if b == "" || len(b) > MaxBucket {
		return fmt.Errorf("%w: bucket name of %d bytes", ErrInvalid, len(b))
	}
	for i := range len(b) {
		c := b[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return fmt.Errorf("%w: bucket name %q", ErrInvalid, string(b))
		}
	}
	return nil
}

// Check returns ErrInvalid or ErrTooLarge for options that no engine takes.
func (o PutOptions) Check() error {
	if o.TTL < 0 || o.Match > Version {
		return fmt.Errorf("%w: put with TTL %v, match %d", ErrInvalid, o.TTL, o.Match)
	}
	if len(o.Index) > MaxIndexes {
		return fmt.Errorf("%w: %d index entries", ErrTooLarge, len(o.Index))
	}
	for _, ix := range o.Index {
		if err := CheckIndex(ix); err != nil {
			return err
		}
	}
	return nil
}

// CheckIndex returns ErrInvalid or ErrTooLarge for what is no entry of an index.
func CheckIndex(ix string) error {
	switch {
	case ix == "":
		return fmt.Errorf("%w: empty index", ErrInvalid)
	case len(ix) > MaxIndex:
		return fmt.Errorf("%w: index of %d bytes", ErrTooLarge, len(ix))
	}
	return nil
}
