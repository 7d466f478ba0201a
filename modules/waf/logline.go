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
	Status     int    `json:"status"`
	User       string `json:"user"`
	Session    string `json:"session"`
	ClientIP   string `json:"client_ip"`
	Reason     string `json:"reason"`
	Detail     string `json:"detail"`
	Score      string `json:"waf_score"`
	Rules      string `json:"waf_rules"`
	Matched    string `json:"waf_matched"`
	Mode       string `json:"waf_mode"`
	Skipped    string `json:"waf_skipped"`
	Route      string `json:"waf_route"`
	FailedOpen string `json:"waf_failed_open"`
	Logger     string `json:"logger"`
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
