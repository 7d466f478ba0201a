package evidence

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/event"
)

// Advice is one thing that an operator had better look at.
type Advice struct {
	Wrong bool   `json:"wrong"` // it is; otherwise it may be
	What  string `json:"what"`
	Fix   string `json:"fix"`
}

// doctors are what is looked at, in the order in which it is told.
var doctors = []func(context.Context, *Run) []Advice{
	exposedApplications, oneAddress, staleLists, probedAdvice, weakSettings,
}

// Diagnose looks for what is commonly set up wrong. Nothing is sent but what probes send.
func (r *Run) Diagnose(ctx context.Context) (all []Advice) {
	for _, look := range doctors {
		all = append(all, look(ctx, r)...)
	}
	slices.SortStableFunc(all, func(a, b Advice) int {
		switch {
		case a.Wrong == b.Wrong:
			return 0
		case a.Wrong:
			return -1
		}
		return 1
	})
	return all
}

// exposedApplications are those that can be reached without the gateway: elsewhere than in private networks, or on this machine and
// listening on all of its addresses.
func exposedApplications(_ context.Context, r *Run) (all []Advice) {
	open := map[uint16]bool{}
	proc := cmp.Or(r.proc, "/proc")
	for _, table := range []string{"tcp", "tcp6"} {
		for _, s := range readSockets(filepath.Join(proc, "net", table), nil) {
			if s.state == tcpListen && s.local.Addr().IsUnspecified() {
				open[s.local.Port()] = true
			}
		}
	}
	for _, s := range r.Config.Sites {
		for _, u := range s.Upstreams {
			to, err := netip.ParseAddrPort(strings.Replace(u, "localhost:", "127.0.0.1:", 1))
			switch {
			case !internal(u):
				all = append(all, Advice{false, fmt.Sprintf("the application of %s is at %s, which is not known to be private", s.Name, u), "bind it to localhost or a private address, or have the firewall let the gateway alone in"})
			case err == nil && to.Addr().IsLoopback() && open[to.Port()]:
				all = append(all, Advice{true, fmt.Sprintf("the application of %s listens on all addresses of this machine: port %d goes past the gateway", s.Name, to.Port()), "bind it to 127.0.0.1"})
			}
		}
	}
	return all
}

// enoughSessions is from how many on it is strange that all of them come from one address.
const enoughSessions = 20

func oneAddress(_ context.Context, r *Run) []Advice {
	l := r.log()
	if l.err != nil || l.kinds[string(event.SessionCreated)].Records < enoughSessions || len(l.clients) != 1 {
		return nil
	}
	return []Advice{{true, "all sessions on record come from one address: jails and limits take everybody for one client",
		"name the proxy or balancer in front: `servers { trusted_proxies static <its network> }`"}}
}

func staleLists(_ context.Context, r *Run) (all []Advice) {
	l := r.log()
	if l.err != nil {
		return nil
	}
	for kind, what := range map[event.Kind]string{event.BlocklistStale: "a list of whom to shut out was not good for too long", event.BlocklistRejected: "a list of whom to shut out was refused"} {
		if last := l.kinds[string(kind)].Last; time.Since(last) < 7*day {
			all = append(all, Advice{false, fmt.Sprintf("%s, the last time on %s", what, whenOf(last)), "gatehouse audit show --kind " + string(kind)})
		}
	}
	return all
}

// probedAdvice is what fails of the probes that need no claim.
func probedAdvice(ctx context.Context, r *Run) (all []Advice) {
	for _, name := range []string{"healthy", "clock", "audit_chain", "admin_socket", "state_files", "listeners", "certificate", "plain_http"} {
		if res := r.probe(ctx, name); res.Status == Fail {
			all = append(all, Advice{true, res.Saw, res.Fix})
		}
	}
	for i := range r.Config.Sites {
		s := &r.Config.Sites[i]
		if found, err := r.scan(ctx, s); err == nil {
			if c := found.Chain[0]; c.Issuer.String() == c.Subject.String() || strings.HasPrefix(c.Issuer.CommonName, localAuthority) {
				all = append(all, Advice{false, fmt.Sprintf("the certificate of %s is of no public authority, and every answer says HSTS: whoever has not got its root sees a warning that has no button to go on (RFC 6797 8.4). Its SHA-256 is %s", s.Name, fingerprint(c)),
					"give the root to every client (`tls internal`: pki/authorities/local/root.crt of Caddy's data directory), or write `tls <certificate> <key>`"})
			}
			if left := time.Until(found.Chain[0].NotAfter); left > 0 && left < expiresSoon && lifetime(found.Chain[0]) > 2*expiresSoon {
				all = append(all, Advice{false, fmt.Sprintf("the certificate of %s expires in %s", s.Name, inDays(left)), "renew it, and find out why nothing did"})
			}
		}
	}
	return all
}

// localAuthority begins the names of what `tls internal` signs with (Caddy's module pki).
const localAuthority = "Caddy Local Authority"

// longSession is a limit that outlives a working day by much.
const longSession = 24 * time.Hour

func weakSettings(_ context.Context, r *Run) (all []Advice) {
	for _, word := range r.Config.Insecure {
		all = append(all, Advice{false, word + " is in force", "take it out when it is not needed any more"})
	}
	for _, name := range []string{"session_limits", "admin_factor", "waf_blocks", "jails", "no_literal_secrets", "audit_retention"} {
		if set := predicates[name](r.Config); set.Answer == No {
			all = append(all, Advice{true, set.Saw, set.Fix})
		}
	}
	for _, s := range r.Config.Sites {
		if s.Session.Max > longSession {
			all = append(all, Advice{false, fmt.Sprintf("sessions of %s last up to %v", s.Name, s.Session.Max), "`session { max 12h }`"})
		}
	}
	if r.Config.House.Rooms["alert"] == nil {
		all = append(all, Advice{false, "nobody is told when something is wrong", "`alert { … }` in the global gatehouse option"})
	}
	return all
}
