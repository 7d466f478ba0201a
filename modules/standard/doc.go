// Package standard is the front door: it knows every room, and turns the one gatehouse directive of a site into the
// fixed row of handlers.
//
// # What
//
// The imports that make a binary a gateway, the site directive, and its place among Caddy's directives.
//
// # Place
//
// Layer 3: imports everything, imported by cmd alone.
//
// # Reads / Writes
//
// Nothing at run time.
//
// # Invariants
//
// The row is the one in the table of rooms, whatever the operator writes: no word changes its order or leaves a room
// out. The directive stands at the top level of a site or the configuration is refused.
//
// # Fails
//
// Refused configurations say file, line and what to write instead.
//
// # Cost
//
// None at run time.
package standard
