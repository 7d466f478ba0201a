// Package store is the only door between the gateway and its state: sessions, users, bans, one-time codes, counters, chain heads.
//
// # What
//
// [Store] is a small key-value contract with expiry, compare-and-set, indexes, counters, shared token buckets and a change feed.
// [OpenEmbedded] keeps it in one file (bbolt under our own group commit), [NewMemory] in the process. Both answer alike:
// the writing half is one implementation (ops.go), and storetest is the suite every engine must pass.
//
// # Place
//
// L0. Imports the standard library and its one driver; imported by the house, which opens one Store and hands it to the rooms.
// Rooms keep their hot data in node-local tables that Watch keeps fresh; the request path reads the store on a miss only.
//
// # Invariants
//
//   - What must happen once (codes, links, state, jti, chain heads) is one atomic call, never read-then-write.
//   - A write is acknowledged after its fsync. A write that failed in itself (ErrConflict, ErrNotFound) leaves its neighbours in the batch alone.
//   - An expired item is never returned, and does not come back when the wall clock is set back: expiry is judged by store time, which never goes backwards (clock.go).
//   - The feed is complete or says Resync. A watcher never delays a writer.
//   - A broken or closed engine, and behind [Bounded] one that does not answer, is ErrDown; it never answers "not there".
//   - Values and IDs are stored as given: callers seal what is secret, and hash what must not be readable as a key.
//   - Errors name the bucket, never the ID or the value.
//   - A state moves to another engine whole (move.go): compared by counts and hashes, with nobody else on either side.
//
// # Cost
//
// Embedded: Get about 1 µs and 13 allocations; a write is one fsync, shared by everybody who is waiting (see the benchmarks). Watch: one bounded channel each.
package store
