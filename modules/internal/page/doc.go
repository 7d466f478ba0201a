// Package page is everything that a person or a program sees from the gateway itself.
//
// # What
//
// [WriteRefusal] says why a request was not let through: as a page to a person's browser, as a problem document
// (RFC 9457) to a program, with the same reason code and request id in both. [Write] shows the pages of the portal:
// [Login], [Setup], [Account], [Logout], [LoggedOut], [Kept], [Loop], [Hop]. [Navigation] tells a person's browser from a
// program. The words stand in english.go, german.go and french.go; the request's Accept-Language chooses, and problem
// documents are English. The templates, the style sheet and the scripts are in html/.
//
// # Invariants
//
// Nothing of the request is reflected but a form that was kept, to its owner: its fields are named, and their values stand
// in hidden fields that go to this host alone. What callers pass is escaped. A person is never sent off this host, but for
// the one link of LoggedOut. Every reason has its own words, in every language; one that is not in the closed list
// renders as internal. No page needs a script, and none may run one but those of html/, which the policy names by their
// hashes and which only handle the fragment of the page's own address. None may load anything or be framed. No answer is
// stored by a cache, and none tells other sites the path or the query that it was shown at. An answer is rendered whole
// before its first byte is sent. A page whose form would lead elsewhere is not shown: it becomes internal.
//
// # Cost
//
// Templates are parsed once, at start. A problem document takes at most 15 allocations (kept by a test) and 2 µs; a
// page about 60, 14 KiB and 10 µs. No store, no goroutine, no lock.
package page
