package testenv

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// accessLogger is the name of the log that has one line for each request.
const accessLogger = "gatehouse.access"

// lines are the JSON lines of the gateway's log that mention a text. A torn last line is left out.
func (g *gateway) lines(mention string) ([]map[string]any, error) {
	content, err := os.ReadFile(g.env["LOG"])
	if err != nil {
		return nil, err
	}
	var found []map[string]any
	s := bufio.NewScanner(bytes.NewReader(content))
	s.Buffer(nil, 4<<20)
	for s.Scan() {
		if !bytes.Contains(s.Bytes(), []byte(mention)) {
			continue
		}
		var line map[string]any
		if json.Unmarshal(s.Bytes(), &line) == nil {
			found = append(found, line)
		}
	}
	return found, s.Err()
}

// accessLine waits for the log line of a request: there must be exactly one.
func (g *gateway) accessLine(id string) (map[string]any, error) {
	if id == "" {
		return nil, fmt.Errorf("no request id")
	}
	var own []map[string]any
	err := until(logSoonIn, "a line of "+accessLogger+" has request_id "+id, func() bool {
		own = own[:0]
		lines, _ := g.lines(id)
		for _, line := range lines {
			// Caddy names a plugin's logger after its module, ours comes last.
			name, _ := line["logger"].(string)
			if line["request_id"] == id && (name == accessLogger || strings.HasSuffix(name, "."+accessLogger)) {
				own = append(own, line)
			}
		}
		return len(own) > 0
	})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, tail(g.env["LOG"], 5))
	}
	if len(own) > 1 {
		return nil, fmt.Errorf("%d lines of %s have request_id %s, want one", len(own), accessLogger, id)
	}
	return own[0], nil
}

// at walks a JSON value along a dotted path: object members by name, array elements by number.
func at(v any, path string) (any, error) {
	for _, part := range strings.Split(path, ".") {
		switch inner := v.(type) {
		case map[string]any:
			next, ok := inner[part]
			if !ok {
				return nil, fmt.Errorf("no %q at %q", part, path)
			}
			v = next
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(inner) {
				return nil, fmt.Errorf("no element %q at %q", part, path)
			}
			v = inner[i]
		default:
			return nil, fmt.Errorf("nothing below %q at %q", part, path)
		}
	}
	return v, nil
}

// text is a JSON value as a story writes it: strings without quotes.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
