package waf

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"gatehouse.internal/modules/internal/verdict"
)

// The way back. Requests are judged whole or refused; answers are not, because nobody may hold an event stream or a
// download until it ends. Of each answer the status and headers are judged, and of an answer that people or programs
// read as text the first ResponseLimit bytes. What is not judged is named in the log line (waf_response).

// DefaultResponseLimit is how much of an answer's body is inspected, and held back until it was.
const DefaultResponseLimit = 512 << 10

// maxResponseLimit bounds what a site may ask for: held answers draw on the same budget as bodies.
const maxResponseLimit = 8 << 20

// holdTime is how long the beginning of an answer of unknown length is held while its end is awaited. Then what there
// is is judged and sent, and the rest streams. A flush cannot decide this: Caddy's proxy flushes *every* answer of
// unknown length after every write, and most pages made by a program are such answers.
const holdTime = time.Second

// expensiveAnswer is the length from which an answer waits for a place in the cap: some 70 ms of stock Coraza, which
// reads answers twelve times as fast as requests.
const expensiveAnswer = 12 * cheap

// unread says in one word why the body of an answer was not inspected, or not all of it; "" when it was.
type unread string

const (
	unreadBodiless unread = "bodiless" // HEAD, 204, 304: there is none
	unreadUpgrade  unread = "upgrade"  // the backend has answered 101
	unreadType     unread = "type"     // not text, or a stream by its type
	unreadRange    unread = "range"    // 206: a part, which the rest may not fit to
	unreadEncoding unread = "encoding" // compressed in a way that nobody asked for
	unreadRule     unread = "rule"     // a rule of the site says so
	unreadPartial  unread = "partial"  // only the beginning: too long, or too slow
	unreadGarbled  unread = "garbled"  // it says gzip and is not
	unreadTime     unread = "time"     // judging it took too long
)

// answer is what an Inspection knows of the response.
type answer struct {
	before  int // rules that had matched before it
	begun   bool
	gzip    bool
	found   Findings
	unread  unread
	outcome Outcome // "" when no answer was judged
}

// watches reports whether the answer to this request is to be judged. It is not when the head was not, being too large
// in detect mode: the rules about answers read what those about the head have set, and without it CRS's threshold is 0.
func (i *Inspection) watches() bool {
	return i.tx != nil && i.judged && i.engine.cfg.ResponseLimit > 0
}

// ResponseHead judges status and headers of the answer to a request that Head and Body let pass. With hold, the
// caller must send nothing, collect the body, and call ResponseBody; otherwise everything is judged. A given verdict
// is what the client must get instead of the answer. It must be called at most once.
func (i *Inspection) ResponseHead(r *http.Request, status int, header http.Header) (hold bool, v verdict.Verdict) {
	if i.answer.begun || !i.watches() {
		return false, verdict.Verdict{}
	}
	a := &i.answer
	a.begun = true
	i.meter = meter{} // what the request took is another matter
	a.unread, a.gzip = whyUnread(r, status, header)
	blocked, v := i.guard(func() *types.Interruption {
		a.before = len(i.tx.MatchedRules())
		h := &heading{proto: r.Proto, status: status}
		for name, values := range header {
			if a.unread == "" && name == "Content-Encoding" {
				continue // the rules will see the text: they take this header for a reason not to look
			}
			for _, value := range values {
				h.add(name, value)
			}
		}
		if stop := i.run(3, responseHead{h}); stop != nil {
			return stop
		}
		if a.unread == "" && !i.tx.IsResponseBodyAccessible() {
			a.unread = unreadRule
		}
		if a.unread == "" {
			return nil
		}
		return i.run(4, responseBody(nil))
	})
	if a.unread == "" && blocked == nil && !v.Given() {
		return true, verdict.Verdict{}
	}
	return false, i.settleResponse(blocked, v)
}

// ResponseBody judges data, the body of the answer as it will be sent, or its beginning when it is not whole. It must
// come once after ResponseHead said hold. A long one waits for its place, as long bodies of requests do.
func (i *Inspection) ResponseBody(ctx context.Context, data []byte, whole bool) verdict.Verdict {
	a := &i.answer
	cost := (bodyCost - 1) * int64(len(data))
	if a.gzip {
		cost = (bodyCost - 1) * i.engine.cfg.ResponseLimit
	}
	if !i.engine.budget.take(cost) {
		return i.settleResponse(nil, overBudget())
	}
	defer i.engine.budget.give(cost)
	if !whole {
		a.unread = unreadPartial
	}
	if a.gzip && len(data) > 0 {
		var err error
		switch data, err = gunzip(data, i.engine.cfg.ResponseLimit); {
		case err == nil:
		case errors.Is(err, errTooLarge), errors.Is(err, io.ErrUnexpectedEOF) && !whole:
			a.unread = unreadPartial
		default:
			a.unread = unreadGarbled
		}
	}
	if len(data) >= expensiveAnswer {
		leave, err := i.engine.budget.bodies.enter(ctx)
		switch {
		case errors.Is(err, errBusy):
			return i.settleResponse(nil, verdict.Verdict{Reason: verdict.WAFFailed, Detail: err.Error(), RetryAfter: retryAfter})
		case err != nil:
			return i.settleResponse(nil, verdict.Verdict{Reason: verdict.ClientClosed})
		}
		defer leave()
		i.measure()
	}
	blocked, v := i.guard(func() *types.Interruption { return i.run(4, responseBody(data)) })
	return i.settleResponse(blocked, v)
}

