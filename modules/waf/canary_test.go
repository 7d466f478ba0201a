package waf

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

func TestCanary(t *testing.T) {
	blind := RuleFiles{"before/off.conf": `SecAction "id:10001,phase:1,pass,nolog,ctl:ruleEngine=Off"`}
	tests := []struct {
		name  string
		h     *Handler
		rules RuleFiles
		value float64
		fault string // of the event; "" for none
	}{
		{"block", &Handler{}, nil, 1, ""},
		{"detect", &Handler{Mode: Detect}, nil, 0, "detect mode"},
		{"off", &Handler{InsecureOff: true}, nil, 0, "insecure_waf_off"},
		{"rules that switch themselves off", &Handler{}, blind, 0, "let through"},
		{"the same in detect mode", &Handler{Mode: Detect}, blind, 0, "let through"},
		{"never provisioned", nil, nil, 0, "not judged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := tt.h
			if h == nil {
				h = new(Handler)
			} else {
				provision(t, h)
			}
			if tt.rules != nil {
				cfg := h.engine().cfg
				cfg.Rules = tt.rules
				e, err := New(cfg, bodies)
				if err != nil {
					t.Fatal(err)
				}
				h.release(h.live.swap(&plan{site: e}))
			}
			var events []event.Event
			c := &canary{handler: h, site: &gatehouse.Site{Name: tt.name}, publish: func(e event.Event) { events = append(events, e) }}
			c.check(t.Context())
			if got := series(t, canaryGauge)[tt.name]; len(got) != 1 || got[0] != tt.value {
				t.Errorf("metric %v, want %v", got, tt.value)
			}
			switch {
			case tt.fault == "" && len(events) != 0, tt.fault != "" && len(events) != 1:
				t.Errorf("events %+v", events)
			case tt.fault != "" && (events[0].Kind != event.WAFCanaryFailed || events[0].Site != tt.name || !strings.Contains(events[0].Detail, tt.fault)):
				t.Errorf("event %+v, want %q", events[0], tt.fault)
			}
			byWord := tt.rules == nil && (tt.h != nil)
			if c.check(t.Context()); tt.fault != "" && byWord != (len(events) == 1) {
				t.Errorf("the second time, %d events", len(events))
			}
			if counted := series(t, inspections)[tt.name]; counted != nil {
				t.Errorf("the canary is counted as a request: %v", counted)
			}
		})
	}
}

// It tries at once, then at each tick, and takes its metric away when it ends, unless a newer one has it.
func TestCanaryRuns(t *testing.T) {
	h := provision(t, new(Handler))
	synctest.Test(t, func(t *testing.T) {
		site := &gatehouse.Site{Name: "runs.test"}
		var fails atomic.Int64
		count := func(event.Event) { fails.Add(1) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			(&canary{handler: new(Handler), site: site, publish: count}).run(ctx) // a handler without an engine: each try fails
			close(done)
		}()
		synctest.Wait()
		if fails.Load() != 1 {
			t.Errorf("%d tries at start", fails.Load())
		}
		time.Sleep(2*canaryPeriod + time.Second)
		synctest.Wait()
		if fails.Load() != 3 {
			t.Errorf("%d tries after two periods", fails.Load())
		}
		next, cancelNext := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			(&canary{handler: h, site: site, publish: count}).run(next)
			close(gone)
		}()
		synctest.Wait()
		cancel()
		<-done
		if !slices.Equal(series(t, canaryGauge)["runs.test"], []float64{1}) {
			t.Error("the older canary took the newer one's metric away")
		}
		cancelNext()
		<-gone
		if left := series(t, canaryGauge)["runs.test"]; left != nil {
			t.Errorf("the metric of a site that is gone: %v", left)
		}
	})
}

// series returns the values of a collector by the label site.
func series(t *testing.T, c prometheus.Collector) map[string][]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	if err := reg.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "site" {
					values[l.GetValue()] = append(values[l.GetValue()], m.GetGauge().GetValue()+m.GetCounter().GetValue())
				}
			}
		}
	}
	return values
}
