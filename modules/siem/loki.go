package siem

import (
	"context"
	"strconv"
)

// loki sends to Grafana Loki: one stream for each of ours, so that labels stay few.
type loki struct{ *poster }

func (s loki) send(ctx context.Context, entries []entry) error {
	byStream := map[string][]entry{}
	var names []string
	for _, e := range entries {
		if byStream[e.stream] == nil {
			names = append(names, e.stream)
		}
		byStream[e.stream] = append(byStream[e.stream], e)
	}
	b := []byte(`{"streams":[`)
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(append(b, `{"stream":{"job":"gatehouse","stream":`...), name)
		b = append(b, `},"values":[`...)
		for j, e := range byStream[name] {
			if j > 0 {
				b = append(b, ',')
			}
			b = append(b, `["`...)
			b = strconv.AppendInt(b, e.at, 10)
			b = append(appendJSON(append(b, `",`...), string(e.text)), ']')
		}
		b = append(b, "]}"...)
	}
	_, err := s.post(ctx, "application/json", append(b, "]}"...))
	return err
}
