package waf

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// watchPeriod is how often a site's rule directory is read. A change is taken up when it was the same twice, so that
// a file that is being written is not compiled by halves.
const watchPeriod = 2 * time.Second

// live is the plan of one site. It may be exchanged while requests come; each request keeps the engine it began with.
type live struct {
	plan atomic.Pointer[plan]

	mu     sync.Mutex
	closed bool // guarded by mu
}

// swap puts p in the place of the plan before. It returns the plan whose references must be given back: that one, or
// when the site is gone already, p itself; nil for none.
func (l *live) swap(p *plan) (unused *plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return p
	}
	return l.plan.Swap(p)
}

// close returns the plan whose references must be given back, the first time. It stays usable.
func (l *live) close() (p *plan, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, l.closed = !l.closed, true
	return l.plan.Load(), first
}

// watcher follows one site's rule directory. It is used by one goroutine.
type watcher struct {
	dir      fs.FS
	loaded   RuleFiles                        // what the running engine was compiled from
	load     func(RuleFiles) (*Engine, error) // compiles and exchanges
	accepted func(*Engine)
	rejected func(error) // once for each change; its text has file, line and reason

	seen  string // what the last look found
	tried string // what was last loaded or rejected
}

func newWatcher(dir fs.FS, loaded RuleFiles) *watcher {
	w := &watcher{dir: dir, loaded: loaded}
	w.tried = fingerprint(loaded, nil)
	w.seen = w.tried
	return w
}

// run looks every watchPeriod until ctx ends.
func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look()
		}
	}
}

// look reads the directory, and takes up what has changed and come to rest. The engine in use is replaced by one that
// compiled, and otherwise stays.
func (w *watcher) look() {
	files, err := ReadRules(w.dir)
	found := fingerprint(files, err)
	settled := found == w.seen
	w.seen = found
	if !settled || found == w.tried {
		return
	}
	w.tried = found
	if err == nil {
		var e *Engine
		if e, err = w.load(files); err == nil {
			w.accepted(e)
			return
		}
	}
	w.rejected(err)
}

// fingerprint is the same for the same files with the same fault.
func fingerprint(files RuleFiles, err error) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%q %d\n%s\n", name, len(files[name]), files[name])
	}
	if err != nil {
		fmt.Fprintf(h, "! %v", err)
	}
	return string(h.Sum(nil))
}

// locate adds to err, with which cfg does not compile, where in the site's files the first directive stands that it
// does not compile with: Coraza does not say. It compiles about ten times, which takes seconds.
func (cfg Config) locate(err error) error {
	type place struct {
		file string
		line int // counted from 0
	}
	var all []place
	for _, name := range slices.Concat(cfg.Rules.in("before"), cfg.Rules.in("after")) {
		name = strings.TrimPrefix(name, siteDir+"/")
		for _, line := range directives(cfg.Rules[name]) {
			all = append(all, place{name, line})
		}
	}
	// The first n directives do not compile exactly when the culprit is among them.
	fails := func(n int) bool {
		if n == len(all) {
			return true
		}
		cut := cfg
		cut.Rules = maps.Clone(cfg.Rules)
		for i := len(all) - 1; i >= n; i-- {
			lines := strings.Split(cut.Rules[all[i].file], "\n")
			cut.Rules[all[i].file] = strings.Join(lines[:all[i].line], "\n")
		}
		_, err := New(cut, bodies)
		return err != nil
	}
	n := sort.Search(len(all)+1, fails)
	if n == 0 || len(all) == 0 {
		return err // it is not the site's rules
	}
	return fmt.Errorf("%s:%d: %w", all[n-1].file, all[n-1].line+1, err)
}
