package alert

import "time"

// The classes, and who has to get up (CAL-19, CAL-20).
const (
	availability   = "availability"
	errorRates     = "errors"
	authentication = "authentication"
	privileged     = "privileged"
	capacity       = "capacity"

	critical = "critical"
	warning  = "warning"
)

// Classes and Severities are all of them; severities from the least.
var (
	Classes    = []string{availability, errorRates, authentication, privileged, capacity}
	Severities = []string{warning, critical}
)

// of selects series of a metric: those whose label has one of the values, or all.
type of struct {
	metric, label string
	values        []string
	below         bool    // of a level: it is wrong below the limit
	limit         float64 // of a level
	share         string  // of a level: the limit is a share of this metric's value
}

// kinds selects events.
func kinds(kinds ...string) of {
	return of{metric: "gatehouse_events_total", label: "kind", values: kinds}
}

// rule says when something is wrong. Exactly one of level, surge, rise and share is used.
type rule struct {
	name, class, severity string
	summary               string // {subject} and {value} stand for them
	by                    string // the label that makes subjects; "": there is one, nameless
	after                 time.Duration

	level []of // any series beyond its limit

	count  []of          // a counter
	among  []of          // of which count is a part; nil: count is looked at alone
	window time.Duration // how far back
	least  float64       // within the window: so many; with among: this part, of at least atLeast
	times  float64       // and so many times as much as usual; zero: whatever is usual
	usual  time.Duration // over how long what is usual is learned
}

// atLeast is how many requests say something about a part of them.
const atLeast = 20

const day = 24 * time.Hour

