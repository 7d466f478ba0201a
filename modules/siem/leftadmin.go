package siem

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/event"
)

const adminForget = "/gatehouse/siem/forget"

// lookForLeft is how often what is left of sinks is looked at.
const lookForLeft = time.Hour

// left finds the spools of sinks that this configuration does not name.
func (s *Settings) left(app *gatehouse.App) ([]leftSpool, error) {
	return leftSpools(filepath.Join(app.Dir(), folder), func(name string) bool {
		return slices.ContainsFunc(s.Sinks, func(k Sink) bool { return k.Name == name })
	})
}

// watchLeft tells at start of spools whose sinks are gone, and removes them in time, as long as the configuration lasts.
func (s *Settings) watchLeft(app *gatehouse.App, state *gatehouse.State) {
	told := map[string]bool{}
	for ; ; sleep(s.ctx, lookForLeft) {
		if s.ctx.Err() != nil {
			return
		}
		all, err := s.left(app)
		if err != nil {
			s.logger.Error("spools of sinks that are gone cannot be read: " + err.Error())
		}
		for _, l := range all {
			if !told[l.Name] && l.Records > 0 {
				told[l.Name] = true
				state.Bus.Publish(event.Event{Time: time.Now(), Kind: event.SIEMLeft,
					Detail: "the configuration names this sink no more: name it again, or `gatehouse siem forget " + l.Name + "`",
					Attrs:  []event.Attr{{Key: "sink", Value: l.Name}, {Key: "count", Value: strconv.FormatInt(l.Records, 10)}}})
			}
		}
		if held, err := state.Audit.Held(); err != nil || held {
			continue
		}
		for _, l := range overdue(all, time.Now(), defaultKeep) {
			if err := s.forget(app, state, l, "its sink was removed, and nobody wanted them for 30 days"); err != nil {
				s.logger.Error("the spool of a sink that is gone is not removed: " + err.Error())
			}
		}
	}
}

// forget removes a spool: on record before, if there is anything in it. Only the configuration in force may.
func (s *Settings) forget(app *gatehouse.App, state *gatehouse.State, l leftSpool, why string) error {
	s.collector.use.Lock()
	defer s.collector.use.Unlock()
	if p := s.collector.plan; p == nil || p.owner != s {
		return errors.New("another configuration is in force")
	}
	if l.Records > 0 {
		if err := state.Bus.Record(lossOf(l.Name, why, l.Records)); err != nil {
			return err
		}
		lostRecords.WithLabelValues(l.Name, "forgotten").Add(float64(l.Records))
	}
	return os.RemoveAll(filepath.Join(app.Dir(), folder, l.Name))
}

type forgetAsk struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

func forgetSpool(r *http.Request) (any, error) {
	ask, err := gatehouse.ReadAsk[forgetAsk](r)
	if err != nil {
		return nil, err
	}
	if ask.Why == "" {
		return nil, errors.New("say why nobody needs them: --why")
	}
	s, state, err := settingsNow()
	if err != nil {
		return nil, err
	}
	app := gatehouse.Running()
	all, err := s.left(app)
	if err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	i := slices.IndexFunc(all, func(l leftSpool) bool { return l.Name == ask.Name })
	if i < 0 {
		return nil, gatehouse.AdminError(http.StatusNotFound, fmt.Errorf("there is no spool %q whose sink is gone: `gatehouse siem status` shows them", ask.Name))
	}
	if err := s.forget(app, state, all[i], event.Clip(ask.Why, 300)); err != nil {
		return nil, gatehouse.AdminError(http.StatusServiceUnavailable, err)
	}
	return all[i], nil
}
