// Package link lets people in who have no account: by links that end by themselves, are good for a part of one site, and can be
// taken back (control BRF-08).
//
// # What
//
// A link is an address with a token that begins with ghl_, for some paths and methods of one host. Whoever opens it meets a page
// with a button; the button exchanges the token for a short session, as often as the link says. [Book] makes, opens and revokes
// links and knows the sessions; [Authenticator] is the guest of authn that finds these in requests, and the page.
// `gatehouse link create|list|revoke` manages links.
//
// # Place
//
// A guest of authn (gatehouse.authenticators.link), on every site, which also answers /.gatehouse/link. Policies let its
// guests in by `allow guest`, and nothing else of theirs does.
//
// # Reads / Writes
//
// Reads Request.Path, ClientIP, Site and its own cookies. Writes none of Request's fields. Store buckets link (sealed, by the
// link's public id) and link.session (sealed, by the SHA-256 of the cookie; index link:<id>). Events: link.created, link.revoked,
// link.opened.
//
// # Invariants
//
// The token is known to whoever it was sent to; the store holds its SHA-256. It comes in a query once, is led into a cookie, and
// stands in no page, log, Referer or request to an application. Looking at a link uses nothing: programs that follow links in
// mails press no buttons. Of any number who press at one time, on any node, as many get in as the link has uses left. A
// session is of one host and tenant, for the link's paths and methods alone, and ends with the link, with the account of
// whoever answers for it, and by itself, with what runs in it. Logs call a guest link:<id>; whose link it is only `link list` says.
//
// # Fails
//
// 403 link_invalid: unknown, changed, expired, used up, revoked, from another network or on another host; and where a guest's
// session does not reach, unless anybody may go there. 503 unavailable when the store cannot be asked.
//
// # Cost
//
// A request in a session: one SHA-256 and two look-ups, no store operation. Opening a link: two reads and two writes.
package link
