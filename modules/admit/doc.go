// Package admit opens and closes every request: it settles what the request is before anyone judges it, and it says
// and writes the last word.
//
// # What
//
// One request id, one client address, one path; a request head cleaned of whatever could pass for the gateway's own
// word; HSTS on every answer. Afterwards it renders what a room decided, as the only one that does, and writes the
// access-log line, the event and the metric. It answers preflights for the site, lets scripts of named origins read
// answers (cors.go), and keeps pages of other sites from acting in a person's name (shield.go). Where the site says so it serves
// security.txt, to everybody (RFC 9116).
//
// # Place
//
// First in the row, before any room and any backend; its other half runs after everything.
//
// # Reads / Writes
//
// Writes Request.ID, Run, ClientIP, Path, Site, Start, Navigation, Connection. Reads the verdict. No store keyspace.
//
// # Invariants
//
// The path judged is the path sent (I7). The client address is determined once (I8). No client byte reaches an
// identity or routing header, in any spelling (I2). One verdict, one event, one reason, one id per request (I3).
// Every answer carries exactly one Strict-Transport-Security, ours, whatever the backend says. Only a page load is ever
// redirected to the login. No preflight carries anybody's credentials on. What changes state and carries a session was
// sent by the site's own page, by a program, by an origin trusted with the session, or to a path named in cross_site.
// A session whose cookie came in the clear is given to the house to end.
//
// # Fails
//
// 400 bad_path, bad_request, bad_upgrade, client_unknown · 403 plain_http, cross_origin · 405 method_not_allowed ·
// 421 misdirected, unknown_host · 425 too_early · 431 headers_too_large · 500 internal on a panic or an error that no room explains.
//
// # Cost
//
// No store operation. Some fourteen allocations: the request, its id, its context, the writer, two headers and the log line.
package admit
