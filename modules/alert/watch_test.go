package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// scene is a gateway whose numbers a test sets.
type scene struct {
	t     *testing.T
	watch Watch
	now   time.Time
	of    map[string]Series
	news  []change
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, now: time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC), of: map[string]Series{}}
	s.watch.repeat = 4 * time.Hour
	s.add(requests, 0, "site", "app.test", "outcome", "2xx", "reason", "none")
	return s
}

// add adds to a number, which it makes.
func (s *scene) add(name string, n float64, labels ...string) {
	series := s.of[name+fmt.Sprint(labels)]
	if series.Labels == nil {
		series = Series{Name: name, Labels: map[string]string{}}
		for i := 0; i < len(labels); i += 2 {
			series.Labels[labels[i]] = labels[i+1]
		}
	}
	series.Value += n
	s.of[name+fmt.Sprint(labels)] = series
}

// pass lets time pass, with each called once in a quarter of a minute.
func (s *scene) pass(d time.Duration, each func()) (news []change) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(15 * time.Second)
		if each != nil {
			each()
		}
		var r Reading
		for _, series := range s.of {
			r = append(r, series)
		}
		news = append(news, s.watch.Observe(s.now, r)...)
	}
	s.news = append(s.news, news...)
	return news
}

func (s *scene) ok(n float64) {
	s.add(requests, n, "site", "app.test", "outcome", "2xx", "reason", "none")
}

// want fails unless the news are these, as "status name subject".
func (s *scene) want(news []change, want ...string) {
	s.t.Helper()
	var got []string
	for _, c := range news {
		got = append(got, strings.TrimSpace(c.Status+" "+c.Name+" "+c.Subject))
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		s.t.Errorf("told %q, want %q", got, want)
	}
}

// CAL-19: each of the five classes once: one alert, which is over when its cause is.
func TestEachClassIsToldOfOnce(t *testing.T) {
	tests := []struct {
		name    string
		quiet   func(s *scene)
		trouble func(s *scene)
		lasts   time.Duration
		want    []string
	}{
		{"an application that has gone", func(s *scene) { s.ok(30) },
			func(s *scene) {
				s.add(requests, 30, "site", "app.test", "outcome", "5xx", "reason", "upstream_down")
			}, 20 * time.Minute,
			[]string{"firing GatehouseApplicationDown app.test", "firing GatehouseErrors app.test"}},
		{"more errors than usual", func(s *scene) { s.ok(30) },
			func(s *scene) {
				s.ok(26)
				s.add(requests, 4, "site", "app.test", "outcome", "5xx", "reason", "none")
			}, 20 * time.Minute, []string{"firing GatehouseErrors app.test"}},
		{"logins that fail", func(s *scene) { s.add("gatehouse_logins_total", 0, "provider", "corp", "outcome", "login_failed") },
			func(s *scene) { s.add("gatehouse_logins_total", 3, "provider", "corp", "outcome", "login_failed") }, 30 * time.Minute,
			[]string{"firing GatehouseLoginFailures corp"}},
		{"the emergency door", func(s *scene) { s.add("gatehouse_events_total", 0, "kind", "break_glass.used") },
			func(s *scene) { s.add("gatehouse_events_total", 1, "kind", "break_glass.used") }, time.Minute,
			[]string{"firing GatehouseBreakGlass break_glass.used"}},
		{"a collector that is away", func(s *scene) { s.of["up"] = Series{"gatehouse_siem_up", map[string]string{"sink": "siem"}, 1} },
			func(s *scene) { s.of["up"] = Series{"gatehouse_siem_up", map[string]string{"sink": "siem"}, 0} }, 10 * time.Minute,
			[]string{"firing GatehouseEvidenceStopped siem"}},
		{"a spool that grows", func(s *scene) {
			s.of["spool"] = Series{"gatehouse_siem_spool_bytes", map[string]string{"sink": "siem"}, 100}
		},
			func(s *scene) {
				s.of["spool"] = Series{"gatehouse_siem_spool_bytes", map[string]string{"sink": "siem"}, 1 << 30}
			}, 10 * time.Minute,
			[]string{"firing GatehouseSpoolGrows siem"}},
		{"a full budget", func(s *scene) {
			s.of["most"], s.of["bytes"] = Series{"gatehouse_waf_body_budget_bytes", nil, 1000}, Series{"gatehouse_waf_body_bytes", nil, 100}
		},
			func(s *scene) { s.of["bytes"] = Series{"gatehouse_waf_body_bytes", nil, 900} }, 10 * time.Minute,
			[]string{"firing GatehouseMemory"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			s.want(s.pass(time.Hour, func() { tt.quiet(s) }))
			began := s.pass(tt.lasts, func() { tt.trouble(s) })
			s.want(began, tt.want...)
			over := s.pass(2*time.Hour, func() { tt.quiet(s) })
			var want []string
			for _, w := range tt.want {
				want = append(want, strings.Replace(w, "firing", "resolved", 1))
			}
			s.want(over, want...)
			for _, c := range append(began, over...) {
				if c.Class == "" || c.Severity == "" || c.Since.IsZero() || strings.ContainsAny(c.Summary, "{}%!") && !strings.Contains(c.Summary, "% of") {
					t.Errorf("%+v", c)
				}
			}
			if alerts := s.watch.Alerts(); len(alerts) != 0 {
				t.Errorf("still on: %v", alerts)
			}
		})
	}
}

