// Package authz decides who may reach what of a site. Whatever its policy does not name is refused.
//
// # What
//
// A site's policy: rules that allow or deny by who asks, from where, when and how; what is open to everyone; and routes with
// rules of their own. A policy is compiled when the configuration loads (program.go) and asked once a request (decide.go);
// each decision can say why (explain.go). Operators ask it in words (question.go): by `gatehouse policy explain`, of a file or
// of the gateway that runs, and in policy tests, which a configuration must pass (policytest.go).
// Who reaches what is reviewed by asking the policies in force (review.go), and somebody signs that off (signoff.go).
// A candidate policy can be judged beside the one in force, which alone counts (shadow.go).
//
// # Place
//
// After authenticate and the portal, before the request body is read and before the backend.
//
// # Reads / Writes
//
// Reads Request.Path, Identity, Challenger, ClientIP, Start, Site. Writes Request.Grant, Granted and Audited. Reads the bucket support,
// whose foundation keeps it. Store buckets access_review
// (sealed) and access_review.alerted.
//
// # Invariants
//
// The only place that mints verdict.Grant. A rule that denies wins. A restriction holds in every reading that some server
// has of a path, an opening only when all readings agree, so that no spelling gives more access than the plain one. A more
// specific route overrides what a less specific one allows, and adds to what it denies; of two that overlap otherwise both
// must allow. A condition about something unknown does not hold; an expression without a value allows nothing, and refuses
// what it was to refuse. Who belongs to another tenant is refused. What was allowed for a while is cut when that is over. The
// gateway's own prefix is never granted. Roles held for a while count with a person's own in sessions alone; what is allowed
// by them alone meets what the house asks of people who have such roles, and is cut when they end.
//
// # Fails
//
// 401 login_required (a page load goes to the login instead), where a login could help · 403 forbidden · 401 mfa_required, by the
// room of second factors, which is asked about each request that the policy allows.
//
// # Cost
//
// No store operation for a request. Nothing is allocated for a decision, which takes about a microsecond for 200 rules (bench_test.go);
// an expression allocates, and a refusal does when it says why. One timer for a request that is allowed for a while.
package authz
