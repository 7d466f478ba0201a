// Package siem tells log collectors what happened.
//
// # What
//
// What becomes of each request, what the WAF finds, what people and administrators do and how the gateway is goes to any number
// of collectors: files, standard output, syslog over TLS, Splunk, Elasticsearch and OpenSearch, Loki, OpenTelemetry; in JSON,
// ECS, OCSF, CEF, LEEF, GELF, RFC 5424 or CSV (package format). What names people leaves as pseudonyms (package pseudonym),
// unless a tenant wants it in clear.
//
// # Place
//
// Outside the row: admit tells of each request that has ended, the bus of everything else. A queue of fixed length stands
// between them and the goroutine that writes (collect.go); a spool on the disk between that and each collector (spool.go,
// outlet.go); a file per protocol says how a batch is sent.
//
// # Reads / Writes
//
// Reads no field of Request: admit says what there is to say. Writes the folder siem of the state directory.
//
// # Invariants
//
// No request waits for a collector, a disk or this room. What a collector has not confirmed is sent again, in the order in
// which it happened, under the same id. What is lost — because the queue was full, the spool full or too old, or a collector
// rejects it — is counted, and an event says so (siem.lost). The zero setting for personal data is pseudonyms.
//
// # Fails
//
// A collector that is down: requests are served, records wait on the disk, siem.down says so; siem.resumed when it is back.
// A spool that cannot be written: records are lost, and counted. When the machine fails, the last second is; when the process
// is killed, what is in the queue.
//
// # Cost
//
// A request: one lock and one slot of the queue, while there is a collector; otherwise one comparison. The rest happens on
// the room's own goroutines: 3 for each collector with a spool. Memory: 8,192 slots, one batch for each collector.
package siem
