package waf

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestRecent: the last requests are remembered, and no more than these.
func TestRecent(t *testing.T) {
	var r Recent
	if _, ok := r.Find("0"); ok {
		t.Error("something is found in nothing")
	}
	for n := range recentCount + 10 {
		r.Add(LogLine{RequestID: fmt.Sprint(n), Path: fmt.Sprintf("/%d", n)})
	}
	for id, want := range map[string]bool{"9": false, "10": true, "11": true, fmt.Sprint(recentCount + 9): true, fmt.Sprint(recentCount + 10): false, "": false} {
		if l, ok := r.Find(id); ok != want || ok && l.Path != "/"+id {
			t.Errorf("%q: %v %+v", id, ok, l)
		}
	}
	if len(r.lines) != recentCount {
		t.Errorf("%d are remembered", len(r.lines))
	}
}

// TestExplainEveryEnd: whoever ended a request, and however, explain says so.
func TestExplainEveryEnd(t *testing.T) {
	for want, line := range map[string]LogLine{
		"The anomaly score 7 reached":                          {Reason: "waf_blocked", Status: 403, Detail: "score 7", Score: "7", Rules: "941100"},
		"A rule refused it by itself (rule 95000)":             {Reason: "waf_blocked", Status: 403, Detail: "rule 95000", Score: "0", Rules: "95000"},
		"could not judge it":                                   {Reason: "waf_failed", Status: 503, Detail: "more than 175ms of CPU time to inspect"},
		"more than the WAF inspects":                           {Reason: "body_too_large", Status: 413, Detail: "more than 10 bytes to inspect"},
		"could not be read as what it says":                    {Reason: "body_unreadable", Status: 400, Detail: "rule 200002", Rules: "200002"},
		"The application's answer to it was withheld":          {Reason: "response_blocked", Status: 403, Detail: "response score 4", ResponseRules: "951220", ResponseScore: "4"},
		"In the answer, score 4; detect mode":                  {Status: 200, ResponseRules: "951220", ResponseScore: "4", ResponseMode: "detect"},
		"mssql SQL Information Leakage":                        {Status: 200, ResponseRules: "951220", ResponseScore: "4"},
		"a rule would have refused it by itself":               {Mode: "detect", Score: "0", Rules: "1"},
		"would have been refused, score 20":                    {Mode: "detect", Score: "20", Rules: "941100"},
		"not the WAF that refused it (no rule), and":           {Reason: "forbidden", Status: 403, Detail: "no rule"},
		"did not reach the threshold":                          {Reason: "forbidden", Status: 403, Detail: "no rule", Score: "3", Rules: "920300"},
		"Rules matched, but the score 3":                       {Score: "3", Rules: "920300"},
		"No detection rule matched":                            {Status: 200},
		"The answer was not inspected, or not all of it: time": {Status: 200, Response: "time"},
		"It was allowed by role:staff":                         {Status: 200, Grant: "role:staff"},
		"→ passed":                                             {Score: "3", Rules: "920300"},
	} {
		var out bytes.Buffer
		if err := explain(&out, line); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%+v: %v, does not say %q:\n%s", line, err, want, out.String())
		}
	}
}
