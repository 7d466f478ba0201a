// Package alert tells operators when something is wrong, without anything else that would have to watch the gateway.
//
// # What
//
// The gateway's own metrics are read every few seconds, and at once when an event of a watched kind happens. Rules in five
// classes (rule.go) judge them, with each site's own usual amount where there is one (watch.go). What begins, goes on or ends
// is told to receivers: webhooks, signed as Standard Webhooks has it, and mail; and is an event, which syslog and other log
// collectors get from siem, and the audit log keeps.
//
// # Place
//
// Outside the row: no request passes here.
//
// # Reads / Writes
//
// Reads the configuration's metrics registry and the bus. Writes the file alerts.json of the state directory: what is usual,
// what is wrong now, and what waits to be sent. No field of Request, no store keyspace.
//
// # Invariants
//
// One alert for each rule and subject, however often it happens: it is counted. A notice names sites, providers, collectors and
// kinds of events, and never a person or an address. No request waits for a rule or a receiver. At most queueLength notices
// wait for a receiver; what is dropped or given up is counted.
//
// # Fails
//
// A receiver that takes nothing: its notices wait, and are tried again for a day; alert.undelivered, gatehouse_alert_up 0 and
// the other receivers tell of it. A file that cannot be written, or read: what is usual is learned anew.
//
// # Cost
//
// None a request. A reading of all metrics, every 15 seconds.
package alert
