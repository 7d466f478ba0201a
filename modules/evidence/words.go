package evidence

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Word is a word in a configuration, and the one below which it stands.
type Word struct{ Below, Name string }

// String is the word behind the one below which it stands.
func (w Word) String() string { return strings.TrimPrefix(w.Below+" "+w.Name, " ") }

// InsecureWords are the words that begin with insecure_ and are in force (I14), in the order of their names.
func InsecureWords(raw json.RawMessage) []Word {
	return words("", raw, func(name string, value json.RawMessage) bool {
		return strings.HasPrefix(name, "insecure_") && string(value) != "false"
	})
}

// secretWords are what secrets are called in the house's words.
var secretWords = []string{"client_secret", "secret", "token", "password", "key"}

// literalSecrets are the words below which the configuration holds a secret itself.
func literalSecrets(raw json.RawMessage) (found []string) {
	for _, w := range words("", raw, func(name string, value json.RawMessage) bool {
		var text string
		return slices.Contains(secretWords, name) && json.Unmarshal(value, &text) == nil && text != "" && !strings.HasPrefix(text, "{")
	}) {
		found = append(found, w.String())
	}
	return found
}

// words are those that are what is asked for.
func words(below string, raw json.RawMessage, is func(name string, value json.RawMessage) bool) (found []Word) {
	var object map[string]json.RawMessage
	var array []json.RawMessage
	switch {
	case json.Unmarshal(raw, &object) == nil:
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if is(name, object[name]) {
				found = append(found, Word{below, name})
			}
			found = append(found, words(name, object[name], is)...)
		}
	case json.Unmarshal(raw, &array) == nil:
		for _, item := range array {
			found = append(found, words(below, item, is)...)
		}
	}
	return found
}

func names(words []Word) (all []string) {
	for _, w := range words {
		all = append(all, w.Name)
	}
	return all
}