// abandonResponse gives the answer's verdict when there is no memory to hold it in.
func (i *Inspection) abandonResponse() verdict.Verdict { return i.settleResponse(nil, overBudget()) }

// settleResponse ends the judging of the answer, and with it the transaction.
func (i *Inspection) settleResponse(blocked *types.Interruption, v verdict.Verdict) verdict.Verdict {
	a := &i.answer
	if i.tx != nil {
		_, broken := i.guard(func() *types.Interruption {
			if i.trial.stands() {
				return nil // no rule has matched
			}
			a.found = responseFindings(i.tx, a.before)
			if all := i.tx.MatchedRules(); i.takes && len(a.found.Rules) > 0 {
				i.taken = append(i.taken, take(all[min(a.before, len(all)):])...)
			}
			i.tx.ProcessLogging()
			return nil
		})
		if broken.Given() && blocked == nil && !v.Given() {
			v = broken
		}
		i.drop()
	}
	if blocked != nil {
		v = verdict.Verdict{Reason: verdict.ResponseBlocked, Detail: "response score " + strconv.Itoa(a.found.Score)}
		if blocked.RuleID/100 != 9591 {
			v.Detail = "rule " + strconv.Itoa(blocked.RuleID)
		}
	}
	failed := v.Reason == verdict.WAFFailed
	if failed {
		v = i.exempt(v)
	}
	switch {
	case failed:
		a.outcome = Failed
	case v.Given():
		a.outcome = Refused
	case a.found.Blocking:
		a.outcome = Detected
	default:
		a.outcome = Passed
	}
	return v
}

// responseFindings is findings for the way back: what matched after the first n.
func responseFindings(tx types.Transaction, n int) (f Findings) {
	all, wouldStop := tx.MatchedRules(), detectedStop(tx)
	for _, m := range all[min(n, len(all)):] {
		rule := m.Rule()
		id := rule.ID()
		f.log(m)
		f.Blocking = f.Blocking || id == 959100 || id == 959101 || id == wouldStop
		if m.Message() == "" || counts(id) || slices.Contains(f.Rules, id) || len(f.Rules) == maxRules {
			continue
		}
		f.add(id, message(rule.Raw()))
	}
	if state, ok := tx.(plugintypes.TransactionState); ok {
		for _, text := range state.Variables().TX().Get("blocking_outbound_anomaly_score") {
			f.Score, _ = strconv.Atoi(text)
		}
	}
	return f
}

// textTypes are the types whose bodies are inspected, besides everything that ends in +json or +xml: where leaks of
// databases and languages stand. Event streams, gRPC and multipart/x-mixed-replace are not, and never held.
var textTypes = []string{
	"text/html", "text/plain", "text/xml", "text/json", "application/json", "application/xml", "application/xhtml+xml",
}

// whyUnread decides from the head of an answer whether its body will be inspected (why is "" then), and whether it is
// compressed.
func whyUnread(r *http.Request, status int, h http.Header) (why unread, zipped bool) {
	switch {
	case status == http.StatusSwitchingProtocols:
		return unreadUpgrade, false
	case r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified || status < 200:
		return unreadBodiless, false
	case status == http.StatusPartialContent:
		return unreadRange, false
	case r.Method == http.MethodConnect && h.Get("Content-Type") == "":
		return unreadUpgrade, false // RFC 8441: what 101 is in HTTP/1.1 is 200 here, with no content of its own
	case !isText(h["Content-Type"]):
		return unreadType, false
	}
	switch encodings := h["Content-Encoding"]; {
	case len(encodings) == 0 || len(encodings) == 1 && (encodings[0] == "" || strings.EqualFold(encodings[0], "identity")):
		return "", false
	case len(encodings) == 1 && (strings.EqualFold(encodings[0], "gzip") || strings.EqualFold(encodings[0], "x-gzip")):
		return "", true
	}
	return unreadEncoding, false
}

// isText reports whether a body of this type is inspected. One without a type is: browsers guess. So is one whose
// type cannot be read, unless it names a stream plainly.
func isText(values []string) bool {
	if len(values) == 0 || values[0] == "" {
		return true
	}
	name, _, err := mime.ParseMediaType(values[0])
	if err != nil {
		raw, _, _ := strings.Cut(values[0], ";")
		name = strings.ToLower(strings.TrimSpace(raw))
	}
	if strings.HasPrefix(name, "application/grpc") {
		return false // a stream even with +json
	}
	return slices.Contains(textTypes, name) || strings.HasSuffix(name, "+json") || strings.HasSuffix(name, "+xml")
}

// gunzip returns the first limit bytes of what data unpacks to, with errTooLarge when there is more. With other
// errors too the data up to there is returned.
func gunzip(data []byte, limit int64) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(zr, limit+1))
	if n > limit {
		return out.Bytes()[:limit], errTooLarge
	}
	return out.Bytes(), err
}

// askForGzip makes the backend answer in an encoding that can be inspected: gzip, if the client takes it, or none.
// Asking for none at all would be simpler and cost every client of a slow line the compression.
func askForGzip(h http.Header) {
	for _, line := range h["Accept-Encoding"] {
		for _, item := range strings.Split(line, ",") {
			name, q, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(item, " ", "")), ";")
			if name == "gzip" && strings.Trim(strings.TrimPrefix(q, "q="), "0.") != "" || name == "gzip" && q == "" {
				h["Accept-Encoding"] = []string{"gzip"}
				return
			}
		}
	}
	h["Accept-Encoding"] = []string{"identity"}
}
