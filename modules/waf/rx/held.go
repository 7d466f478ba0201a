package rx

// Held are figures about the patterns in use.
type Held struct {
	Automata, States int
	Bytes            int // of all automata with what they were compiled to
}

// Use returns figures about all patterns in use, gathered by walking them: not for the request path.
func Use() (h Held) {
	known.mu.Lock()
	var all []*Pattern
	for _, w := range known.of {
		if p := w.Value(); p != nil {
			all = append(all, p)
		}
	}
	known.mu.Unlock()
	for _, p := range all {
		if a := p.prepared.Load(); a != nil {
			h.Automata++
			h.States += a.States()
			h.Bytes += a.Size() + a.Program().Size()
		}
	}
	return h
}
