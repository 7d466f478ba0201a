// Package scope bounds what a credential may be used for: where, how, and from where.
//
// # What
//
// A [Scope] is what whoever issues a key or a link writes down: hosts, paths, methods, networks. A [Naming] says where a
// request names the workspace it is for, so that a credential of one workspace is nothing in another.
//
// # Invariants
//
// The zero Scope covers nothing. A path is covered when every server takes it for one that is in scope. A request names one
// workspace or none: where its host, its path and its headers differ, or a path has several readings, it is refused.
//
// # Cost
//
// Some comparisons; no allocation unless the request is out of scope.
package scope
