// Package waf is the room that looks for attacks: Coraza with the OWASP Core Rule Set, blocking.
//
// # What
//
// One [Engine] per distinct set of rules and settings, shared by all sites that have the same. One [Inspection] per
// request: Head judges request line and headers, and the whole request at once when it has no body; Body judges the
// body, buffered, and replays it byte for byte. Which types are read and which are streamed is decided in body.go; of
// what is streamed the first 4 KiB are judged as far as they read as text (opaque.go). Parts of a site may have settings
// of their own (route.go), resolved on the judged path: what opens must hold in every reading, what restricts in any.
// While an operator has raised it (`gatehouse contain paranoia`, raise.go), a plan that was compiled before judges in the site's place.
//
// Before the rules stands a prover (prover.go, decisions/0008): a request of which it shows that no rule can match is not
// put before them; any other is judged as if there were no prover. Some of the first are put before the rules after all,
// beside the request path (prover_check.go); what matches then ends the prover's work for that engine.
//
// # Place
//
// Two handlers. gatehouse_waf after ratelimit, before authenticate, so that probes are refused before login.
// gatehouse_waf_body after authorize and verify, before forward: only who may reach the backend can make us buffer.
//
// # Reads / Writes
//
// Reads ID, ClientIP, Path, Site, Grant. Writes Inspected and WAF (an *Inspection, or a mark that the site has none) and the notes
// waf_score, waf_rules, waf_message, waf_matched, waf_mode, waf_route, waf_skipped, waf_failed_open, and waf_response… for
// answers. The house keeps its memory of the last requests that anything was found in (recent.go). Owns no store keyspace; its keys are the house's for the purposes waf.matched and waf.mistake. It keeps at most eight
// requests that a prover was wrong about, sealed, in waf-mistakes in the state directory (mistake.go).
//
// # Invariants
//
// One request, one verdict: unalias.go mends Coraza's cache. No verdict, note or score depends on the prover. No body
// reaches a backend half inspected: it is judged whole, decompressed if need be, or streamed by its content type from a
// closed list, or refused. Matched data is in no note, log or metric, only its kind, length and keyed hash. Bodies held
// at one time are bounded in total ([Budget]).
// The gateway's own session cookies are not shown to the rules. A broken inspection refuses, unless in detect mode,
// which never refuses, or under insecure_waf_fail_open, which says so each time. Answers pass untouched and unwrapped
// unless the site asks for response_inspection; then their heads are judged and the beginning of text is held until it
// is (response.go), and websockets, event streams and gRPC still pass as they are. A refusal carries nothing of the
// answer that it replaces. Engines are exchanged under running requests when rule files change (reload.go); each
// request keeps the one it began with.
//
// # Fails
//
// waf_blocked 403: the rules. response_blocked 403: the rules, about the answer. body_too_large 413: over body_limit,
// or costs more than the inspect limit.
// headers_too_large 431: a head over 48 KiB. body_unreadable 400: ended early or not what it says. waf_failed 503: a
// panic in the rules, too much CPU time (meter.go), or the budget is spent or too many expensive inspections are waiting
// (both with Retry-After).
// request_timeout 408 and client_closed 499: the client. internal 500: the head was skipped, or there is no grant.
//
// # Cost
//
// No store operation. A request that is proven costs about a hundredth of what CRS does: some 40 µs for a GET, 200 µs
// for 2 KB of JSON (make bench: TestRatios). What is not proven costs milliseconds of CPU, and 250 ms at most at the
// default inspect limit (256 KiB, a value counting as 32 more: cost.go): after 175 ms, looked at between two expressions,
// it is refused (decisions/0010). Without a prover it is stock Coraza's 4.5 ms per KiB and 0.15 ms per value, and the
// inspect limit alone bounds it. What costs more than 16 KiB waits for one of GOMAXPROCS/2 places (cap.go). Up to four
// times the body in memory while it is inspected, once while it is sent on. An engine is 30 MB for the first and 2 for each other; its
// prover 18 MB and 0.2 s at start, and some 10 MB more once it is warm. Checks take a hundredth of a core per engine at most.
package waf
