// Package ratelimit bounds how often and how many at a time clients, users and sessions may ask, and what a client may cost.
//
// # What
//
// Limits are token buckets (GCRA: one time stamp each) in a table of fixed size, by client network, user, session, tenant,
// API key or request header; and a bound on the requests of one client network that run at one time. Without any configuration
// the gateway's own pages below /.gatehouse/ have one, so that logins cannot be tried at will. What a client cost, in
// time of the WAF's rules and bytes of bodies, is charged once it is known, and may be a debt: then the next request waits.
// Bodies that come too slowly are cut. The house's word client_limits says how much; connections are the house's to count.
//
// # Place
//
// Twice in the row: after admit, before anything costs processor time, for client networks and headers; after
// authenticate, where it is known who asks, for users, sessions, tenants and API keys.
//
// # Reads / Writes
//
// Reads Request.ClientIP, Path, Identity, Site, Inspected, Run. Wraps the body. Writes none of Request's fields; adds the answer's RateLimit and
// RateLimit-Policy fields (draft-ietf-httpapi-ratelimit-headers). The table is the node's own. Where gateways share a store, its
// leases in bucket "ratelimit" are written, by reporters in the background (share.go, decisions/0023); never by a request.
//
// # Invariants
//
// Within any time t at most burst + rate × t requests pass a limit; several gateways that share a store may let two leases
// each, an eighth of the burst, and what comes within a round trip pass beside. What is refused by one limit is charged to none. No
// client can grow the memory: a full set of slots gives up the bucket that is nearest to full again, so that whoever is
// at the limit stays there, and header values have a table of their own. Where keys end up cannot be foreseen (seeded
// hash). A reload keeps all buckets. An IPv6 client is a /64; the /56 and /48 around it have four and sixteen
// times its limit, so that moving about inside them does not help. A debt is never more than a full bucket, so that it ends.
// Slow is who is waited for, never who is not read from; nobody saves up more than the grace.
//
// # Fails
//
// 429 rate_limited with Retry-After; 408 request_timeout. The state is closed: 503 unavailable. The shared store does not
// answer: this gateway keeps its part of each limit, by the number of gateways there were.
//
// # Cost
//
// No store operation on a request. One hash, one lock of one of 1,024 and one cache line or two for each limit that applies; 32 MiB
// of address space a node, of which only what clients have touched is memory; two allocations for the fields, which
// TestAllocations counts. The budget is one more look, and a third for who cost something; a body two allocations.
package ratelimit
