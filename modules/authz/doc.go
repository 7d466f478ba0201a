// Package authz decides who may reach what of a site. Whatever its policy does not name is refused.
//
// # What
//
// A site's policy: who may use the site, which paths are open to everyone, and which routes have rules of their own.
//
// # Place
//
// After authenticate and the portal, before the request body is read and before the backend.
//
// # Reads / Writes
//
// Reads Request.Path, Identity, Challenger. Writes Request.Grant. No store keyspace.
//
// # Invariants
//
// The only place that mints verdict.Grant. A restriction holds in every reading that some server has of a path, an
// opening only when all readings agree, so that no spelling gives more access than the plain one. A more specific
// pattern overrides a less specific one; of two that overlap otherwise both must allow. The gateway's own prefix is
// never granted.
//
// # Fails
//
// 401 login_required (a page load goes to the login instead) · 403 forbidden.
//
// # Cost
//
// No store operation. One comparison for each configured pattern; one allocation when routes match.
package authz