// What a house is used to is no alert; what goes on is told again, seldom, with a count; a restart forgets neither.
func TestUsualAndRepeated(t *testing.T) {
	s := newScene(t)
	some := func(bad float64) func() {
		return func() {
			s.ok(100 - bad)
			s.add(requests, bad, "site", "app.test", "outcome", "5xx", "reason", "none")
		}
	}
	s.pass(4*day, some(5))
	s.news = nil
	s.want(s.pass(day, some(10))) // twice the usual
	s.want(s.pass(time.Hour, some(60)), "firing GatehouseErrors app.test")

	text, err := json.Marshal(s.watch)
	if err != nil {
		t.Fatal(err)
	}
	s.watch = Watch{repeat: 4 * time.Hour}
	if err := json.Unmarshal(text, &s.watch); err != nil {
		t.Fatal(err)
	}
	for name, series := range s.of { // of a new process
		series.Value = 0
		s.of[name] = series
	}
	s.want(s.pass(4*time.Hour, some(60)), "ongoing GatehouseErrors app.test")
}

func TestEventsAreCountedTogether(t *testing.T) {
	s := newScene(t)
	s.add("gatehouse_events_total", 7, "kind", "break_glass.used") // before anybody watched
	s.want(s.pass(time.Minute, nil))
	s.want(s.pass(30*time.Second, func() { s.add("gatehouse_events_total", 1, "kind", "break_glass.asked") }), "firing GatehouseBreakGlass break_glass.asked")
	s.want(s.pass(5*time.Minute, func() { s.add("gatehouse_events_total", 10, "kind", "break_glass.asked") }))
	if a := s.watch.Alerts(); len(a) != 1 || a[0].Count != 202 {
		t.Errorf("%+v", a)
	}
	// A site that is served no more, a collector that was taken out: their alerts end.
	s.of["up"] = Series{"gatehouse_siem_up", map[string]string{"sink": "old"}, 0}
	s.pass(6*time.Minute, nil)
	delete(s.of, "up")
	news := s.pass(11*time.Minute, nil)
	if !strings.Contains(fmt.Sprint(news), "GatehouseEvidenceStopped") {
		t.Errorf("%v", news)
	}
}

// However many names others make up, what is remembered is bounded.
func TestTracksAreBounded(t *testing.T) {
	var w Watch
	for i := range 5000 {
		w.Observe(time.Unix(int64(i), 0), Reading{{"gatehouse_siem_up", map[string]string{"sink": fmt.Sprint(i)}, 1}})
	}
	if len(w.Tracks) > mostTracks {
		t.Errorf("%d tracks", len(w.Tracks))
	}
}
