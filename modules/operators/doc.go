// Package operators gives those who run the gateway sockets of their own, each for one of four roles.
//
// # What
//
// The endpoint that Caddy has for administration knows no roles: who may open its socket may do everything, and replace the
// configuration. A socket of [Sockets] is for a viewer, an integrator, an auditor or an administrator; what each may do is in
// one table ([Role.May]). Who asks is whom the kernel says: the user at the other end of the socket.
//
// # Place
//
// Beside the request path. The house's word operators names the sockets.
//
// # Reads / Writes
//
// Nothing of requests. It answers with the administration endpoints of the other rooms, of which it knows paths alone.
//
// # Invariants
//
// What the table does not name, a role may not do. Caddy's own endpoints are on no socket of a role. No role can replace the
// configuration, release what the audit log must keep, or learn whom a pseudonym hides; the auditor sees the audit log's state
// and nothing else, a tenant's what is on record of that tenant; the integrator sees no traffic. What a request says about who makes it does not count.
//
// # Fails
//
// 403, with the role's name, as JSON.
//
// # Cost
//
// None for requests.
package operators
