// Package evidence tells which promises of a security statement hold, and how that was seen.
//
// # What
//
// controls.yaml is the catalogue: each promise of the five security statements that the gateway enforces, records or supports, with the
// setting that it asks for, the probe that tries it from outside, the kinds of events that tell of it, and what frameworks call it.
// gatehouse evidence reads the running configuration, probes the listener as a stranger would, counts what the audit log has, and writes a
// report as a table, JSON, Markdown, a page, or rows of a questionnaire, in a folder that the gateway signs. gatehouse tls check grades any
// listener of TLS. gatehouse doctor looks for what is commonly set up wrong.
//
// # Place
//
// Outside the row: no request passes here. The probes come in as requests of strangers.
//
// # Reads / Writes
//
// Reads the running configuration, the files of the state directory and the audit log. Writes the folder that --out names, and
// the event evidence.made. No field of Request, no store keyspace.
//
// # Invariants
//
// A control passes only when a probe saw it; what no probe can see is declared, never passed. What fails names its fix. The signature is
// over the hashes of the files, and only over what the gateway put on record before. See decisions/0031.
//
// # Fails
//
// A control that fails: exit code 1, after the report was written. While the audit log cannot be written, nothing is signed.
//
// # Cost
//
// None a request. A run is some dozens of connections, two hundred handshakes at the most, and one reading of the audit log.
package evidence
