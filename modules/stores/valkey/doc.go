// Package valkey keeps the gateway's state on a Valkey or Redis server, so that several gateways share it.
//
// # What
//
// The engine gatehouse.stores.valkey: `store valkey <address>...` in the gatehouse block. Redis 7 or Valkey 8, by TCP, TLS or a
// unix socket, alone, behind Sentinel, or as a cluster. It answers as the embedded engine does: store/storetest says how.
//
// # Place
//
// No room of the request path: the house opens it. It is apart from package store because of its driver, which is 10 MB of code.
// A request waits for it on a miss of a room's own table only, and then for store.Bounds at most.
//
// # Reads / Writes
//
// None of Request's fields. On the server, keys that begin with {gatehouse:<name>}: and a channel of that name. Names of
// buckets, times, counts, sizes and what gateways say of themselves (host name, version) can be read there, and nothing else:
// IDs and index entries are hashed with a key, values are sealed (seal.go). All gateways need the same master keys.
//
// # Invariants
//
// Each write is one script, and so one atomic step. All keys of a store lie on one node of a cluster: a cluster is for
// failover here, not for size. Store time is the server's, and never goes back, not over a failover either; wall clocks of
// gateways do not matter. The feed is complete or says Resync: messages are numbered, a beat each second finds a feed that lies
// behind. A value that was changed on the server, or put in the place of another, is ErrCorrupt. What the server can do
// unseen is to forget, and to bring back what was there before. A write that may have happened is never repeated. Nobody writes to a
// store of another schema, or to one that is being moved: each script looks (move.go). Nor does anybody read there, from the next beat on.
//
// # Fails
//
// No server at the start, or one whose store belongs to other master keys: the gateway does not start. A server that goes
// away: ErrDown, at once or within store.Bounds; the events store.cut and, when the feed is there again, store.joined. When it
// is away for longer than the grace, store.alone, and a Resync, so that nobody goes on being let in by what was known. A
// store of another schema, or that is moved: store.refused, and ErrDown. One that takes more than 50 ms: store.slow, until store.brisk.
// Clocks that are a minute apart: store.skewed. A
// server that lost what it held: store.emptied; everybody logs in anew, and bans are lost. How durable a write is that was
// acknowledged is the server's matter (appendfsync). A failover loses what its replica had not heard of, unless Replicas are to have it
// first (replicas.go): then a change that too few have is made, is fed to this node's watchers, and is ErrDown to its caller. What is Soft, uses and leases wait for none.
//
// # Cost
//
// Get: one round trip. A write: one round trip, 0.17 ms of the server's thread on a busy machine, and 6.5 µs for each node that listens. Each
// node: two connections for the feed and the rest, and one beat a second (decisions/0026 has what a thousand come to).
package valkey
