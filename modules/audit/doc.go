// Package audit is the way to the record of what was done: its settings, what the running gateway says of it, and the
// commands that read it offline.
//
// # What
//
// The house keeps the record itself (gatehouse.AuditLog, internal/chain), so that it is there in every configuration: events of
// the streams audit and system, and, before they are done and before they are answered, what administrators ask of the
// administration endpoint. This room says how long it is kept, and how long the log files that Caddy's loggers write are, holds both
// for somebody who needs them longer, and reads it:
// gatehouse audit verify, show, export, prove, with files and a public key and nothing else. gatehouse why puts together what
// the logs and the record know of one request.
//
// # Place
//
// Outside the row: no request passes here.
//
// # Reads / Writes
//
// Reads and writes the folder audit of the state directory; removes log files that the settings name,
// and writes the directories that they name for copies. No field of Request, no store keyspace.
//
// # Invariants
//
// An administrative action that was acknowledged is on the disk, with what came of it (I11). Reading needs no secret, and says
// of what it shows whether it verifies. An auditor of a tenant reads what is on record of that tenant alone, having been put on record
// for it, and nothing of a record that does not verify (CAL-26).
//
// # Fails
//
// While the record cannot be written: 503 at the administration endpoint, nothing is done; requests are served. An event,
// audit.failed, and the metric gatehouse_audit_writable tell of it.
//
// # Cost
//
// None a request. An administrative action waits for two fsyncs.
package audit
