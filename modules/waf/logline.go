package waf

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// LogLine is what the access log says about one request, as far as the WAF is concerned.
type LogLine struct {
	RequestID  string `json:"request_id"`
	Site       string `json:"site"`
	Method     string `json:"method"`
	Path       string `json:"path"`
	Status     int    `json:"status,omitempty"` // 0: the request passed, as far as its teller knows
	User       string `json:"user,omitempty"`
	Session    string `json:"session,omitempty"`
	ClientIP   string `json:"client_ip,omitempty"`
	Grant      string `json:"grant,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Detail     string `json:"detail,omitempty"`
	Score      string `json:"waf_score,omitempty"`
	Rules      string `json:"waf_rules,omitempty"`
	Matched    string `json:"waf_matched,omitempty"`
	Mode       string `json:"waf_mode,omitempty"`
	Skipped    string `json:"waf_skipped,omitempty"`
	Route      string `json:"waf_route,omitempty"`
	FailedOpen string `json:"waf_failed_open,omitempty"`

	ResponseScore string `json:"waf_response_score,omitempty"`
	ResponseRules string `json:"waf_response_rules,omitempty"`
	ResponseMode  string `json:"waf_response_mode,omitempty"`
	Response      string `json:"waf_response,omitempty"` // why the answer was not read, or not all of it

	Logger string `json:"logger,omitempty"`
}

// note sets the field that the access log has under this key, if it is the WAF's.
func (l *LogLine) note(key, value string) {
	for k, field := range map[string]*string{
		"waf_score": &l.Score, "waf_rules": &l.Rules, "waf_matched": &l.Matched, "waf_mode": &l.Mode, "waf_skipped": &l.Skipped,
		"waf_route": &l.Route, "waf_failed_open": &l.FailedOpen, "waf_response_score": &l.ResponseScore,
		"waf_response_rules": &l.ResponseRules, "waf_response_mode": &l.ResponseMode, "waf_response": &l.Response,
	} {
		if k == key {
			*field = value
		}
	}
}

// ErrNoSuchRequest says that a log does not hold the request.
var ErrNoSuchRequest = errors.New("the log has no line of that request; is it the access log, and has it been rotated?")

// maxLogLine is the longest line that is read; longer ones are skipped.
const maxLogLine = 1 << 20

// FindLine returns the access log's line of a request.
func FindLine(log io.Reader, id string) (LogLine, error) {
	if id == "" {
		return LogLine{}, errors.New("which request? give its id, as the page, the answer or the log show it")
	}
	needle, err := json.Marshal(id)
	if err != nil {
		return LogLine{}, err
	}
	r := bufio.NewReaderSize(log, maxLogLine)
	for {
		line, err := r.ReadSlice('\n')
		if bytes.Contains(line, needle) {
			var l LogLine
			if json.Unmarshal(line, &l) == nil && l.RequestID == id && l.Path != "" && l.Logger != "gatehouse.events" {
				return l, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return LogLine{}, ErrNoSuchRequest
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return LogLine{}, fmt.Errorf("reading the log: %w", err)
		}
	}
}
