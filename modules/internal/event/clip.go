package event

import "strings"

// Clip bounds a text whose length others choose, such as clients: of a longer one the first limit bytes stay, without half a
// character at their end, and an ellipsis says so.
func Clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
