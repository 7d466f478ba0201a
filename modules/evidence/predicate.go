package evidence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Answer is what a predicate says of a configuration.
type Answer string

// The answers. Off is a promise that this configuration does not make: it is no failure, unless the statement is claimed.
const (
	Yes Answer = "yes"
	No  Answer = "no"
	Off Answer = "off"
)

// Setting is what the configuration says of a control.
type Setting struct {
	Answer Answer `json:"answer"`
	Saw    string `json:"saw"`
	Fix    string `json:"fix,omitempty"` // unless the answer is yes
}

func yes(format string, args ...any) Setting {
	return Setting{Answer: Yes, Saw: fmt.Sprintf(format, args...)}
}
func no(fix, format string, args ...any) Setting {
	return Setting{No, fmt.Sprintf(format, args...), fix}
}
func off(fix, saw string) Setting { return Setting{Off, saw, fix} }

const day = 24 * time.Hour

// What CONTROLS promise in figures: CER-03, BRF-10, NAT-14, CER-13, CER-09.
const (
	promisedIdle      = 30 * time.Minute
	promisedAdminIdle = 15 * time.Minute
	promisedLogs      = 30 * day
	promisedAudit     = 395 * day
	promisedReview    = 92 * day
	promisedPassword  = 12
)

// predicates are the settings that controls.yaml names.
var predicates = map[string]func(*Config) Setting{
	"built_in":            func(*Config) Setting { return yes("in every configuration") },
	"tls_13":              tls13,
	"tls_12":              tls12,
	"tls_named_suites":    tlsNamedSuites,
	"no_plain_http":       noPlainHTTP,
	"session_limits":      sessionLimits,
	"admin_factor":        adminFactor,
	"no_sms":              noSMS,
	"factor_nudge":        factorNudge,
	"own_accounts":        ownAccounts,
	"approval":            approval,
	"device_verification": room("verify", "new devices and networks are verified", "`verify { … }` in the global gatehouse option"),
	"policy":              policy,
	"step_up":             stepUp,
	"access_review":       accessReview,
	"break_glass":         provider("breakglass", "sealed codes for emergencies", "`break_glass { … }` in the global gatehouse option, and `gatehouse break-glass`"),
	"waf_blocks":          wafBlocks,
	"blocklists":          blocklists,
	"jails":               jails,
	"containment":         containment,
	"tenants":             tenants,
	"bearer_tokens":       bearerTokens,
	"log_retention":       logRetention,
	"audit_retention":     auditRetention,
	"collectors":          room("siem", "records go to collectors", "`siem { send … }` in the global gatehouse option"),
	"pseudonyms":          pseudonyms,
	"alerts":              room("alert", "receivers are told of alerts", "`alert { … }` in the global gatehouse option"),
	"payloads":            room("privacy", "matched data is sealed to people's keys", "`privacy { … }` in the global gatehouse option"),
	"operators":           room("operators", "sockets for the four roles", "`operators { … }` in the global gatehouse option"),
	"admin_socket":        adminSocket,
	"internal_upstreams":  internalUpstreams,
	"certificates":        certificates,
	"backups":             room("backup", "the state is backed up", "`backup { … }` in the global gatehouse option"),
	"hourly_backups":      hourlyBackups,
	"strict_mode":         strictMode,
	"modes":               modes,
	"security_txt":        securityTxt,
	"no_literal_secrets":  noLiteralSecrets,
}

func room(name, saw, fix string) func(*Config) Setting {
	return func(c *Config) Setting {
		if _, ok := c.House.Rooms[name]; !ok {
			return off(fix, "there is no `"+name+"` in the configuration")
		}
		return yes("%s", saw)
	}
}

func provider(name, saw, fix string) func(*Config) Setting {
	return func(c *Config) Setting {
		for _, p := range c.House.Providers {
			if strings.ReplaceAll(p.Provider, "_", "") == name {
				return yes("%s", saw)
			}
		}
		return off(fix, "there is no such provider in the configuration")
	}
}

