package alert

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	calmFor     = 5 * time.Minute // so long nothing may be wrong before an alert is over
	longestGap  = 10 * time.Minute
	mostTracks  = 4096 // rules times subjects
	mostSteps   = 240  // of a window
	forgetAfter = 7 * day
)

// Series is one number that the gateway says of itself.
type Series struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Reading is what it says at one time.
type Reading []Series

// Alert is something that is wrong: one for each rule and subject.
type Alert struct {
	Name     string    `json:"alert"`
	Class    string    `json:"class"`
	Severity string    `json:"severity"`
	Subject  string    `json:"subject,omitempty"` // a site, provider, collector, receiver or kind of event
	Summary  string    `json:"summary"`
	Count    int       `json:"count,omitempty"` // how often it happened since the alert began, where that is counted
	Since    time.Time `json:"since"`
	Ended    time.Time `json:"ended,omitzero"`

	Told time.Time `json:"told"`
}

// track is what is remembered of a rule's subject.
type track struct {
	Usual float64   `json:"usual,omitempty"` // a second; with among: the part
	Seen  time.Time `json:"seen"`
	Alert *Alert    `json:"alert,omitempty"` // what is wrong now

	count, among counter
	steps        []step
	wrong, calm  time.Time // since when; zero: it is not
}

// counter is a sum of counters, as it was last.
type counter struct {
	last  float64
	known bool
}

// step is by how much counters grew until a time.
type step struct {
	at           time.Time
	count, among float64
}

// Watch judges readings. The zero Watch has seen none; it is not safe for concurrent use.
type Watch struct {
	// Tracks are what is remembered, by the rule's number and the subject.
	Tracks map[string]*track `json:"tracks"`

	repeat time.Duration // how often what goes on is told again
	off    []string      // rules that are not followed
	before bool          // there was a reading
}

// change is news about an alert.
type change struct {
	Alert
	Status string
}

// What a notice may tell.
const (
	firing   = "firing"
	ongoing  = "ongoing"
	resolved = "resolved"
	trial    = "test"
)

// Observe takes a reading, and returns what is news. Readings come in the order of their times.
func (w *Watch) Observe(now time.Time, r Reading) (news []change) {
	if w.Tracks == nil {
		w.Tracks = map[string]*track{}
	}
	for i := range rules {
		rule := &rules[i]
		if slices.Contains(w.off, rule.name) {
			continue
		}
		for subject, m := range rule.measure(r) {
			key := fmt.Sprint(rule.name, "\t", rule.by, "\t", subject)
			t := w.Tracks[key]
			if t == nil {
				if len(w.Tracks) >= mostTracks {
					continue
				}
				t = &track{}
				w.Tracks[key] = t
			}
			t.Seen = cmp.Or(t.Seen, now)
			wrong, value := w.judge(rule, t, m, now)
			if c, ok := w.settle(rule, t, subject, wrong, value, now); ok {
				news = append(news, c)
			}
			t.Seen = now
		}
	}
	news = append(news, w.sweep(now)...)
	w.before = true
	slices.SortFunc(news, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Subject, b.Subject))
	})
	return news
}

// sweep ends alerts whose subject has gone, such as a site that is served no more, and forgets what was not seen for long.
func (w *Watch) sweep(now time.Time) (news []change) {
	for key, t := range w.Tracks {
		gone := now.Sub(t.Seen)
		if t.Alert != nil && gone > longestGap {
			news = append(news, t.end(now))
		}
		if gone > forgetAfter {
			delete(w.Tracks, key)
		}
	}
	return news
}

// measured is what a rule finds of a subject.
type measured struct {
	count, among float64 // of counters
	beyond       bool    // of a level
	value        float64
}

// measure returns what a reading has, by subject.
func (l *rule) measure(r Reading) map[string]measured {
	found := map[string]measured{}
	for _, s := range r {
		subject := s.Labels[l.by]
		m, matched := found[subject], false
		for _, o := range l.level {
			if o.selects(s) {
				matched = true
				if o.beyond(s.Value, r) {
					m.beyond, m.value = true, s.Value
				}
			}
		}
		for _, o := range l.count {
			if o.selects(s) {
				m.count, matched = m.count+s.Value, true
			}
		}
		for _, o := range l.among {
			if o.selects(s) {
				m.among, matched = m.among+s.Value, true
			}
		}
		if matched {
			found[subject] = m
		}
	}
	return found
}

func (o of) selects(s Series) bool {
	if s.Name != o.metric {
		return false
	}
	label, not := strings.CutPrefix(o.label, "!")
	return label == "" || slices.Contains(o.values, s.Labels[label]) != not
}

