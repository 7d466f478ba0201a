// Package verify asks people to prove themselves once more when they come from a network or with a device that is not known
// to be theirs.
//
// # What
//
// A device is a random number in a signed cookie; a network is a prefix, or an autonomous system where a database tells of
// them. Of each person the room keeps those that they have been verified with. What is news about a request is a signal, and
// the house's policy has an outcome for each: allow, notify, step_up, ask_admin or deny; the strictest counts. A person proves
// themselves by their second factor, by their identity provider, by a code that is sent to them, or by an administrator's word.
// [Room] is what the house says, [Handler] stands in the row of each site, and `gatehouse verify` and the administration
// endpoint list, approve, deny and forget. A house without the word verify asks nobody.
//
// # Place
//
// After authenticate and the limits of users, before the portal: whoever is held must not set up a second factor, nor make a
// key, with which to let themselves in. Open to them are the pages on which they prove themselves, and the way out.
//
// # Reads / Writes
//
// Reads Request.Identity, ClientIP, Path, Site. Writes Request.Device. Store buckets verify (one sealed record a
// person, under a hash), verify.mail (how many messages a person was sent).
//
// # Invariants
//
// A proof counts for the device and the network that it was given from: a session that is used from elsewhere meanwhile
// gets nothing of it. A code works once, for one device and network, for ten minutes and five attempts, and is stored as a
// MAC. What is not known of an address is no signal; what is not known of a person is held. A program's credential
// has no device and is not judged, nor is an emergency.
//
// # Fails
//
// 401 verification_required (a page load is led to the page that says why and asks), 403 verification_denied, 503 unavailable
// when the record cannot be read.
//
// # Cost
//
// With nothing new: one look into a table of fixed size, no store operation, no allocation. Once an hour, and when the address
// or the device of a session has changed: one read, and one write if that is news. At most 32 networks, 16 devices and 8
// held visits a person.
package verify