func tls13(c *Config) Setting {
	if p := c.House.TLSProfile; p != "" && p != "cerebro" {
		return off("`tls_profile cerebro`, or no tls_profile at all", "the TLS profile is "+p)
	}
	if len(c.Lowered) > 0 {
		return no("take `protocols` out of the sites' tls directives", "lowered: %s", strings.Join(c.Lowered, ", "))
	}
	return yes("TLS 1.3 is the floor")
}

func tls12(c *Config) Setting {
	for _, l := range c.Lowered {
		if !strings.HasSuffix(l, " tls1.2") {
			return no("take `protocols` out of the sites' tls directives", "lowered: %s", l)
		}
	}
	if p := c.House.TLSProfile; p != "" {
		return yes("the TLS profile is %s", p)
	}
	return yes("TLS 1.3 is the floor")
}

func tlsNamedSuites(c *Config) Setting {
	if p := c.House.TLSProfile; p != "" && p != "brainframe" && p != "cerebro" {
		return off("`tls_profile brainframe`, or no tls_profile at all", "the TLS profile is "+p)
	}
	return tls12(c)
}

func noPlainHTTP(c *Config) Setting {
	switch {
	case c.Redirects:
		return no("`auto_https disable_redirects` in the global options", "plain HTTP is answered with redirects")
	case slices.Contains(c.Insecure, "insecure_http"):
		return yes("plain HTTP is refused (insecure_http is a provider's on this machine)")
	}
	return yes("no listener answers plain HTTP")
}

func sessionLimits(c *Config) Setting {
	all := []string{}
	for _, s := range c.Sites {
		if s.Session.Idle > promisedIdle || s.Session.AdminIdle > promisedAdminIdle {
			return no("`session { idle 30m` and `admin_idle 15m }` at the most", "%s: idle %v, administrators %v", s.Name, s.Session.Idle, s.Session.AdminIdle)
		}
		all = append(all, fmt.Sprintf("%s: idle %v, administrators %v, %v at the most", s.Name, s.Session.Idle, s.Session.AdminIdle, s.Session.Max))
	}
	return yes("%s", strings.Join(all, "; "))
}

func adminFactor(c *Config) Setting {
	if c.House.MFA.InsecureAdmins {
		return no("take insecure_admins_without_factor out of `mfa`", "administrators need no second factor")
	}
	return yes("administrators need a second factor")
}

func noSMS(c *Config) Setting {
	for _, m := range c.House.MFA.AMR {
		if m = strings.ToLower(m); m == "sms" || m == "tel" {
			return no("take it out of `amr` in `mfa`", "%s counts as a second factor", m)
		}
	}
	return yes("sms and tel are no second factor")
}

func factorNudge(c *Config) Setting {
	if c.House.MFA.Nudge < 0 {
		return off("`nudge <times>` in `mfa`", "nobody is asked to enrol")
	}
	return yes("people without a second factor are asked to enrol one")
}

func ownAccounts(c *Config) Setting {
	for _, p := range c.House.Providers {
		if p.Provider != "local" {
			continue
		}
		if p.PasswordMin != 0 && p.PasswordMin < promisedPassword {
			return no("`password_min 12` or more in `local`", "passwords may have %d characters", p.PasswordMin)
		}
		return yes("accounts of the gateway's own; passwords of %d characters or more, never forced to change", max(p.PasswordMin, promisedPassword))
	}
	return off("`local` in the global gatehouse option", "there are no accounts of the gateway's own: passwords are the identity provider's")
}

func approval(c *Config) Setting {
	if len(c.House.Providers) == 0 {
		return off("an identity provider", "nobody can log in")
	}
	for _, p := range c.House.Providers {
		if p.Provider == "oidc" && !p.ApproveNew {
			return off("`approve_new` in `oidc`", "who is new at the provider "+p.Issuer+" needs no approval")
		}
	}
	return yes("new accounts wait for an administrator")
}

