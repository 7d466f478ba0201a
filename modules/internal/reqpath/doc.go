// Package reqpath holds the canonical request path: the one spelling that
// policy judges and the proxy sends.
//
// # What
//
// [Parse] (or [FromRequest]) takes the request-target as it came off the wire
// and either refuses it with a [Refusal], or returns a [Path] with three
// spellings of the same resource: Decoded (what policy and the WAF read),
// Escaped (what the backend receives) and Folded (what the most lenient
// backend could make of it). [Path.Apply] writes the canonical spelling back
// into the request, so that no later handler can see another one.
//
// Servers disagree about a path wherever it has more than one spelling:
// Tomcat drops ";x", Windows drops trailing dots, spaces and case, some
// frameworks decode twice, some end the path at an encoded "?". The package
// removes the disagreement in three ways. Spellings that no honest client
// needs are refused. Spellings that are equivalent by RFC 3986 §6.2.2 are
// normalised. What remains is folded, and [Pattern] asks both readings:
//
//   - a restriction applies if any reading matches ([Pattern.MatchFolded]);
//   - an exception applies only if every reading matches ([Pattern.MatchAll]).
//
// # Invariants
//
//   - I7: the path judged is the path sent. For every accepted p,
//     (&url.URL{Path: p.Decoded, RawPath: p.Escaped}).EscapedPath() == p.Escaped,
//     and decoding Escaped once gives Decoded.
//   - Parsing p.Escaped with the same options gives p again.
//   - No reading of an accepted path holds a dot segment, a control
//     character, a backslash or a second layer of percent-encoding.
//   - Folding absorbs every partial reading R (decode, cut parameters,
//     collapse slashes, trim, change case, in any order): Fold(R(p)) ==
//     Fold(p). Therefore, if some backend lands in /admin, so does Folded.
//     The fuzz tests hold this against a search over naive readers.
//   - Refusals are constants: they never repeat bytes of the client.
//   - No shared state; all values are immutable and safe for concurrent use.
//
// Known limits, where the operator has to help: framework suffix routing
// ("/admin.json" served by the handler of "/admin"), files that answer for
// what follows them ("/admin.php/x": restrict with a subtree), NTFS short
// names ("/ADMINI~1"), Unicode normalisation and best-fit beyond the
// full-width forms and case ("/ādmin" on a Windows ANSI code page).
//
// # Cost
//
// One pass and no allocation for a path of lower-case ASCII without escapes.
// Otherwise, below 256 bytes, at most three allocations to accept and none to
// refuse; longer paths need their work buffers on the heap. Matching never
// allocates.
package reqpath
