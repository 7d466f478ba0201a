package ban

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/reqpath"
	"gatehouse.internal/modules/internal/verdict"
)

const (
	maxRetries = 1000
	maxBan     = 4 * 7 * 24 * time.Hour // of one that a jail pronounces
)

// Jail says how many offences within what time bring a client's network, or somebody known by name, how long a ban.
type Jail struct {
	Name     string `json:"name"`
	MaxRetry int    `json:"max_retry,omitempty"` // the offence with this number brings the ban
	FindTime string `json:"find_time,omitempty"`
	BanTime  string `json:"ban_time,omitempty"`
	// Each further ban of the same network within 30 days lasts twice as long as the one before, up to four weeks.
	Escalate bool `json:"escalate,omitempty"`
	// The reasons of refusals and kinds of events that are offences. Default: those of the built-in jail of the name.
	On []string `json:"on,omitempty"`
	// Against whom offences count, and who is banned: session, user, tenant or key. Default: the network of clients that
	// are not logged in.
	Scope Scope `json:"scope,omitempty"`
	// What becomes of them: tarpit or step_up. Default: they are refused.
	Action Action `json:"action,omitempty"`
	// Paths that a request must be for to be an offence. Default: all.
	Paths []reqpath.Pattern `json:"paths,omitempty"`
	// Log files of other programs whose lines are offences too.
	Log *LogFilter `json:"log,omitempty"`
	// A built-in jail that is not wanted.
	Off bool `json:"off,omitempty"`

	find, ban time.Duration
	on        []string // On, and the word for the lines of Log
}

// Offences that no event stands for: a request for one of the honeypot's paths, and answers of the application, by their
// status, as app_404, or its class, as app_4xx.
const (
	onHoneypot = "honeypot"
	onApp      = "app_"
)

const leastError, mostError = 400, 599

// appAnswers are the words for the application's answers, from leastError on.
var appAnswers = func() (all [mostError - leastError + 1]string) {
	for i := range all {
		all[i] = onApp + strconv.Itoa(leastError+i)
	}
	return all
}()

// answered is what the application's answer is an offence as; "" when that can be none.
func answered(status int) string {
	if status < leastError || status > mostError {
		return ""
	}
	return appAnswers[status-leastError]
}

// builtIn are the jails that there are without a word. What a person does who is logged in is no offence in any of them,
// unless a configured jail of the name has another scope.
func builtIn() []Jail {
	return []Jail{
		{Name: "login", MaxRetry: 10, FindTime: "10m", BanTime: "30m", Escalate: true, On: []string{string(event.LoginFailed)}},
		{Name: "waf", MaxRetry: 20, FindTime: "5m", BanTime: "1h", Escalate: true, On: []string{string(verdict.WAFBlocked)}},
		{Name: "scan", MaxRetry: 120, FindTime: "1m", BanTime: "10m", Escalate: true, On: []string{
			answered(http.StatusNotFound), answered(http.StatusBadRequest), string(verdict.NotFound), string(verdict.BadPath), string(verdict.BadRequest), string(verdict.BadMethod),
		}},
		{Name: "ratelimit", MaxRetry: 300, FindTime: "1m", BanTime: "10m", On: []string{string(verdict.RateLimited)}},
		{Name: "flood", MaxRetry: 3, FindTime: "10m", BanTime: "10m", Escalate: true, On: []string{string(event.ProtocolFlood)}},
		{Name: onHoneypot, MaxRetry: 1, FindTime: "1m", BanTime: "24h", Escalate: true, On: []string{onHoneypot}},
	}
}

// jails returns the built-in jails, changed and added to as configured, ready for use.
func jails(configured []Jail) ([]Jail, error) {
	all := builtIn()
	named := map[string]bool{}
	for _, j := range configured {
		if named[j.Name] || j.Name == "" {
			return nil, fmt.Errorf("jail %q: give each jail one line and a name", j.Name)
		}
		named[j.Name] = true
		at := slices.IndexFunc(all, func(b Jail) bool { return b.Name == j.Name })
		switch {
		case at < 0 && j.Off:
			return nil, fmt.Errorf("jail %s: there is none to put off: the built-in ones are login, waf, scan, ratelimit, flood, honeypot", j.Name)
		case at < 0 && len(j.On) == 0 && j.Log == nil:
			return nil, fmt.Errorf("jail %s: say what it is for: `on <event, reason, app_404 or app_4xx>`, or a block with logpath and failregex; the built-in jails are login, waf, scan, ratelimit, flood, honeypot", j.Name)
		case at < 0:
			all = append(all, j)
		default:
			if len(j.On) == 0 {
				j.On = all[at].On
			}
			all[at] = j
		}
	}
	all = slices.DeleteFunc(all, func(j Jail) bool { return j.Off })
	for i := range all {
		if err := all[i].compile(); err != nil {
			return nil, fmt.Errorf("jail %s: %w", all[i].Name, err)
		}
	}
	return all, nil
}