// rules are those for Prometheus in caddyfiles/monitoring/alerts.yml, by the same names. Here GatehouseBusy leaves out evicted
// limits, which are a rate and not a level, and parts are of atLeast requests.
var rules = []rule{
	{name: "GatehouseApplicationDown", class: availability, severity: critical, by: "site", after: 2 * time.Minute, window: 5 * time.Minute,
		summary: "{subject}: {value} of the requests find no application.", least: 0.05,
		count: []of{{metric: requests, label: "reason", values: []string{"upstream_down", "upstream_timeout"}}}, among: []of{{metric: requests}}},
	{name: "GatehouseUpstreamDown", class: availability, severity: critical, by: "upstream", after: time.Minute,
		summary: "{subject} fails the health checks of reverse_proxy.", level: []of{{metric: "caddy_reverse_proxy_upstreams_healthy", below: true, limit: 1}}},
	{name: "GatehouseProviderDown", class: availability, severity: critical, by: "provider", after: 3 * time.Minute,
		summary: "Nobody can log in with {subject}.", level: []of{{metric: "gatehouse_oidc_provider_up", below: true, limit: 1}}},
	{name: "GatehouseProtectionOff", class: availability, severity: critical, by: "site", after: time.Minute,
		summary: "{subject}: a known attack passes the WAF.", level: []of{{metric: "gatehouse_waf_canary", below: true, limit: 1}}},
	{name: "GatehouseProtectionOff", class: availability, severity: critical, by: "kind", window: 15 * time.Minute, least: 1,
		summary: "{subject}: a WAF lets pass what it should not, or has had to be slow to be safe.", count: []of{kinds("waf.canary_failed", "waf.prover_off", "waf.failed_open")}},
	{name: "GatehouseEvidenceStopped", class: availability, severity: critical, after: 5 * time.Minute,
		summary: "The audit log cannot be written.", level: []of{{metric: "gatehouse_audit_writable", below: true, limit: 1}}},
	{name: "GatehouseEvidenceStopped", class: availability, severity: critical, by: "copy", after: 5 * time.Minute,
		summary: "The copy of the audit log at {subject} is not kept up to date.", level: []of{{metric: "gatehouse_audit_copy_up", below: true, limit: 1}}},
	{name: "GatehouseEvidenceStopped", class: availability, severity: critical, by: "sink", after: 5 * time.Minute,
		summary: "The collector {subject} takes no records.", level: []of{{metric: "gatehouse_siem_up", below: true, limit: 1}}},
	{name: "GatehouseAlertsUndelivered", class: availability, severity: critical, by: "receiver", after: 5 * time.Minute,
		summary: "The receiver {subject} takes no alerts.", level: []of{{metric: "gatehouse_alert_up", below: true, limit: 1}}},
	{name: "GatehouseJailBlind", class: availability, severity: warning, by: "file", after: 5 * time.Minute,
		summary: "Jails cannot read {subject}.", level: []of{{metric: "gatehouse_ban_log_readable", below: true, limit: 1}}},
	{name: "GatehouseRecordsLost", class: availability, severity: critical, by: "sink", window: 15 * time.Minute, least: 1,
		summary: "The collector {subject} will never get {value} records.", count: []of{{metric: "gatehouse_siem_lost_records_total"}}},

	{name: "GatehouseBackup", class: availability, severity: critical,
		summary: "The last good backup is {value} seconds old, twice as old as it should ever be.", level: []of{{metric: "gatehouse_backup_age_seconds", share: "gatehouse_backup_every_seconds", limit: 2}}},
	{name: "GatehouseBackup", class: availability, severity: critical, by: "kind", window: 15 * time.Minute, least: 1,
		summary: "{subject}: a backup could not be made, or not be restored as a test.", count: []of{kinds("backup.failed", "backup.unfit")}},
	{name: "GatehouseBackupUntested", class: availability, severity: warning,
		summary: "No backup has been restored as a test for {value} seconds.", level: []of{{metric: "gatehouse_backup_verified_age_seconds", share: "gatehouse_backup_verify_within_seconds", limit: 1}}},

	{name: "GatehouseErrors", class: errorRates, severity: warning, by: "site", after: 5 * time.Minute, window: 10 * time.Minute,
		summary: "{subject}: {value} of the answers are errors, three times as many as usual.", least: 0.02, times: 3, usual: day,
		count: []of{{metric: requests, label: "outcome", values: []string{"5xx"}}}, among: []of{{metric: requests}}},
	{name: "GatehouseRefusals", class: errorRates, severity: warning, by: "site", after: 5 * time.Minute, window: 10 * time.Minute,
		summary: "{subject}: {value} requests were refused within ten minutes, five times as many as usual.", least: 600, times: 5, usual: day,
		count: []of{{metric: requests, label: "reason", values: []string{"waf_blocked", "forbidden", "banned", "rate_limited"}}}},

	{name: "GatehouseLoginFailures", class: authentication, severity: warning, by: "provider", after: 5 * time.Minute, window: 15 * time.Minute,
		summary: "{subject}: {value} logins failed within a quarter of an hour, five times as many as usual.", least: 45, times: 5, usual: day,
		count: []of{{metric: "gatehouse_logins_total", label: "!outcome", values: []string{"succeeded"}}}},
	{name: "GatehouseSecondFactorGuessed", class: authentication, severity: warning, window: 10 * time.Minute, least: 21,
		summary: "{value} proofs of a second factor were wrong within ten minutes.",
		count:   []of{{metric: "gatehouse_mfa_proofs_total", label: "!outcome", values: []string{"proven"}}}},
	{name: "GatehouseAccountInDanger", class: authentication, severity: warning, by: "kind", window: 10 * time.Minute, least: 1,
		summary: "{subject}: somebody's session or account may be in other hands.", count: []of{kinds("session.far_apart", "user.compromised", "incident.user_reported")}},

	{name: "GatehouseBreakGlass", class: privileged, severity: critical, by: "kind", window: 10 * time.Minute, least: 1,
		summary: "{subject}: somebody is at the emergency door.", count: []of{kinds("break_glass.asked", "break_glass.used")}},
	{name: "GatehouseContainment", class: privileged, severity: warning, window: 10 * time.Minute, least: 1,
		summary: "{value} containment switches were thrown within ten minutes: something is closed or restricted on purpose.", count: []of{kinds("containment.thrown")}},
	{name: "GatehouseAdminRefused", class: privileged, severity: warning, window: 15 * time.Minute, least: 3,
		summary: "{value} administrative requests were refused within a quarter of an hour.", count: []of{kinds("admin.refused")}},
	{name: "GatehouseEgressDenied", class: privileged, severity: warning, window: time.Hour, least: 1,
		summary: "Something in the gateway tried to speak to whom its mode does not allow.", count: []of{kinds("egress.denied")}},
	{name: "GatehouseAdminUnusual", class: privileged, severity: warning, window: time.Hour, least: 21, times: 5, usual: 7 * day,
		summary: "{value} administrative changes within an hour, five times as many as usual.",
		count:   []of{kinds("admin.done", "support_grant.given", "user.changed", "user.factors_reset")}},

	{name: "GatehouseBusy", class: capacity, severity: warning, after: 5 * time.Minute,
		summary: "Requests or logins wait for a processor ({value}).",
		level:   []of{{metric: "gatehouse_waf_waiting", limit: 20}, {metric: "gatehouse_password_waiting", limit: 20}}},
	{name: "GatehouseMemory", class: capacity, severity: warning, after: 5 * time.Minute,
		summary: "Four fifths of the memory for bodies, of the connections, or of the file descriptors, are in use ({value}).",
		level: []of{{metric: "gatehouse_waf_body_bytes", share: "gatehouse_waf_body_budget_bytes", limit: 0.8}, {metric: "gatehouse_connections_open", share: "gatehouse_connections_limit", limit: 0.8},
			{metric: "process_open_fds", share: "process_max_fds", limit: 0.8}}},
	{name: "GatehouseSpoolGrows", class: capacity, severity: warning, by: "sink", after: 5 * time.Minute,
		summary: "{value} bytes of records wait for {subject}.", level: []of{{metric: "gatehouse_siem_spool_bytes", limit: 512 << 20}}},
}

const requests = "gatehouse_admit_requests_total"
