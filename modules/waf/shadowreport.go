package waf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// shadowLine is what a shadow writes, and of the access log what is needed beside it.
type shadowLine struct {
	Logger  string  `json:"logger"`
	Result  string  `json:"msg"`
	Time    float64 `json:"ts"`
	Site    string  `json:"site"`
	Path    string  `json:"path"`
	User    string  `json:"user"`
	Client  string  `json:"client_ip"`
	Request string  `json:"request_id"`
	Rules   string  `json:"shadow_rules"`
	Matched string  `json:"shadow_matched"`
	Shadow  string  `json:"shadow"` // what was tried
	Judged  uint64  `json:"judged"`
	Dropped uint64  `json:"dropped"`
}

// ShadowSummary is what a shadow has told in a log.
type ShadowSummary struct {
	Tried   []string       // what was tried: paranoia 2
	Judged  uint64         // requests, as far as the shadow has summed them up yet
	Dropped uint64         // requests that came too fast
	Results map[string]int // would_refuse, would_pass, rules: how many
	Refused map[string]*Refusals
}

// Refusals are what a shadow would have refused at one path by the same rules.
type Refusals struct {
	Path, Rules string
	Count       int
	Who         map[string]int // users, or client addresses of those not logged in: how many requests
	Request     string         // the id of the last
}

// SummariseShadow reads what the shadow of a site ("" for all) has told since then; older lines are about other rules.
func SummariseShadow(log io.Reader, site string, since time.Time) (ShadowSummary, error) {
	s := ShadowSummary{Results: map[string]int{}, Refused: map[string]*Refusals{}}
	err := eachLine(log, func(line []byte) {
		var l shadowLine
		if !bytes.Contains(line, []byte("gatehouse_waf.shadow")) || json.Unmarshal(line, &l) != nil {
			return
		}
		if !strings.HasSuffix(l.Logger, "gatehouse_waf.shadow") || site != "" && l.Site != site || l.Time < float64(since.UnixMilli())/1000 {
			return
		}
		s.add(l)
	})
	return s, err
}

func (s *ShadowSummary) add(l shadowLine) {
	if l.Shadow != "" && !slices.Contains(s.Tried, l.Shadow) {
		s.Tried = append(s.Tried, l.Shadow)
	}
	if l.Result == "judged" {
		s.Judged += l.Judged
		s.Dropped += l.Dropped
		return
	}
	s.Results[l.Result]++
	if l.Result != "would_refuse" {
		return
	}
	key := l.Path + " " + l.Rules
	r := s.Refused[key]
	if r == nil {
		r = &Refusals{Path: l.Path, Rules: l.Rules, Who: map[string]int{}}
		s.Refused[key] = r
	}
	r.Count++
	r.Who[cmp.Or(l.User, l.Client)]++
	r.Request = l.Request
}

// Write tells the summary, the most frequent refusals first, top at most.
func (s ShadowSummary) Write(w io.Writer, top int) error {
	if len(s.Tried) > 0 {
		fmt.Fprintf(w, "Tried: %s. ", strings.Join(s.Tried, "; "))
	}
	if s.Judged > 0 {
		fmt.Fprintf(w, "%d requests were judged, %d came too fast. ", s.Judged, s.Dropped)
	}
	fmt.Fprintf(w, "The shadow would have refused %d requests that passed, and let %d pass that were refused; in %d others, other rules matched.\n",
		s.Results["would_refuse"], s.Results["would_pass"], s.Results["rules"])
	all := slices.SortedFunc(maps.Values(s.Refused), func(a, b *Refusals) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Rules, b.Rules))
	})
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "TIMES\tWOULD REFUSE\tRULES\tOF WHOM\tLAST")
	for _, r := range all[:min(top, len(all))] {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", r.Count, r.Path, r.Rules, r.whom(), r.Request)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more := len(all) - top; more > 0 {
		fmt.Fprintf(w, "and %d other combinations of path and rules (--top)\n", more)
	}
	return nil
}

// whom names those who made the most of the requests, three at most.
func (r *Refusals) whom() string {
	names := slices.SortedFunc(maps.Keys(r.Who), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Who[b], r.Who[a]), cmp.Compare(a, b))
	})
	const most = 3
	text := strings.Join(names[:min(most, len(names))], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d others", more)
	}
	return text
}