func (o of) beyond(value float64, r Reading) bool {
	limit := o.limit
	if o.share != "" {
		i := slices.IndexFunc(r, func(s Series) bool { return s.Name == o.share })
		if i < 0 || r[i].Value <= 0 {
			return false
		}
		limit *= r[i].Value
	}
	return o.below && value < limit || !o.below && value > limit
}

// judge says whether something is wrong now, and the number that says so.
func (w *Watch) judge(l *rule, t *track, m measured, now time.Time) (wrong bool, value float64) {
	if l.level != nil {
		return m.beyond, m.value
	}
	s := step{at: now, count: t.count.grown(m.count, w.before), among: t.among.grown(m.among, w.before)}
	if n := len(t.steps); n > 0 && now.Sub(t.steps[n-1].at) < l.window/mostSteps {
		last := &t.steps[n-1]
		last.count, last.among = last.count+s.count, last.among+s.among
	} else {
		t.steps = append(t.steps, s)
	}
	t.steps = slices.DeleteFunc(t.steps, func(s step) bool { return now.Sub(s.at) >= l.window })
	var count, among float64
	for _, s := range t.steps {
		count, among = count+s.count, among+s.among
	}
	if t.Alert != nil {
		t.Alert.Count += int(s.count)
	}
	if l.among != nil {
		if s.among > 0 {
			t.learn(l.usual, s.count/s.among, now)
		}
		if among < atLeast {
			return false, 0
		}
		part := count / among
		return part > l.least && part > l.times*t.Usual, part
	}
	defer func() { // what is happening now is not usual yet
		if past := now.Sub(t.Seen).Seconds(); past > 0 {
			t.learn(l.usual, s.count/past, now)
		}
	}()
	return count >= l.least && count > l.times*t.Usual*l.window.Seconds(), count
}

// grown is by how much the counter has grown; it begins anew at zero when the process does. What was not there before the
// first reading says nothing.
func (c *counter) grown(now float64, before bool) float64 {
	grew := now - c.last
	switch {
	case !c.known && !before:
		grew = 0
	case grew < 0:
		grew = now
	}
	c.last, c.known = now, true
	return grew
}

// learn has what is usual follow a value, slowly: an exponentially weighted mean. It begins at nothing.
func (t *track) learn(over time.Duration, value float64, now time.Time) {
	past := min(now.Sub(t.Seen), longestGap) // the machine may have slept
	if over <= 0 || past <= 0 {
		return
	}
	t.Usual += (value - t.Usual) * (1 - math.Exp(-past.Seconds()/over.Seconds()))
}

// settle makes news of what is wrong, or no longer is.
func (w *Watch) settle(l *rule, t *track, subject string, wrong bool, value float64, now time.Time) (c change, ok bool) {
	if !wrong {
		t.wrong = time.Time{}
		if t.Alert == nil {
			return c, false
		}
		if t.calm.IsZero() {
			t.calm = now
		}
		if now.Sub(t.calm) < calmFor {
			return c, false
		}
		return t.end(now), true
	}
	t.calm, t.wrong = time.Time{}, cmp.Or(t.wrong, now)
	switch {
	case t.Alert == nil && now.Sub(t.wrong) < l.after:
		return c, false
	case t.Alert == nil:
		t.Alert = &Alert{Name: l.name, Class: l.class, Severity: l.severity, Subject: subject, Since: t.wrong, Told: now}
		if l.level == nil && l.among == nil {
			t.Alert.Count = int(value)
		}
		c.Status = firing
	case w.repeat > 0 && now.Sub(t.Alert.Told) >= w.repeat:
		t.Alert.Told, c.Status = now, ongoing
	default:
		return c, false
	}
	t.Alert.Summary = l.say(subject, value)
	c.Alert = *t.Alert
	return c, true
}

// end ends the alert.
func (t *track) end(now time.Time) change {
	a := *t.Alert
	a.Ended, t.Alert, t.wrong, t.calm = now, nil, time.Time{}, time.Time{}
	return change{Alert: a, Status: resolved}
}

// say is the rule's summary, in words.
func (l *rule) say(subject string, value float64) string {
	text := fmt.Sprintf("%.0f", value)
	if l.among != nil {
		text = fmt.Sprintf("%.0f%%", value*100)
	}
	return strings.NewReplacer("{subject}", subject, "{value}", text).Replace(l.summary)
}

// Alerts are those that are on, the oldest first.
func (w *Watch) Alerts() (all []Alert) {
	for _, key := range slices.Sorted(maps.Keys(w.Tracks)) {
		if a := w.Tracks[key].Alert; a != nil {
			all = append(all, *a)
		}
	}
	slices.SortStableFunc(all, func(a, b Alert) int { return a.Since.Compare(b.Since) })
	return all
}
