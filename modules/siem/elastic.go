package siem

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// elastic sends to the _bulk interface of Elasticsearch or OpenSearch. A record's id is its document's, so that what is sent
// twice is there once.
type elastic struct {
	*poster
	index string
}

func (s elastic) send(ctx context.Context, entries []entry) error {
	var b []byte
	for _, e := range entries {
		b = appendJSON(append(b, `{"create":{"_index":`...), s.index)
		b = append(appendJSON(append(b, `,"_id":`...), e.id), "}}\n"...)
		b = append(append(b, e.text...), '\n')
	}
	answer, err := s.post(ctx, "application/x-ndjson", b)
	if err != nil {
		return err
	}
	return bulkOutcome(answer)
}

// bulkOutcome reads the answer to a bulk request: each document has an outcome of its own.
func bulkOutcome(answer []byte) error {
	var got struct {
		Errors bool
		Items  []map[string]struct {
			Status int
			Error  struct{ Type, Reason string }
		}
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("the answer to _bulk: %w", err)
	}
	var rejected error
	for _, item := range got.Items {
		for _, o := range item {
			switch {
			case o.Status < 300, o.Status == http.StatusConflict: // it is there already
			case o.Status == http.StatusTooManyRequests, o.Status >= 500:
				return fmt.Errorf("%d %s: %.200s", o.Status, o.Error.Type, o.Error.Reason)
			default:
				rejected = fmt.Errorf("%w: %d %s: %.200s", errRejected, o.Status, o.Error.Type, o.Error.Reason)
			}
		}
	}
	return rejected
}
