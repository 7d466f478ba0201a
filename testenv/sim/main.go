// Command sim simulates how many sessions and gateways one store carries: every session of them, every use, every message.
//
//	go run ./testenv/sim -sessions 10000000 -nodes 100
//
// It is a deterministic simulation of events in virtual time: the same flags print the same. It holds each session, and for each session which
// gateways have it at hand, and which of those know it as it is. What an event asks of the server is what the product's code asks: see
// [world]. What that costs the server is measured by TestScale of modules/stores/valkey with real servers and scripts, and given here as
// flags; the server is one thread that does one thing after the other, so that what waits is simulated, too.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	var c config
	flag.IntVar(&c.sessions, "sessions", 10_000_000, "sessions that are alive at any time")
	flag.IntVar(&c.nodes, "nodes", 100, "gateways")
	flag.DurationVar(&c.life, "life", 8*time.Hour, "how long a session lasts")
	flag.DurationVar(&c.pause, "every", 20*time.Minute, "a person comes back so often, at a gateway that the balancer chooses")
	flag.DurationVar(&c.visit, "visit", 2*time.Minute, "and stays for so long")
	flag.DurationVar(&c.renew, "renew", time.Hour, "the provider is asked again so often; 0: never")
	flag.IntVar(&c.loginWrites, "login", 3, "changes that a login makes (assumed)")
	flag.DurationVar(&c.span, "span", 20*time.Minute, "virtual time that is counted, once everybody has come once")
	flag.Uint64Var(&c.seed, "seed", 1, "of all that is chance")
	flag.IntVar(&c.table, "table", 1<<20, "sessions that a gateway has at hand at the most")
	flag.IntVar(&c.entry, "entry", 752, "bytes that one of them takes there (measured: TestMemoryOfASession)")
	flag.IntVar(&c.stored, "stored", 2100, "bytes that a session takes of the server (measured: TestScale)")
	micros := func(to *float64, name string, value float64, usage string) {
		flag.Float64Var(to, name, value, "microseconds of the server's thread: "+usage+" (measured: TestScale)")
	}
	micros(&c.write, "cost-write", 150, "a change when nobody listens")
	micros(&c.listener, "cost-listener", 4.1, "and more for each who listens")
	micros(&c.get, "cost-get", 25, "a session that is read")
	micros(&c.flush, "cost-flush", 52, "a script that writes when sessions were used")
	micros(&c.touch, "cost-touch", 6.5, "and more for each session")
	micros(&c.beat, "cost-beat", 70, "a gateway's beat")
	micros(&c.listed, "cost-listed", 0.09, "and more for each gateway that there is")
	flag.Parse()
	began := time.Now()
	r, err := simulate(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
	r.print(os.Stdout)
	fmt.Fprintf(os.Stderr, "simulated in %v\n", time.Since(began).Round(time.Second))
}

// print says what is counted, what is computed of it, and by which costs.
func (r *result) print(w io.Writer) {
	c, s := r.config, r.config.span.Seconds()
	each := func(n int64) float64 { return float64(n) / s }
	fmt.Fprintf(w, "%d sessions, %d gateways; each lasts %v, is used for %v every %v, and renewed every %v\n", c.sessions, c.nodes, c.life, c.visit, c.pause, c.renew)
	fmt.Fprintf(w, "simulated  %d sessions held, %d uses; a second: %.0f logins, %.0f ends, %.0f renewals, %.0f reads of the store, %.0f uses written\n",
		c.sessions, r.uses, each(r.logins), each(r.ends), each(r.renewals), each(r.gets), each(r.touches))
	fmt.Fprintf(w, "simulated  messages: %.0f a second to each gateway, %.2g a second in all\n", each(r.messages), each(r.messages)*float64(c.nodes))
	fmt.Fprintf(w, "simulated  a gateway has %d to %d sessions at hand, of %d who are alive\n", r.least, r.most, c.sessions)
	if r.load < 1 {
		fmt.Fprintf(w, "simulated  the server's thread is busy for %.0f %%; an end or a ban is on its way to all gateways after %v at the median, %v at p99, %v at the most\n",
			100*r.load, micro(r.p50), micro(r.p99), micro(r.longest))
	} else {
		fmt.Fprintf(w, "simulated  the server's thread would have to do %.1f times what it can\n", r.load)
	}
	fmt.Fprintf(w, "computed   memory: %.1f MB of a gateway, at %d bytes a session; %.1f GB of the server, at %d\n",
		float64(r.most*c.entry)/1e6, c.entry, float64(c.sessions)*float64(c.stored)/1e9, c.stored)
	fmt.Fprintf(w, "computed   of the thread: changes %.0f %%, reads %.0f %%, uses %.0f %%, beats %.0f %%\n",
		100*r.byWrites, 100*r.byGets, 100*r.byTouches, 100*r.byBeats)
}

func micro(us float64) time.Duration { return time.Duration(us * 1e3).Round(10 * time.Microsecond) }
