// Package cookie writes, reads and strips __Host- cookies (RFC 6265bis,
// draft-ietf-httpbis-rfc6265bis, §4.1.3.2).
//
// # What
//
// [Set] and [Clear] write the gateway's cookies, [Get] reads one, [Strip]
// keeps them from the backend. The __Host- prefix makes the browser guarantee
// what the server cannot check: set over TLS, by this host and no sibling
// domain, for all paths.
//
// # Invariants
//
//   - Every cookie is Secure, HttpOnly, Path=/, without Domain, and has an
//     explicit SameSite. There is no option to change that.
//   - A response holds at most one Set-Cookie per name of ours (RFC 6265
//     §4.1.1); the last call wins.
//   - Two different values under one name are no value: one of them was
//     planted (cookie tossing), and which one is not for us to guess.
//   - After Strip, no parser that separates cookies by ';' finds a cookie
//     whose name begins with the prefix, not even one that ignores case,
//     quotes and junk around names, percent-decodes names or replaces
//     characters in them as PHP does (CVE-2020-7070, CVE-2022-31629). All
//     other cookies keep their bytes and order.
//
// Not covered: parsers that separate by ',' (RFC 2965, obsolete since 2011).
// Only a client that writes its own Cookie header can hide something there,
// and it hides nothing but what it already has.
//
// # Cost
//
// Get allocates nothing. Strip allocates nothing if there is nothing to
// strip, else two times per changed header line. No state; safe for
// concurrent use, as far as the header map is not shared.
package cookie
