package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"gatehouse.internal/modules/internal/verdict"
)

const maxLogLine = 1 << 20

// Story is what is known of one request.
type Story struct {
	Request map[string]any   // the line of the access log; nil if there is none
	Events  []map[string]any // what rooms told of it meanwhile, in order
	Record  []string         // lines of the audit log
}

// Scan adds what a log says of the request: JSON, one object a line. What is no JSON is passed over.
func (s *Story) Scan(log io.Reader, id string) error {
	return eachLine(log, func(text []byte) error {
		if !bytes.Contains(text, []byte(id)) { // Fast path
			return nil
		}
		var line map[string]any
		if json.Unmarshal(text, &line) != nil || line["request_id"] != id {
			return nil
		}
		for key, value := range line {
			if s, ok := value.(string); ok {
				line[key] = strings.Map(printable, s) // it goes to a terminal, and clients had a word in it
			}
		}
		if line["msg"] == "request" {
			s.Request = line
		} else {
			s.Events = append(s.Events, line)
		}
		return nil
	})
}

// eachLine calls f with each line of a log, which is good until f returns.
func eachLine(log io.Reader, f func(text []byte) error) error {
	lines := bufio.NewScanner(log)
	lines.Buffer(make([]byte, 64<<10), maxLogLine)
	for lines.Scan() {
		if err := f(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

var errUnknownRequest = errors.New("nothing is known of a request with this id: --log names the file that gatehouse.access goes to, and an older one if need be")

// Write writes the story for people.
func (s *Story) Write(w io.Writer, id string) error {
	if s.Request == nil && len(s.Events) == 0 && len(s.Record) == 0 {
		return errUnknownRequest
	}
	fmt.Fprintf(w, "request %s\n", id)
	if s.Request != nil {
		s.writeRequest(w)
	}
	for _, e := range s.Events {
		fmt.Fprintf(w, "event    %s %s%s\n", moment(e), e["msg"], facts(e, "detail", "factor", "outcome", "provider", "network", "jail"))
	}
	for _, line := range s.Record {
		fmt.Fprintf(w, "audit    %s\n", line)
	}
	if next := s.next(id); next != "" {
		fmt.Fprintf(w, "next     %s\n", next)
	}
	return nil
}

func (s *Story) writeRequest(w io.Writer) {
	r := s.Request
	fmt.Fprintf(w, "what     %s %v %v%v → %v, %v bytes\n", moment(r), r["method"], r["host"], r["path"], r["status"], r["bytes"])
	if reason := text(r, "reason"); reason != "" {
		fmt.Fprintf(w, "why      %s%s\n", reason, prefixed(": ", text(r, "detail")))
	} else {
		fmt.Fprintf(w, "why      nothing was held against it%s\n", prefixed("; let in by ", text(r, "grant")))
	}
	who := "nobody who is logged in"
	if user := text(r, "user"); user != "" {
		who = user + prefixed(", session ", text(r, "session"))
	}
	fmt.Fprintf(w, "who      %s, from %s%s\n", who, client(r), prefixed(", with ", text(r, "user_agent")))
	fmt.Fprintf(w, "policy   site %v%s%s\n", r["site"], prefixed(", version ", text(r, "policy")), prefixed(", allowed by ", text(r, "grant")))
	if waf := facts(r, "waf_score", "waf_rules", "waf_message", "waf_matched", "waf_mode", "waf_route", "waf_skipped", "waf_failed_open",
		"waf_response", "waf_response_rules", "waf_response_score"); waf != "" {
		fmt.Fprintf(w, "waf     %s\n", waf)
	}
	fmt.Fprintf(w, "time     %s\n", split(r))
	if trace := text(r, "trace_id"); trace != "" {
		fmt.Fprintf(w, "trace    %s\n", trace)
	}
}

// client is the address that a line has, or its pseudonym and network.
func client(line map[string]any) string {
	if key := text(line, "client_key"); key != "" {
		return key + prefixed(" in ", text(line, "client_net"))
	}
	return text(line, "client_ip")
}

// split says where the time went.
func split(r map[string]any) string {
	all, _ := r["duration_ms"].(float64)
	waf, _ := r["waf_ms"].(float64)
	upstream, waited := r["upstream_ms"].(float64)
	text := fmt.Sprintf("%.1f ms: %.1f in the WAF", all, waf)
	if waited {
		return text + fmt.Sprintf(", %.1f until the application began to answer, %.1f for everything else", upstream, max(all-waf-upstream, 0))
	}
	return text + fmt.Sprintf(", %.1f for everything else; the application was not asked", max(all-waf, 0))
}

// next is what an operator does about it.
func (s *Story) next(id string) string {
	if s.Request == nil {
		return ""
	}
	switch verdict.Reason(text(s.Request, "reason")) {
	case verdict.WAFBlocked, verdict.ResponseBlocked:
		return "gatehouse waf explain " + id + "; if it was a false alarm: gatehouse waf propose " + id
	case verdict.Forbidden, verdict.LoginRequired, verdict.MFARequired:
		return "gatehouse policy explain says which rule lets whom in"
	case verdict.VerifyRequired, verdict.VerifyDenied:
		return "gatehouse verify list shows what is held; gatehouse verify approve lets it through"
	case verdict.Banned:
		if address := text(s.Request, "client_ip"); address != "" {
			return "gatehouse ban check " + address
		}
		return "gatehouse ban list, and gatehouse ban check with the address that the client says"
	case verdict.Locked, verdict.ReadOnly:
		return "gatehouse contain list says who has thrown the switch, and why"
	case verdict.UpstreamDown, verdict.UpstreamTimeout, verdict.UpstreamRejected:
		return "look at the application"
	case verdict.Unavailable:
		return "gatehouse audit status, and the state directory: disk full, permissions"
	}
	return ""
}

func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return unicode.ReplacementChar
	}
	return r
}

func text(line map[string]any, key string) string {
	s, _ := line[key].(string)
	return s
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// facts are the fields that the line has of these.
func facts(line map[string]any, keys ...string) string {
	var b strings.Builder
	for _, key := range keys {
		if v, ok := line[key]; ok && v != "" {
			fmt.Fprintf(&b, " %s=%q", key, fmt.Sprint(v))
		}
	}
	return b.String()
}

// moment is when a line was logged, as Caddy writes it by default, or as it stands there.
func moment(line map[string]any) string {
	switch ts := line["ts"].(type) {
	case float64:
		return time.UnixMilli(int64(ts * 1000)).UTC().Format("2006-01-02T15:04:05.000Z")
	case string:
		return ts
	}
	return "-"
}
