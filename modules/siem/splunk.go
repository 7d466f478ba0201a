package siem

import (
	"context"
	"strconv"
)

// splunk sends to a Splunk HTTP Event Collector: events one after the other, each with its time.
type splunk struct {
	*poster
	json  bool // whether records are JSON; otherwise they are sent as text
	index string
}

func (s splunk) send(ctx context.Context, entries []entry) error {
	var b []byte
	for _, e := range entries {
		b = append(b, `{"time":`...)
		b = strconv.AppendFloat(b, float64(e.at/1e6)/1e3, 'f', 3, 64)
		b = append(b, `,"sourcetype":"gatehouse:`...)
		b = append(append(b, e.stream...), '"')
		if s.index != "" {
			b = appendJSON(append(b, `,"index":`...), s.index)
		}
		b = append(appendJSON(append(b, `,"fields":{"event_id":`...), e.id), `},"event":`...)
		if s.json {
			b = append(b, e.text...)
		} else {
			b = appendJSON(b, string(e.text))
		}
		b = append(b, '}', '\n')
	}
	_, err := s.post(ctx, "application/json", b)
	return err
}
