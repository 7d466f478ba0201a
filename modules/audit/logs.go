package audit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/retain"
)

// sweeper removes log files that are too old, for one configuration.
type sweeper struct {
	keeper   retain.Keeper
	families []retain.Family
	failed   func(file string, err error) // is told once of what keeps failing

	mu   sync.Mutex
	last map[string]swept // guarded by mu; by file
}

// swept is what came of the last sweep of a family.
type swept struct {
	at  time.Time
	err error
}

// sweeping is that of the configuration that started last.
var sweeping atomic.Pointer[sweeper]

func newSweeper(keeper retain.Keeper, failed func(string, error)) *sweeper {
	return &sweeper{keeper: keeper, failed: failed, last: map[string]swept{}}
}

// run sweeps now and again until ctx ends.
func (s *sweeper) run(ctx context.Context) {
	if len(s.families) == 0 {
		return
	}
	tick := time.NewTicker(retain.Every)
	defer tick.Stop()
	for {
		s.sweep(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *sweeper) sweep(now time.Time) {
	for _, f := range s.families {
		err := s.keeper.Sweep(f, now)
		s.mu.Lock()
		was := s.last[f.File].err
		s.last[f.File] = swept{now, err}
		s.mu.Unlock()
		if err != nil && was == nil {
			s.failed(f.File, err)
		}
	}
}

// logStatus is what there is of a log that the house removes.
type logStatus struct {
	File   string        `json:"file"`
	Keep   time.Duration `json:"keep"`
	Files  int           `json:"files"`
	Bytes  int64         `json:"bytes"`
	Oldest time.Time     `json:"oldest,omitzero"` // when the file was last written that was not for the longest time
	Swept  time.Time     `json:"swept,omitzero"`
	Error  string        `json:"error,omitempty"`
}

func (s *sweeper) status() (all []logStatus) {
	if s == nil {
		return nil
	}
	for _, f := range s.families {
		files, err := f.Files()
		l := logStatus{File: f.File, Keep: f.Keep, Files: len(files)}
		for _, file := range files {
			l.Bytes += file.Size
		}
		if len(files) > 0 {
			l.Oldest = files[0].Newest
		}
		s.mu.Lock()
		last := s.last[f.File]
		s.mu.Unlock()
		if l.Swept = last.at; err == nil {
			err = last.err
		}
		if err != nil {
			l.Error = err.Error()
		}
		all = append(all, l)
	}
	return all
}
