package rx

import (
	"runtime"
	"sync"
	"weak"
)

// known are the patterns in use, by argument: rules, provers and engines that ask the same share one, with all that its
// automaton has learnt. A pattern that nobody uses any more is forgotten.
var known = struct {
	mu sync.Mutex
	of map[string]weak.Pointer[Pattern] // guarded by mu
}{of: map[string]weak.Pointer[Pattern]{}}

// Shared is Compile, but returns the same Pattern to all who ask while one of them uses it.
func Shared(arg string) (*Pattern, error) {
	if p := lookUp(arg); p != nil {
		return p, nil
	}
	made, err := Compile(arg)
	if err != nil {
		return nil, err
	}
	known.mu.Lock()
	defer known.mu.Unlock()
	if p := known.of[arg].Value(); p != nil { // another goroutine was faster
		return p, nil
	}
	known.of[arg] = weak.Make(made)
	runtime.AddCleanup(made, forget, arg)
	return made, nil
}

func lookUp(arg string) *Pattern {
	known.mu.Lock()
	defer known.mu.Unlock()
	return known.of[arg].Value()
}

func forget(arg string) {
	known.mu.Lock()
	defer known.mu.Unlock()
	if known.of[arg].Value() == nil { // it may have been compiled again
		delete(known.of, arg)
	}
}
