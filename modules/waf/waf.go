package waf

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// Mode says what follows from a match.
type Mode string

// The modes.
const (
	Block  Mode = "block"  // refuse the request
	Detect Mode = "detect" // note what would have been refused, and never refuse
)

// MaxBodyLimit is the largest body limit, whatever the budget.
const MaxBodyLimit = 64 << 20

// Config is everything that an engine's verdicts depend on. Fields must be given unless they say otherwise.
type Config struct {
	Paranoia  int         // 1 to 4: which of CRS's rules take part
	Mode      Mode        // block or detect
	BodyLimit int64       // bytes of a body that is inspected; larger ones are refused
	Apps      []string    // whose exclusions take part: names that Apps knows; may be nil
	Rules     RuleFiles   // the site's own; may be nil
	Exclude   []Exclusion // may be nil

	InspectLimit int64 // what an inspection may cost, in bytes as cost.go estimates it; 0: DefaultInspectLimit
	ArgLimit     int   // values of a JSON body; 0: DefaultArgLimit

	ResponseLimit int64 // bytes of an answer's body that are inspected; 0: answers are not judged

	Prover Switch // whether proof is tried before the rules; no verdict depends on it. "": On

	aliased bool // leaves out the mend of unalias.go; only this package's tests can say so
}

// Key names the engine that cfg describes: equal keys, equal verdicts. It changes with every byte of every rule file,
// ours and CRS's included.
func (cfg Config) Key() string {
	cfg = cfg.complete()
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d\n%s\n%d\n%d\n%d\n%d\n", embeddedSum(), cfg.Paranoia, cfg.Mode, cfg.BodyLimit, cfg.InspectLimit, cfg.ArgLimit, cfg.ResponseLimit)
	fmt.Fprintf(h, "%q\n%v\n", slices.Sorted(slices.Values(cfg.Apps)), cfg.Prover == Off)
	for _, e := range cfg.Exclude {
		fmt.Fprintf(h, "exclude %d %q %q %q\n", e.Rule, e.Tag, e.Target, e.Path)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Rules)) {
		fmt.Fprintf(h, "%q %d\n%s\n", name, len(cfg.Rules[name]), cfg.Rules[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// complete fills in the defaults.
func (cfg Config) complete() Config {
	cfg.InspectLimit = cmp.Or(cfg.InspectLimit, DefaultInspectLimit)
	cfg.ArgLimit = cmp.Or(cfg.ArgLimit, DefaultArgLimit)
	return cfg
}

func (cfg Config) validate() error {
	switch {
	case cfg.Paranoia < 1 || cfg.Paranoia > 4:
		return fmt.Errorf("paranoia %d: CRS knows the levels 1 to 4", cfg.Paranoia)
	case cfg.Mode != Block && cfg.Mode != Detect:
		return fmt.Errorf("mode %q: want %q or %q", cfg.Mode, Block, Detect)
	case cfg.BodyLimit < 1 || cfg.BodyLimit > MaxBodyLimit:
		return fmt.Errorf("body_limit %d: want 1 to %d bytes", cfg.BodyLimit, int64(MaxBodyLimit))
	case cfg.InspectLimit < cheap || cfg.InspectLimit > MaxBodyLimit:
		return fmt.Errorf("inspect_limit %d: want %d to %d bytes", cfg.InspectLimit, cheap, int64(MaxBodyLimit))
	case cfg.ArgLimit < formArgs || cfg.ArgLimit > maxArgs:
		return fmt.Errorf("argument_limit %d: want %d to %d", cfg.ArgLimit, formArgs, maxArgs)
	case cfg.ResponseLimit < 0 || cfg.ResponseLimit > maxResponseLimit:
		return fmt.Errorf("response_inspection %d: want 1 to %d bytes", cfg.ResponseLimit, int64(maxResponseLimit))
	}
	if cfg.Prover != "" && cfg.Prover != On && cfg.Prover != Off {
		return fmt.Errorf("prover %q: want %q or %q", cfg.Prover, On, Off)
	}
	if err := checkApps(cfg.Apps); err != nil {
		return err
	}
	if err := checkExclusions(cfg.Exclude); err != nil {
		return err
	}
	return cfg.Rules.lint()
}

// Engine judges requests by one set of rules. It is safe for concurrent use and is never closed by hand.
//
// An engine is garbage like any other value, except that its compiled patterns lie in a cache of Coraza's that spans
// the process; they are taken out when the engine has become unreachable. Counting references would be earlier and
// wrong: a connection of an old configuration may bring further requests after the last Cleanup (CADDY 3, 40).
type Engine struct {
	cfg     Config
	waf     coraza.WAF
	rules   int
	budget  *Budget
	elapsed time.Duration

	innocence *innocence // nil: the rules judge every request
	unproven  string     // why
}

// open counts the engines that have not been collected.
var open atomic.Int64

// New compiles an engine; it takes about a second. budget is shared by everything that must not hold more bodies
// than it allows, taken together.
func New(cfg Config, budget *Budget) (*Engine, error) {
	cfg = cfg.complete()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if budget == nil {
		return nil, errors.New("no budget")
	}
	begin := time.Now()
	w, p, why, err := cfg.compileRules()
	if err != nil {
		return nil, err
	}
	probe := w.NewTransaction()
	defer func() { _ = probe.Close() }()
	if _, ok := probe.(plugintypes.TransactionState); !ok {
		return nil, errors.New("this version of Coraza cannot be used: its transactions do not show their variables")
	}
	e := &Engine{cfg: cfg, waf: w, innocence: p, unproven: why, budget: budget}
	if counter, ok := w.(experimental.WAFWithRules); ok {
		e.rules = counter.RulesCount()
	}
	e.elapsed = time.Since(begin)
	open.Add(1)
	runtime.AddCleanup(e, release, w)
	if p != nil {
		runtime.AddCleanup(e, closeWAF, p.parser)
	}
	return e, nil
}

// release gives back what w holds beyond its own memory. Coraza promises that transactions in flight do not mind.
func release(w coraza.WAF) {
	closeWAF(w)
	open.Add(-1)
}

func closeWAF(w coraza.WAF) {
	if c, ok := w.(experimental.WAFCloser); ok {
		_ = c.Close() // never fails in v3.8.1, and nobody is left to tell
	}
}

// Rules is the number of compiled rules.
func (e *Engine) Rules() int { return e.rules }

// Elapsed is how long compiling took.
func (e *Engine) Elapsed() time.Duration { return e.elapsed }
