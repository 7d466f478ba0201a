package waf

import (
	"slices"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"gatehouse.internal/modules/internal/verdict"
)

// Findings are what the rules found, without anything of what they found it in: matched data is people's data.
type Findings struct {
	Score    int     // CRS's inbound anomaly score
	Rules    []int   // the detection rules that matched, in order, each once
	Message  string  // what the first of them say, as their authors wrote it
	Matches  []Match // where they matched; never what
	Blocking bool    // enough to refuse the request, whatever the mode
	Logged   []int   // every rule that matched and says "log", CRS's sums included: for the debug log
}

// maxRules bounds how many rules are noted: a scanner's request may match a hundred.
const maxRules = 32

// maxMessages bounds of how many the messages are noted; explain has all.
const maxMessages = 5

// findings reads a judged transaction. digest may be nil.
func findings(tx types.Transaction, digest func(string) string) (f Findings) {
	wouldStop := detectedStop(tx)
	for _, m := range tx.MatchedRules() {
		rule := m.Rule()
		id := rule.ID()
		f.log(m)
		if id == 949110 || id == 949111 || denies(id) || id == wouldStop {
			f.Blocking = true
		}
		if m.Message() == "" || counts(id) || slices.Contains(f.Rules, id) || len(f.Rules) == maxRules {
			continue
		}
		f.add(id, message(rule.Raw()))
	}
	if len(f.Rules) > 0 {
		f.Matches = matches(tx, digest)
	}
	if state, ok := tx.(plugintypes.TransactionState); ok {
		for _, text := range state.Variables().TX().Get("blocking_inbound_anomaly_score") {
			f.Score, _ = strconv.Atoi(text)
		}
	}
	return f
}

// detectedStop is the rule that would have been the first to end the transaction, were its engine not in detect mode; 0
// if none would. Coraza tells, but its interface does not promise it yet.
func detectedStop(tx types.Transaction) int {
	if t, ok := tx.(interface {
		DetectionOnlyInterruption() *types.Interruption
	}); ok {
		if stop := t.DetectionOnlyInterruption(); stop != nil {
			return stop.RuleID
		}
	}
	return 0
}

// add notes a detection rule and what it says.
func (f *Findings) add(id int, says string) {
	f.Rules = append(f.Rules, id)
	switch {
	case len(f.Rules) == 1:
		f.Message = says
	case len(f.Rules) <= maxMessages && !strings.Contains(f.Message, says):
		f.Message += "; " + says
	}
}

// log notes a rule that matched, once, if its author wants it logged. Coraza tells which these are, but its interface
// does not promise it yet. CRS sets no default for the response phases, where a message stands for the wish.
func (f *Findings) log(m types.MatchedRule) {
	id := m.Rule().ID()
	if wantsLog(m) && !slices.Contains(f.Logged, id) {
		f.Logged = append(f.Logged, id)
	}
}

func wantsLog(m types.MatchedRule) bool {
	l, ok := m.(interface{ Log() bool })
	return ok && l.Log() || m.Message() != "" && m.Rule().Phase() >= types.PhaseResponseHeaders
}

// counts reports whether a rule does not detect but initialises, adds up or sums up.
func counts(id int) bool {
	switch id / 1000 {
	case 901, 949, 959, 980:
		return true
	}
	return false
}

// denies reports whether a rule of ours refuses by itself, without a score.
func denies(id int) bool {
	return id >= 90000 && id < 90100 || id >= 95000 && id < 96000 || unreadableRule(id) || id == 200004 || id == 200005 || id == 200009
}

// unreadableRule reports whether the rule says that the body is not what its content type says.
func unreadableRule(id int) bool { return id == 200002 || id == 200003 }

// message returns the text of the msg action in a rule's source. Macros in it stay unexpanded, because what they
// would become comes from the request.
func message(raw string) string {
	_, rest, ok := strings.Cut(raw, "msg:'")
	if !ok {
		return ""
	}
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '\'':
			return rest[:i]
		}
	}
	return ""
}

// verdict is what an interrupted transaction means for the client.
func (f Findings) verdict(stop *types.Interruption) verdict.Verdict {
	reason, detail := verdict.WAFBlocked, "score "+strconv.Itoa(f.Score)
	switch {
	case unreadableRule(stop.RuleID):
		reason, detail = verdict.BodyUnreadable, "rule "+strconv.Itoa(stop.RuleID)
	case stop.RuleID != 949110 && stop.RuleID != 949111:
		detail = "rule " + strconv.Itoa(stop.RuleID)
	}
	return verdict.Verdict{Reason: reason, Detail: detail}
}

// RuleList is the rules as text, separated by commas.
func (f Findings) RuleList() string {
	var b []byte
	for n, id := range f.Rules {
		if n > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return string(b)
}