func policy(c *Config) Setting {
	for _, s := range c.Sites {
		if _, ok := s.Row["gatehouse_authorize"]; !ok {
			return no("the site's `gatehouse` directive", "%s has no policy", s.Name)
		}
	}
	return yes("%d sites, each with a policy that denies by default", len(c.Sites))
}

func stepUp(c *Config) Setting {
	for _, s := range c.Sites {
		var a struct {
			Require []obligation `json:"require"`
			Routes  []struct {
				Require []obligation `json:"require"`
			} `json:"routes"`
		}
		if !s.has("gatehouse_authorize", &a) {
			continue
		}
		for _, r := range a.Routes {
			a.Require = append(a.Require, r.Require...)
		}
		if slices.ContainsFunc(a.Require, func(o obligation) bool { return o.Each }) {
			return yes("%s asks for a second factor with each request of a route", s.Name)
		}
	}
	return off("`mfa each` in the routes that approve something", "no route asks for a second factor with each request")
}

type obligation struct {
	Kind string `json:"kind"`
	Each bool   `json:"each"`
}

func accessReview(c *Config) Setting {
	var r struct {
		Every time.Duration `json:"every"`
	}
	if raw, ok := c.House.Rooms["access_review"]; !ok || json.Unmarshal(raw, &r) != nil {
		return off("`access_review 90d` in the global gatehouse option", "nobody is told when access was not reviewed")
	}
	if r.Every > promisedReview {
		return no("`access_review 90d`", "access is reviewed every %d days", r.Every/day)
	}
	return yes("access is reviewed every %d days at the latest", r.Every/day)
}

func logRetention(c *Config) Setting {
	var a struct {
		Logs []struct {
			File string        `json:"file"`
			Keep time.Duration `json:"keep"`
		} `json:"logs"`
	}
	if raw, ok := c.House.Rooms["audit"]; !ok || json.Unmarshal(raw, &a) != nil || len(a.Logs) == 0 {
		return off("`audit { logs <file> 30d }` in the global gatehouse option", "the gateway removes no log files")
	}
	for _, l := range a.Logs {
		if l.Keep > promisedLogs {
			return off("`logs "+l.File+" 30d`", fmt.Sprintf("%s is kept for %d days", l.File, l.Keep/day))
		}
	}
	return yes("%d log files are removed after 30 days", len(a.Logs))
}

func auditRetention(c *Config) Setting {
	if keep := c.auditKeep(); keep < promisedAudit {
		return no("`audit { retention 395d }`", "the audit log is kept for %s", inDays(keep))
	}
	return yes("the audit log is kept for %s", inDays(c.auditKeep()))
}

func pseudonyms(c *Config) Setting {
	var s struct {
		Clear []string `json:"clear_tenants"`
	}
	raw, ok := c.House.Rooms["siem"]
	if !ok || json.Unmarshal(raw, &s) != nil {
		return yes("no record of a person leaves the gateway")
	}
	if slices.Contains(s.Clear, "*") {
		return off("take `clear_tenants *` out of `siem`", "collectors get the names of people")
	}
	return yes("collectors get pseudonyms under keys of each tenant")
}

func adminSocket(c *Config) Setting {
	const fix = "`admin unix//run/gatehouse/admin.sock|0600` in the global options"
	listen, mode, _ := strings.Cut(c.Admin.Listen, "|")
	switch {
	case c.Admin.Disabled:
		return yes("there is no administration endpoint")
	case !strings.HasPrefix(listen, "unix/"):
		return no(fix, "the administration endpoint is an address of TCP: %s", orDefault(listen, "localhost:2019"))
	case mode != "" && mode != "0600":
		return no(fix, "the administration socket's mode is %s", mode)
	}
	return yes("administration is a socket of its owner alone")
}

func orDefault(s, other string) string {
	if s == "" {
		return other + " (default)"
	}
	return s
}

func noLiteralSecrets(c *Config) Setting {
	if len(c.Literals) > 0 {
		return no("write {env.NAME} or {file./path} there", "the configuration holds secrets: %s", strings.Join(c.Literals, ", "))
	}
	return yes("the configuration holds no secret")
}
