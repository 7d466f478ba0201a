// Package ban shuts client networks out that have offended too often.
//
// # What
//
// Jails in fail2ban's words: so many offences within so long bring a ban of so long. Offences are events of the bus
// (failed logins, refusals by reason), the application's 404 and 400, and honeypot paths. Operators add and lift bans
// over the administration endpoint, which works for who is banned. Blocklists that others keep, files or https URLs, shut
// out who is in them.
//
// # Place
//
// At the TLS handshake, before any key is exchanged, for TCP and QUIC; and right after admit, for peers behind a trusted
// proxy and connections that were there before the ban.
//
// # Reads / Writes
//
// Reads Request.Run, ClientIP, Path, Identity, Grant. Writes none of Request's fields. Keyspaces ban, ban_history (90 days)
// and ban_count (30 days), in the clear: networks, reasons, request ids. The folder blocklists of the state directory has
// the last good lists.
//
// # Invariants
//
// The allow-list comes first in everything: trusted proxies are in it, loopback and private addresses too unless
// include_private says otherwise. A request with the last offence a jail allows is answered when the ban is in force
// already. What runs for a network when it is banned, streams and downloads included, is cut within a second. What a person does who is logged in is no offence. A ban that was told of, by event, log line or to an operator,
// is durable. A banned request is no offence, so that bans end. Memory is bounded: 65,536 networks are counted, as many
// remembered for an hour with eight users each, a
// million banned, a million in each of 32 lists. A list that is broken, unsigned or would shut out a large part of the
// world changes nothing: the last good one stays in force, over a restart too, however old.
//
// # Fails
//
// 403 banned with Retry-After until the ban ends; at the handshake an alert. A store that cannot be written: the ban is in
// force on this node and is written later. The state is closed: 503 unavailable. A list that cannot be had: the events
// blocklist.rejected and, in time, blocklist.stale.
//
// # Cost
//
// No store operation per request. One lookup in a prefix table, two when there is a ban, and one per list; one entry in a table of
// running requests, one allocation for the writer
// that sees the application's status. An offence takes one lock.
package ban
