package waf

import "sync"

// recentCount is how many requests are remembered: some two megabytes at most, since paths and notes are bounded.
const recentCount = 512

// Recent remembers what the WAF found in the last requests that it found anything in, so that one can be explained by
// its id alone while the gateway runs. A flood of attacks pushes older ones out: the access log keeps them. Like the
// log, it holds nothing of what was matched. The zero value is empty; it is safe for concurrent use.
type Recent struct {
	mu    sync.Mutex
	lines []LogLine // guarded by mu; a ring once it is full
	next  int       // guarded by mu
}

// Add remembers a request.
func (r *Recent) Add(l LogLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) < recentCount {
		r.lines = append(r.lines, l)
		return
	}
	r.lines[r.next] = l
	r.next = (r.next + 1) % recentCount
}

// Find returns the request of this id.
func (r *Recent) Find(id string) (LogLine, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if l.RequestID == id {
			return l, true
		}
	}
	return LogLine{}, false
}

// Destruct implements what the house asks of what it keeps.
func (*Recent) Destruct() error { return nil }
