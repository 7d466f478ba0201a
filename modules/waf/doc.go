// Package waf is the room that looks for attacks: Coraza with the OWASP Core Rule Set, blocking.
//
// # What
//
// One [Engine] per distinct set of rules and settings, shared by all sites that have the same. One [Inspection] per
// request: Head judges request line and headers, and the whole request at once when it has no body; Body judges the
// body, buffered, and replays it byte for byte. Which types are read and which are streamed is decided in body.go.
//
// # Place
//
// Two handlers. gatehouse_waf after ratelimit, before authenticate, so that probes are refused before login.
// gatehouse_waf_body after authorize and verify, before forward: only who may reach the backend can make us buffer.
//
// # Reads / Writes
//
// Reads ID, ClientIP, Site, Grant. Writes WAF (an *Inspection, or a mark that the site has none) and the notes
// waf_score, waf_rules, waf_message, waf_mode, waf_skipped. Owns no store keyspace.
//
// # Invariants
//
// No body reaches a backend half inspected: it is judged whole, or streamed by its content type from a closed list,
// or refused. Matched data is in no note, log or metric. Bodies held at one time are bounded in total ([Budget]). The
// gateway's own session cookies are not shown to the rules. A broken inspection refuses (unless in detect mode,
// which never refuses). Responses are not touched: websockets and event streams pass as they are.
//
// # Fails
//
// waf_blocked 403: the rules. body_too_large 413: over body_limit. body_unreadable 400: ended early or not what it
// says. waf_failed 503: a panic in the rules, or the budget is spent (with Retry-After). request_timeout 408 and
// client_closed 499: the client. internal 500: the head was skipped, or there is no grant.
//
// # Cost
//
// No store operation. Milliseconds of CPU per request with stock Coraza: BenchmarkRequest. Up to four times the body
// in memory while it is inspected, once while it is sent on.
package waf
