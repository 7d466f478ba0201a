package waf

import (
	"bytes"
	"strings"
)

// What an inspection will cost is estimated in bytes before it begins. Stock Coraza pays by the byte (about 4.5 ms per
// KiB: 206 rules of which most read every value) and by the value (about 0.15 ms, whatever its length).

const (
	// valueCost is what an argument, cookie or header costs beyond its bytes.
	valueCost = 32

	// jsonValueCost is the same for JSON, where the name is a path that Coraza makes longer than it was sent.
	jsonValueCost = 48

	// DefaultInspectLimit is how much of a request is inspected unless a site says otherwise: 256 KiB cost stock Coraza 1
	// to 1.7 s, us a tenth of that at most (meter.go), and less would refuse what editors save.
	DefaultInspectLimit = 256 << 10

	// headLimit bounds the heads that are inspected: strangers send them. 48 KiB of them cost 200 ms; servers usually
	// accept 8 to 32 KiB.
	headLimit = 48 << 10

	// DefaultArgLimit is how many values a JSON body may have. A Node-RED flow has twenty per node.
	DefaultArgLimit = 10_000

	formArgs = 1000    // how many values a query, a form or an XML body may have: rules 90001 to 90007
	maxArgs  = 100_000 // what a site may ask for
)

// cost estimates what the request line and the headers cost.
func (h *heading) cost() int64 {
	cost := len(h.uri) + valueCost*strings.Count(h.uri, "&")
	for _, f := range h.headers {
		cost += len(f.name) + len(f.value) + valueCost
		if f.name == "Cookie" {
			cost += valueCost * strings.Count(f.value, ";")
		}
	}
	return int64(cost)
}

// bodyCosts estimates what data costs when Coraza's processor of this name reads it. The files of a multipart body
// cost nothing: their names are inspected, their contents are not.
func bodyCosts(processor, contentType string, data []byte) int64 {
	switch processor {
	case "MULTIPART":
		return multipartCost(contentType, data)
	case "JSON":
		return int64(len(data)) + jsonValueCost*int64(jsonValues(data))
	case "XML":
		return int64(len(data)) + valueCost*int64(bytes.Count(data, []byte("<"))/2)
	}
	return int64(len(data)) + valueCost*int64(bytes.Count(data, []byte("&")))
}

// jsonValues counts what Coraza will make arguments of, or a little more: values follow a comma, and arrays have a
// length.
func jsonValues(data []byte) (n int) {
	inside := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case !inside && (c == ',' || c == '['):
			n++
		}
	}
	return n
}
