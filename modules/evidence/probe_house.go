package evidence

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

// record is what the audit log has, read once.
type record struct {
	report *chain.Report
	err    error
	kinds  map[string]Count
	idle   int // sessions that ended because nobody used them
	// clients are the addresses that sessions began from; no more than two are kept.
	clients map[string]bool
}

// Count says how many records of a kind there are, and of when the last is.
type Count struct {
	Records int       `json:"records"`
	Last    time.Time `json:"last,omitzero"`
}

const endedIdle = "idle" // what session.ended says then

// log reads and verifies the audit log, once.
func (r *Run) log() *record {
	if r.record != nil {
		return r.record
	}
	found := &record{kinds: map[string]Count{}, clients: map[string]bool{}}
	found.report, found.err = chain.Verify(r.Facts.Audit, chain.VerifyOptions{Each: func(rec *chain.Record) error {
		k := found.kinds[rec.Kind]
		found.kinds[rec.Kind] = Count{k.Records + 1, rec.When()}
		if rec.Kind == string(event.SessionEnded) && strings.HasPrefix(detailOf(rec), endedIdle) {
			found.idle++
		}
		if rec.Kind == string(event.SessionCreated) && rec.Personal != nil && rec.Personal.Client != "" && len(found.clients) < 2 {
			found.clients[rec.Personal.Client] = true
		}
		return nil
	}})
	r.record = found
	return found
}

// detailOf is what a record says besides its kind; "" where that was erased.
func detailOf(r *chain.Record) string {
	if r.Personal == nil {
		return ""
	}
	return r.Personal.Detail
}

// unread is the result of a probe that could not read the audit log; ok: it could.
func (l *record) unread() (res Result, ok bool) {
	fault := (*chain.Fault)(nil)
	switch {
	case l.err == nil:
		return res, true
	case errors.As(l.err, &fault):
		return failed("keep the files as they are, and compare them with a copy: somebody changed the record", "the record does not verify: first bad %v", fault), false
	}
	return declared("the record cannot be read from here: %v", l.err), false
}

func probeAuditChain(_ context.Context, r *Run) Result {
	l := r.log()
	if res, ok := l.unread(); !ok {
		return res
	}
	return passed("%d records of %s to %s verify, %d epochs, root %s", l.report.Size-l.report.First, l.report.From.UTC().Format(time.DateOnly),
		l.report.To.UTC().Format(time.DateOnly), l.report.Epochs, l.report.Root)
}

func probeAuditRetention(_ context.Context, r *Run) Result {
	l := r.log()
	if res, ok := l.unread(); !ok {
		return res
	}
	keep := r.Config.auditKeep()
	if age := time.Since(l.report.From); age > keep+pruneSlack {
		return failed("gatehouse audit status says who holds the record", "the oldest record is %s old, more than %s", inDays(age), inDays(keep))
	}
	return passed("the oldest record is of %s; they are kept for %s", l.report.From.UTC().Format(time.DateOnly), inDays(keep))
}

// Whole segments are pruned, and files are looked at now and then.
const (
	pruneSlack = 31 * day
	sweepSlack = 2 * day
)

func probeLogRetention(_ context.Context, r *Run) Result {
	if len(r.Logs) == 0 {
		return absent("`audit { logs <file> 30d }` in the global gatehouse option", "the gateway removes no log files")
	}
	const fix = "gatehouse audit status says why"
	for _, l := range r.Logs {
		switch age := time.Since(l.Oldest); {
		case l.Error != "":
			return failed(fix, "%s: not removed: %s", l.File, l.Error)
		case l.Swept.IsZero():
			return failed(fix, "%s: not looked at since the start", l.File)
		case !l.Oldest.IsZero() && age > l.Keep+sweepSlack:
			return failed(fix, "%s: the oldest is %s old, kept for %s", l.File, inDays(age), inDays(l.Keep))
		}
	}
	return passed("%d log files, nothing in them older than it may be", len(r.Logs))
}

func probeSessionIdle(_ context.Context, r *Run) Result {
	for _, s := range r.Config.Sites {
		if s.Session.Idle > promisedIdle || s.Session.AdminIdle > promisedAdminIdle {
			return failed("`session { idle 30m` and `admin_idle 15m }` at the most", "%s: idle %v, administrators %v", s.Name, s.Session.Idle, s.Session.AdminIdle)
		}
	}
	l := r.log()
	if res, ok := l.unread(); !ok {
		return res
	}
	if l.idle == 0 {
		return declared("the limits are set; no session on record has ended by them yet")
	}
	return passed("%d sessions on record ended because nobody used them", l.idle)
}

func probeSecondFactor(_ context.Context, r *Run) Result {
	if r.Config.House.MFA.InsecureAdmins {
		return failed("take insecure_admins_without_factor out of `mfa`", "administrators need no second factor")
	}
	l := r.log()
	if res, ok := l.unread(); !ok {
		return res
	}
	used := l.kinds[string(event.FactorUsed)]
	if used.Records == 0 {
		return declared("second factors are demanded; none is on record as proven yet")
	}
	return passed("second factors were proven %d times, the last on %s", used.Records, used.Last.UTC().Format(time.DateOnly))
}

func probeClock(_ context.Context, r *Run) Result {
	l := r.log()
	if res, ok := l.unread(); !ok {
		return res
	}
	const fix = "have chrony or systemd-timesyncd keep the clock, and find out who set it back"
	if back := l.kinds[string(event.ClockRolledBack)]; back.Records > 0 && time.Since(back.Last) < 30*day {
		return failed(fix, "the clock went back, the last time on %s", back.Last.UTC().Format(time.RFC3339))
	}
	if time.Until(l.report.To) > time.Minute {
		return failed(fix, "the last record is of %s, which has yet to come", l.report.To.UTC().Format(time.RFC3339))
	}
	return passed("no clock went back within 30 days; %d records in their order", l.report.Size-l.report.First)
}