func (j *Jail) compile() (err error) {
	if j.MaxRetry < 1 || j.MaxRetry > maxRetries {
		return fmt.Errorf("%d offences: want 1 to %d", j.MaxRetry, maxRetries)
	}
	if j.find, err = time.ParseDuration(j.FindTime); err != nil || j.find < time.Second || j.find > 24*time.Hour {
		return fmt.Errorf("%q is no time to look back: write one from 1s to 24h, such as 10m", j.FindTime)
	}
	if j.ban, err = time.ParseDuration(j.BanTime); err != nil || j.ban < time.Second || j.ban > maxBan {
		return fmt.Errorf("%q is no length of a ban: write one from 1s to 672h, such as 1h", j.BanTime)
	}
	for _, on := range j.On {
		if !known(on) {
			return fmt.Errorf("on %q: that is neither a reason of a refusal (such as waf_blocked), nor %s, %s, honeypot, a status that the application answers with (app_404), or a class of them (app_4xx)", on, event.LoginFailed, event.ProtocolFlood)
		}
	}
	j.on = slices.Clone(j.On)
	if j.Log != nil {
		if err := j.Log.compile(); err != nil {
			return err
		}
		j.on = append(j.on, j.logWord())
	}
	switch {
	case len(j.on) == 0:
		return errors.New("it is for nothing")
	case j.Scope != ByClient && !slices.Contains(named, j.Scope):
		return fmt.Errorf("scope %q: the scopes are client, session, user, tenant, key", j.Scope)
	case j.Scope != ByClient && slices.Contains(j.On, string(event.LoginFailed)):
		return fmt.Errorf("scope %s: who fails to log in is not known yet, and whoever types a name could shut its owner out", j.Scope)
	case j.Scope != ByClient && slices.Contains(j.On, string(event.ProtocolFlood)):
		return fmt.Errorf("scope %s: of a connection that floods nobody knows whose it is", j.Scope)
	case j.Scope != ByClient && j.Log != nil:
		return fmt.Errorf("scope %s: of the lines of a log nobody knows who of the house's people did it", j.Scope)
	case len(j.Paths) > 0 && len(j.On) == 0 || len(j.Paths) > 0 && slices.Contains(j.On, string(event.ProtocolFlood)):
		return errors.New("path: neither lines of a log nor floods are for a path")
	case !j.Action.shuts() && j.Action != StepUp:
		return fmt.Errorf("action %q: the actions are ban, tarpit, step_up", j.Action)
	}
	return nil
}

// known reports whether there can be such an offence. What a ban itself causes is none: bans would never end.
func known(on string) bool {
	switch on {
	case string(event.LoginFailed), string(event.ProtocolFlood), onHoneypot, onApp + "4xx", onApp + "5xx":
		return true
	}
	if slices.Contains(appAnswers[:], on) {
		return true
	}
	return verdict.Reason(on).Known() && on != string(verdict.Banned)
}

// takes reports whether the jail is for the offence. A path with more than one reading may be any of the jail's.
func (j *Jail) takes(o *Offence) bool {
	if !j.concerns(o.On) {
		return false
	}
	return len(j.Paths) == 0 || o.On == j.logWord() || o.On == string(verdict.BadPath) || o.Path.Folded != "" && slices.ContainsFunc(j.Paths, func(p reqpath.Pattern) bool { return p.MatchFolded(o.Path) })
}

// concerns reports whether such offences are the jail's, of requests for some path at least.
func (j *Jail) concerns(on string) bool {
	for _, mine := range j.on {
		if mine == on || strings.HasSuffix(mine, "xx") && strings.HasPrefix(on, onApp) && on[:len(onApp)+1] == mine[:len(onApp)+1] {
			return true
		}
	}
	return false
}

// length is how long the nth ban lasts, n from 1.
func (j *Jail) length(n int64) time.Duration {
	d := j.ban
	for ; j.Escalate && n > 1 && d < maxBan; n-- {
		d *= 2
	}
	return min(d, maxBan)
}
