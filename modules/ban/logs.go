package ban

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"gatehouse.internal/modules/internal/event"
)

const (
	logEvery = 250 * time.Millisecond
	logWork  = logEvery / 5 // of each period goes into reading at the most: the rest waits
)

// logs are the files that jails read.
type logs struct {
	kick chan struct{} // capacity 1: there are other files to read

	mu   sync.Mutex
	all  []*logFile // guarded by mu
	part []byte     // guarded by mu
}

// logWord is what a jail's lines are offences as; no event and no reason is called so.
func (j *Jail) logWord() string { return "log " + j.Name }

// readsLogs has the files read that the rules' jails name, and no others. Of those that are read already nothing is read
// again, or missed. What is appended after it returns counts.
func (d *Desk) readsLogs(r *Rules) {
	d.logs.mu.Lock()
	defer d.logs.mu.Unlock()
	var want []string
	for i := range r.jails {
		if l := r.jails[i].Log; l != nil {
			want = append(want, l.Files...)
		}
	}
	slices.Sort(want)
	d.logs.all = slices.DeleteFunc(d.logs.all, func(f *logFile) bool {
		if slices.Contains(want, f.path) {
			return false
		}
		f.close()
		logReadable.DeleteLabelValues(f.path)
		return true
	})
	for _, path := range slices.Compact(want) {
		if !slices.ContainsFunc(d.logs.all, func(f *logFile) bool { return f.path == path }) {
			f := &logFile{path: path}
			d.logs.all = append(d.logs.all, f)
			d.look(f)
		}
	}
	select {
	case d.logs.kick <- struct{}{}:
	default:
	}
}

// readLogs reads until ctx ends.
func (d *Desk) readLogs(ctx context.Context) {
	defer d.closeLogs()
	for {
		var again <-chan time.Time
		if d.readOnce() {
			again = time.After(logEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.logs.kick:
		case <-again:
		}
	}
}

func (d *Desk) closeLogs() {
	d.logs.mu.Lock()
	defer d.logs.mu.Unlock()
	for _, f := range d.logs.all {
		f.close()
		logReadable.DeleteLabelValues(f.path)
	}
	d.logs.all = nil
}

// readOnce reads what was appended, for no longer than logWork, the files in turn; it reports whether there are any.
func (d *Desk) readOnce() bool {
	d.logs.mu.Lock()
	defer d.logs.mu.Unlock()
	if d.logs.part == nil && len(d.logs.all) > 0 {
		d.logs.part = make([]byte, logPart)
	}
	began := time.Now()
	for _, f := range d.logs.all {
		d.look(f)
	}
	for more := true; more && time.Since(began) < logWork; {
		more = false
		for _, f := range d.logs.all {
			again, skipped, err := f.read(d.logs.part, began, func(line []byte) { d.judgeLine(f.path, line) })
			if skipped > 0 {
				logSkipped.WithLabelValues(f.path).Add(float64(skipped))
			}
			more = more || again && err == nil
		}
	}
	return len(d.logs.all) > 0
}

// look opens the file, or its successor, and tells once of what is wrong with it.
func (d *Desk) look(f *logFile) {
	if wrong := f.look(time.Now()); wrong != "" {
		d.bus.Publish(event.Event{Time: time.Now(), Kind: event.JailLogUnread, Detail: fmt.Sprintf("%s: %s; it is waited for", f.path, wrong)})
	}
	readable := 0.0
	if f.readable() {
		readable = 1
	}
	logReadable.WithLabelValues(f.path).Set(readable)
}

// judgeLine counts a line that is an offence, in each jail that reads the file. What it says is kept nowhere: people type
// passwords where their names belong.
func (d *Desk) judgeLine(path string, line []byte) {
	r := d.rules.Load()
	if r == nil {
		return
	}
	for i := range r.jails {
		j := &r.jails[i]
		if j.Log == nil || !slices.Contains(j.Log.Files, path) {
			continue
		}
		if addr, is := j.Log.offender(line); is {
			logOffences.WithLabelValues(j.Name).Inc()
			d.Offend(Offence{On: j.logWord(), Client: addr, Detail: path})
		}
	}
}