func probeBackup(_ context.Context, r *Run) Result {
	res, made := r.backedUp(maxBackupAge)
	if res.Status != Pass {
		return res
	}
	if v := r.Backup.Verified; v == nil || time.Since(v.Time) > maxRestoreAge {
		return failed("gatehouse backup verify", "no backup was restored for trial within %s", inDays(maxRestoreAge))
	}
	return passed("the last backup is of %s, the last restore for trial of %s", whenOf(made), whenOf(r.Backup.Verified.Time))
}

func probeHourlyBackup(_ context.Context, r *Run) Result {
	res, made := r.backedUp(maxHourlyAge)
	if res.Status != Pass {
		return res
	}
	return passed("the last backup is of %s", whenOf(made))
}

// backedUp says of when the last backup is, which passes if it is not older than that.
func (r *Run) backedUp(most time.Duration) (Result, time.Time) {
	const fix = "gatehouse backup says why; look at its schedule and its place"
	b := r.Backup
	if b == nil {
		return absent("`backup { … }` in the global gatehouse option", "the gateway makes no backups"), time.Time{}
	}
	last, which := b.Made, "the last backup"
	if b.Carry != "" {
		last, which = b.Last, "the last backup that is elsewhere"
	}
	switch {
	case b.Failed+b.Trouble+b.Uncarried != "":
		return failed(fix, "%s", cmp.Or(b.Failed, b.Trouble, b.Uncarried)), time.Time{}
	case b.Made == nil:
		return failed(fix, "no backup was made yet"), time.Time{}
	case last == nil:
		return failed(fix, "no backup is elsewhere yet"), time.Time{}
	case time.Since(last.Time) > most:
		return failed(fix, "%s is of %s", which, whenOf(last.Time)), time.Time{}
	default:
		return Result{Status: Pass}, last.Time
	}
}

// CAL-23: an RPO of 24 hours; BRF-15: hourly; both with time for the run itself. CAL-22: "periodic", which is taken as monthly.
const (
	maxBackupAge  = 25 * time.Hour
	maxHourlyAge  = 70 * time.Minute
	maxRestoreAge = 31 * day
)

func whenOf(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func probeNoSecretTold(_ context.Context, r *Run) Result {
	const fix = "write {env.NAME} or {file./path} there"
	if len(r.Config.Literals) > 0 {
		return failed(fix, "GET /config tells secrets: %s", strings.Join(r.Config.Literals, ", "))
	}
	for _, sign := range []string{"PRIVATE KEY-----", "AGE-SECRET-KEY-", "$argon2id$", "$2a$", "$2y$"} {
		if bytes.Contains(r.Told, []byte(sign)) {
			return failed(fix, "GET /config tells something with %s in it", sign)
		}
	}
	return passed("%d bytes of configuration are told, and no secret", len(r.Told))
}

func probeVersion(_ context.Context, r *Run) Result {
	switch f := r.Facts; {
	case f.Modified:
		return declared("version %s, of source that no commit has", f.Version)
	case f.Revision == "":
		return declared("version %s, of a commit that the program does not know", f.Version)
	default:
		return passed("version %s, of commit %s", f.Version, f.Revision)
	}
}

func probeHealthy(_ context.Context, r *Run) Result {
	if len(r.Facts.Problems) > 0 {
		return failed("gatehouse status", "%s", strings.Join(r.Facts.Problems, "; "))
	}
	return passed("nothing is wrong, says the gateway")
}

// forOwner says which of the files others may read; files that are not there are none.
func forOwner(names ...string) (loose []string, seen int, err error) {
	for _, name := range names {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, seen, err
		}
		seen++
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			loose = append(loose, fmt.Sprintf("%s (%04o)", name, mode))
		}
	}
	return loose, seen, nil
}

func probeAdminSocket(_ context.Context, r *Run) Result {
	listen, _, _ := strings.Cut(r.Config.Admin.Listen, "|")
	path, ok := strings.CutPrefix(listen, "unix/")
	if r.Config.Admin.Disabled {
		return passed("there is no administration endpoint")
	}
	const fix = "`admin unix//run/gatehouse/admin.sock|0600` in the global options"
	if !ok {
		return failed(fix, "administration is at %s, for everybody on this machine", orDefault(listen, "localhost:2019"))
	}
	loose, seen, err := forOwner(path)
	switch {
	case err != nil || seen == 0:
		return declared("the socket %s cannot be looked at from here", path)
	case len(loose) > 0:
		return failed(fix, "others may open %s", strings.Join(loose, ", "))
	}
	return passed("%s is its owner's alone", path)
}

func probeStateFiles(_ context.Context, r *Run) Result {
	dir := r.Facts.StateDir
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err == nil {
		var inAudit []string
		inAudit, err = filepath.Glob(filepath.Join(r.Facts.Audit, "*"))
		files = append(files, inAudit...)
	}
	if err != nil {
		return declared("the state directory %s cannot be read from here", dir)
	}
	loose, seen, err := forOwner(slices.Concat([]string{dir, r.Facts.KeysFile}, files)...)
	switch {
	case err != nil || seen < 2:
		return declared("the state directory %s cannot be read from here", dir)
	case len(loose) > 0:
		return failed("chmod 0700 the directory, and 0600 its files", "others may read %s", strings.Join(loose, ", "))
	}
	return passed("%d files and directories are their owner's alone", seen)
}
