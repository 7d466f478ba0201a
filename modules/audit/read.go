package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/chain"
)

// Query says which records are meant. The zero Query means all.
type Query struct {
	Since, Until time.Time
	Kind         string // or what it begins with
	User         string
	Client       string
	Session      string
	Request      string
}

// Matches reports whether the record is meant.
func (q Query) Matches(r *chain.Record) bool {
	if !q.during(r.When()) {
		return false
	}
	if q.Kind != "" && r.Kind != q.Kind && !strings.HasPrefix(r.Kind, q.Kind+".") || q.Request != "" && r.Request != q.Request {
		return false
	}
	if q.User == "" && q.Client == "" && q.Session == "" {
		return true
	}
	p := r.Personal
	return p != nil && (q.User == "" || p.User == q.User) && (q.Client == "" || p.Client == q.Client) && (q.Session == "" || p.Session == q.Session)
}

// during reports whether the time is meant.
func (q Query) during(when time.Time) bool {
	return (q.Since.IsZero() || !when.Before(q.Since)) && (q.Until.IsZero() || when.Before(q.Until))
}

// ParseMoment reads a time: RFC 3339, a date, or how long ago.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	ago, err := time.ParseDuration(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time: write one like 2026-11-28, 2026-11-28T18:00:00Z, or how long ago: 36h", text)
	}
	return now.Add(-ago), nil
}

// Line is a record as people read it.
func Line(r *chain.Record) string {
	words := []string{fmt.Sprint(r.Seq), r.When().UTC().Format("2006-01-02T15:04:05.000Z"), r.Kind}
	add := func(name, value string) {
		if value != "" {
			words = append(words, fmt.Sprintf("%s=%q", name, value))
		}
	}
	add("request", r.Request)
	add("site", r.Site)
	if p := r.Personal; p != nil {
		add("user", p.User)
		add("client", p.Client)
		add("session", p.Session)
		add("method", r.Method)
		add("path", p.Path)
		if r.Status != 0 {
			add("status", fmt.Sprint(r.Status))
		}
		add("reason", r.Reason)
		add("detail", p.Detail)
		for _, a := range p.Attrs {
			add(a[0], a[1])
		}
	}
	if r.Gone != nil {
		add("pruned", fmt.Sprintf("%d-%d", r.Gone.From, r.Gone.To))
	}
	if r.Erased {
		words = append(words, "(what it says of a person was erased, or is sealed with a key that is not here)")
	}
	return strings.Join(words, " ")
}

// Object is a record as programs read it: one JSON object.
func Object(r *chain.Record) ([]byte, error) {
	core := map[string]any{}
	if err := json.Unmarshal(r.Line, &core); err != nil {
		return nil, err
	}
	delete(core, "personal")
	if p := r.Personal; p != nil {
		for name, value := range map[string]string{"client": p.Client, "user": p.User, "session": p.Session, "path": p.Path, "detail": p.Detail} {
			if value != "" {
				core[name] = value
			}
		}
		facts := map[string][]string{}
		for _, a := range p.Attrs {
			if !slices.Contains(facts[a[0]], a[1]) {
				facts[a[0]] = append(facts[a[0]], a[1])
			}
		}
		if len(facts) > 0 {
			core["attrs"] = facts
		}
	}
	if r.Erased {
		core["erased"] = true
	}
	return json.Marshal(core)
}
