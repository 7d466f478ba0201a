package waf

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// streamLength is how many exchanges of one kind exist; then they come again. It is more than any memo keeps of values
// that differ each time, and little enough to be made quickly.
const streamLength = 4096

// benchBody is the body limit of the engines that are measured.
const benchBody = 1 << 20

// side is the engine of one side of a comparison.
func side(t testing.TB, name string, paranoia int, answers bool) *Engine {
	t.Helper()
	sides.Lock()
	defer sides.Unlock()
	key := fmt.Sprint(name, paranoia, answers)
	if sides.engines[key] == nil {
		cfg := Config{Paranoia: paranoia, Mode: Block, BodyLimit: benchBody}
		if answers {
			cfg.ResponseLimit = DefaultResponseLimit
		}
		made := stockEngine
		if name == "gatehouse" {
			made = proverEngine
		}
		sides.engines[key] = made(t, cfg)
	}
	return sides.engines[key]
}

var sides = struct {
	sync.Mutex
	engines map[string]*Engine // guarded by the mutex
}{engines: map[string]*Engine{}}

var sideNames = []string{"stock", "gatehouse"}

// benchStream is the stream of one kind, made once. Long exchanges are fewer: their values are many.
func benchStream(kind string) []*prepared {
	n := streamLength
	if strings.Contains(kind, "64k") || kind == "multipart" {
		n /= 16
	}
	madeStreams.Lock()
	defer madeStreams.Unlock()
	if madeStreams.made[kind] == nil {
		for _, x := range stream(kind, n, 11) {
			madeStreams.made[kind] = append(madeStreams.made[kind], ready(x))
		}
	}
	return madeStreams.made[kind]
}

var madeStreams = struct {
	sync.Mutex
	made map[string][]*prepared // guarded by the mutex
}{made: map[string][]*prepared{}}

// attacked reports whether exchanges of this kind are to be refused.
func attacked(kind string) bool { return kind == "sqli" || kind == "xss" }

// whole judges x, head, body and answer, and complains when the verdict is not what this kind deserves.
func whole(t testing.TB, e *Engine, kind string, x *prepared) {
	if i, v := x.judge(e); v.Given() != attacked(kind) {
		t.Fatalf("%s: %+v %v", x.name, v, i.found.Rules)
	}
}

// BenchmarkRequest is whole exchanges of each kind at paranoia 1, by the rules alone and with the prover before them.
// The column cpu-ns/op is the one to compare.
func BenchmarkRequest(b *testing.B) { benchmarkRequests(b, 1) }

// BenchmarkRequestParanoia2 is the same at paranoia 2.
func BenchmarkRequestParanoia2(b *testing.B) { benchmarkRequests(b, 2) }

func benchmarkRequests(b *testing.B, paranoia int) {
	for _, kind := range streamKinds {
		for _, name := range sideNames {
			b.Run(kind+"/"+name, func(b *testing.B) {
				if paranoia > 1 && (kind == "json64k" || attacked(kind)) {
					b.Skip("measured at paranoia 1")
				}
				e, all := side(b, name, paranoia, strings.HasPrefix(kind, "html")), benchStream(kind)
				n := 0
				b.ReportAllocs()
				begin := cpuTime()
				for b.Loop() {
					if n == 0 {
						begin = cpuTime()
					}
					whole(b, e, kind, all[n%len(all)])
					n++
				}
				reportCPU(b, begin)
			})
		}
	}
}

// BenchmarkCompile is what a site with rules of its own costs when a configuration is loaded.
func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit}, NewBudget(1)); err != nil {
			b.Fatal(err)
		}
	}
}
