package authz

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // the image has no zone files, and a policy must not depend on the machine
)

// window is a part of the week by the clock of a place: from <= t < to on these days. One that ends before it begins goes
// on past midnight, and belongs to the day on which it began.
type window struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes of the day; to may be 1440, or less than from
	zone     *time.Location
}

const dayMinutes = 24 * 60

var weekdays = map[string]time.Weekday{
	"sun": time.Sunday, "mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday, "thu": time.Thursday,
	"fri": time.Friday, "sat": time.Saturday,
}

// parseWindow reads [<days>] <from>-<to> <zone>, or <days> <zone>. Days are such as mon-fri or sat,sun.
func parseWindow(values []string) (w window, err error) {
	bad := func(what string) (window, error) {
		return window{}, fmt.Errorf("time %s: %s: write it like `time mon-fri 08:00-18:00 Europe/Berlin`", strings.Join(values, " "), what)
	}
	if len(values) < 2 || len(values) > 3 {
		return bad("want days, hours and a zone")
	}
	name := values[len(values)-1]
	if w.zone, err = time.LoadLocation(name); err != nil || name == "" || name == "Local" {
		return bad(fmt.Sprintf("%q is no time zone", name))
	}
	parts := values[:len(values)-1]
	w.to = dayMinutes
	for i := range w.days {
		w.days[i] = true
	}
	if days := parts[0]; !strings.Contains(days, ":") {
		if w.days, err = parseDays(days); err != nil {
			return bad(err.Error())
		}
		parts = parts[1:]
	}
	if len(parts) > 1 {
		return bad("want days before hours")
	}
	if len(parts) == 1 {
		from, to, ok := strings.Cut(parts[0], "-")
		var ok1, ok2 bool
		w.from, ok1 = parseClock(from)
		w.to, ok2 = parseClock(to)
		if !ok || !ok1 || !ok2 || w.from == w.to || w.from == dayMinutes {
			return bad(fmt.Sprintf("%q are no hours", parts[0]))
		}
	}
	return w, nil
}

func parseDays(text string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(strings.ToLower(text), ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, ok1 := weekdays[first]
		b, ok2 := a, true
		if isRange {
			b, ok2 = weekdays[last]
		}
		if !ok1 || !ok2 {
			return days, fmt.Errorf("%q are no days", part)
		}
		for d := a; ; d = (d + 1) % 7 {
			days[d] = true
			if d == b {
				break
			}
		}
	}
	return days, nil
}

// parseClock reads HH:MM, up to 24:00, as minutes.
func parseClock(text string) (minutes int, ok bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	for _, i := range [...]int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	hour, minute := int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	minutes = hour*60 + minute
	return minutes, minute < 60 && minutes <= dayMinutes
}

// holds reports whether t is in the window. The zero time is in none.
func (w *window) holds(t time.Time) bool {
	if t.IsZero() {
		return false
	}
	local := t.In(w.zone)
	day, now := local.Weekday(), local.Hour()*60+local.Minute()
	if w.from < w.to {
		return w.days[day] && w.from <= now && now < w.to
	}
	return w.days[day] && now >= w.from || w.days[(day+6)%7] && now < w.to
}

// flips returns when holds(t) next changes, by the wall clock of the zone, whatever summer time does; zero when it never
// does.
func (w *window) flips(t time.Time) time.Time {
	local, now := t.In(w.zone), w.holds(t)
	y, m, d := local.Date()
	first, last := min(w.from, w.to), max(w.from, w.to)
	for i := range 9 { // a week, and the days before and after
		for _, minutes := range [...]int{0, first, last} {
			if at := time.Date(y, m, d+i, 0, minutes, 0, 0, w.zone); at.After(t) && w.holds(at) != now {
				return at
			}
		}
	}
	return time.Time{}
}
