package prove

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// kinds are the exchanges that are measured: 200 sessions' worth of cookies, values that are new in each request.
var kinds = []struct {
	name string
	make func(r *rand.Rand) *exchange
}{
	{"get", getExchange},
	{"json2k", func(r *rand.Rand) *exchange { return jsonExchange(r, 2048, 40) }},
	{"form1k", formExchange},
	{"json64k", func(r *rand.Rand) *exchange { return jsonExchange(r, 65536, 300) }},
	{"getHTML8k", func(r *rand.Rand) *exchange {
		x := getExchange(r)
		x.reply = htmlReply(r)
		return x
	}},
}

// stream makes n exchanges of a kind, with cookies from 200 sessions.
func stream(make func(*rand.Rand) *exchange, n int) []*exchange {
	r := rand.New(rand.NewPCG(5, 5))
	var cookies [200]string
	for i := range cookies {
		cookies[i] = "gh_session=" + token(r, 1024) + "; theme=dark; lang=en-GB; _csrf=" + token(r, 32)
	}
	out := []*exchange{}
	for range n {
		x := make(r)
		x.headers[7][1] = cookies[r.IntN(len(cookies))]
		out = append(out, x)
	}
	return out
}

// run is one exchange, from transaction to proof; prover nil: parsing only.
func (e *engines) run(p *Prover, x *exchange) bool {
	tx := e.parse.NewTransaction()
	defer func() { _ = tx.Close() }()
	if p == nil {
		x.drive(tx, nil, func(int) bool { return true })
		return true
	}
	pf := p.Begin(tx.(plugintypes.TransactionState))
	defer pf.End()
	proven := 0
	x.drive(tx, nil, func(phase int) bool {
		if !pf.Phase(phase) {
			return false
		}
		proven++
		return true
	})
	return proven == lastPhase
}

func BenchmarkExchange(b *testing.B) {
	for _, paranoia := range []int{1, 2} {
		e := build(b, paranoia, "")
		for _, kind := range kinds {
			n := 4000
			if kind.name == "json64k" {
				n = 300
			}
			all := stream(kind.make, n)
			for _, mode := range []string{"parse", "proof", "fresh"} {
				b.Run(fmt.Sprintf("PL%d/%s/%s", paranoia, kind.name, mode), func(b *testing.B) {
					var p *Prover
					if mode != "parse" {
						p = e.prover(b, Options{NoMemo: mode == "fresh"})
						for _, x := range all {
							e.run(p, x)
						}
					}
					b.ReportAllocs()
					doubts, i, before := 0, 0, cpuTime()
					for b.Loop() {
						if !e.run(p, all[i%len(all)]) {
							doubts++
						}
						i++
					}
					b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op") // what a busy machine does not change much
					b.ReportMetric(float64(doubts)/float64(b.N), "doubts/op")
				})
			}
		}
	}
}

// BenchmarkValue measures one value that is not remembered, against all rules on form fields.
func BenchmarkValue(b *testing.B) {
	e := build(b, 1, "")
	p := e.prover(b, Options{NoMemo: true})
	var args *class
	for _, r := range p.phases[2].reads {
		if r.variable == variables.ArgsPost {
			args = r.values
		}
	}
	pl := args.plan(p, "note")
	r := rand.New(rand.NewPCG(1, 2))
	for _, row := range []struct{ name, value string }{
		{"word", "created"}, {"number", "12345.67"}, {"token24", token(r, 24)}, {"sentence40", sentence(r, 40)},
		{"sentence80", sentence(r, 80)}, {"token1024", token(r, 1024)}, {"text4k", sentence(r, 4096)},
		{"agent", browser(r)[1][1]},
	} {
		b.Run(row.name, func(b *testing.B) {
			pf := p.Begin(nil)
			defer pf.End()
			b.ReportAllocs()
			b.SetBytes(int64(len(row.value)))
			for b.Loop() {
				pf.remaining = p.options.RequestStates
				pl.judge(pf, row.value)
			}
		})
	}
}

// cpuTime is what this process has used, in nanoseconds.
func cpuTime() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkNew measures compiling.
func BenchmarkNew(b *testing.B) {
	e := build(b, 1, "")
	for b.Loop() {
		e.prover(b, Options{})
	}
}
