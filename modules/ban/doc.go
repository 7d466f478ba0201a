// Package ban shuts out client networks, and who is known by name, that have offended too often.
//
// # What
//
// Jails in fail2ban's words: so many offences within so long bring a ban of so long. Offences are events of the bus
// (failed logins, refusals by reason), the application's answers from 400 on, honeypot paths, and lines of other programs'
// log files (sshd's); a jail may look at some paths alone. Operators add and lift bans
// over the administration endpoint, which works for who is banned. Blocklists that others keep, files, https URLs or a
// CrowdSec engine, shut out who is in them. A jail counts against client networks or, by its scope, against sessions, users, tenants or API keys.
// Instead of being refused, whom a jail or a list has found may be kept waiting first (tarpit) or be asked for a second factor
// (step_up); a list may also only make offences count more (score).
//
// # Place
//
// When a TCP connection is accepted, before a byte is read or written; at the TLS handshake, before any key is exchanged, over QUIC,
// behind a PROXY protocol and for the tarpit; and right after admit, for peers behind a trusted proxy and connections that were there before the ban. Bans by name and second factors right after authenticate, before
// limits of users and the portal.
//
// # Reads / Writes
//
// Reads Request.Run, ClientIP, Path, Identity, Grant, and the house's second factors. Writes none of Request's fields. Keyspaces ban, ban_history (90 days)
// and ban_count (30 days), in the clear: networks, reasons, request ids. The folder blocklists of the state directory has
// the last good lists. The networks that are refused may be kept in a file for nftables.
//
// # Invariants
//
// The allow-list comes first in everything: trusted proxies are in it, loopback and private addresses too unless
// include_private says otherwise. A request with the last offence a jail allows is answered when the ban is in force
// already. What runs for a network when it is banned, streams and downloads included, is cut within a second. What a person does who is logged in never
// counts against their network; it counts in jails by name. A failed login counts against no name: anybody can type one. Bans by
// name hold for a key that is exchanged for a token, too. They do not hold where the operator's allow-list names the network or the person. Logging out is always possible. A second
// factor counts from when it was proven after the ban began, for lists from whenever. A ban that was told of, by event, log line or to an operator,
// is durable. A pattern for the lines of a log must be bound to an end of the line, since strangers choose what
// else is in it; of lines nothing is kept. A banned request is no offence, so that bans end. Memory is bounded: 256 connections
// are kept waiting, four of a network, 20 seconds each, until a reload or a stop; 65,536 networks and names are counted, as many
// remembered for an hour with eight users each, a
// million banned, a million in each of 32 lists; 32 log files are read, in lines of 8 KiB, with a fifth of a core. A list that is broken, unsigned or would shut out a large part of the
// world changes nothing: the last good one stays in force, over a restart too, however old.
//
// # Fails
//
// 403 banned with Retry-After until the ban ends; of a new connection a reset, at the handshake an alert. step_up: 401 mfa_required or login_required. A store that cannot be written: the ban is in
// force on this node and is written later. The state is closed: 503 unavailable. A list that cannot be had: the events
// blocklist.rejected and, in time, blocklist.stale. A log that cannot be read: jail_log.unreadable, and it is waited for.
//
// # Cost
//
// No store operation per request. Two lookups in a prefix table (under 100 ns at a million bans, also where memory has to be
// waited for), and two per list; four in a map when somebody is banned by name; one entry in a table of running requests, one
// allocation for the writer that sees the application's status. An offence takes one lock.
package ban
