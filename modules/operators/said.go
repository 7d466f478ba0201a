package operators

import (
	"encoding/json"
	"net/url"
)

// claims are the words by which requests say who makes them.
var claims = []string{"operator", "by"}

// proven returns what is asked for, with who asks in place of whom it says: in a JSON object, where it says so.
func proven(body []byte, who string) []byte {
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return body
	}
	name, _ := json.Marshal(who) // never fails
	changed := false
	for _, word := range claims {
		if _, there := object[word]; there {
			object[word], changed = name, true
		}
	}
	if !changed {
		return body
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil
	}
	return text
}

// provenQuery is proven, of a query.
func provenQuery(q url.Values, who string) string {
	for _, word := range claims {
		if q.Has(word) {
			q.Set(word, who)
		}
	}
	return q.Encode()
}
