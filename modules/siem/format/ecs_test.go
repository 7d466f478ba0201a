package format_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/siem/format"
)

// ecsFields are the fields of ECS 9.3 that are used, and their types there; "[]" for those that are normalized as lists.
var ecsFields = map[string]string{
	"@timestamp": "date", "message": "match_only_text", "ecs.version": "keyword", "log.level": "keyword",
	"event.id": "keyword", "event.kind": "keyword", "event.category": "keyword[]", "event.type": "keyword[]", "event.outcome": "keyword",
	"event.action": "keyword", "event.reason": "keyword", "event.dataset": "keyword", "event.module": "keyword", "event.provider": "keyword",
	"event.severity": "long", "event.duration": "long",
	"observer.vendor": "keyword", "observer.product": "keyword", "observer.type": "keyword", "observer.name": "keyword",
	"source.ip": "ip", "source.address": "keyword", "user.name": "keyword", "user.hash": "keyword",
	"related.ip": "ip[]", "related.hosts": "keyword[]", "related.user": "keyword[]", "related.hash": "keyword[]",
	"url.scheme": "keyword", "url.domain": "keyword", "url.port": "long", "url.path": "wildcard",
	"http.version": "keyword", "http.request.id": "keyword", "http.request.method": "keyword", "http.response.status_code": "long",
	"http.response.body.bytes": "long", "user_agent.original": "keyword", "rule.id": "keyword", "rule.ruleset": "keyword", "trace.id": "keyword",
}

// ecsTypes are the event types that ECS expects with a category.
var ecsTypes = map[string]string{
	"web": "access error info", "network": "access allowed connection denied end info protocol start",
	"intrusion_detection": "allowed denied info", "authentication": "start end info", "session": "start end info",
	"iam": "admin change creation deletion group info user", "configuration": "access change creation deletion info",
	"api": "access admin allowed change creation deletion denied end info start user", "host": "access change end info start",
}

// ecsFaults says what is wrong with a record by the tables above.
func ecsFaults(line []byte) (faults []string) {
	var doc map[string]any
	if err := json.Unmarshal(line, &doc); err != nil {
		return []string{err.Error()}
	}
	say := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	flat := map[string]any{}
	var walk func(prefix string, fields map[string]any)
	walk = func(prefix string, fields map[string]any) {
		for name, value := range fields {
			name = prefix + name
			if inner, ok := value.(map[string]any); ok && name != "gatehouse" {
				if len(inner) == 0 {
					say("%s is empty", name)
				}
				walk(name+".", inner)
				continue
			}
			flat[name] = value
		}
	}
	walk("", doc)
	for name, value := range flat {
		if name == "gatehouse" {
			continue
		}
		typ, ok := ecsFields[name]
		if !ok {
			say("ECS has no %s", name)
			continue
		}
		values := []any{value}
		if elem, isList := strings.CutSuffix(typ, "[]"); isList {
			if values, ok = value.([]any); !ok || len(values) == 0 {
				say("%s is not a list of something", name)
			}
			typ = elem
		}
		for _, v := range values {
			if !isECS(typ, v) {
				say("%s is %v, not a %s", name, v, typ)
			}
		}
	}
	for _, name := range []string{"@timestamp", "ecs.version", "event.kind", "event.category", "event.type", "event.outcome"} {
		if flat[name] == nil {
			say("%s is missing", name)
		}
	}
	oneOf := func(name string, allowed ...string) {
		if s, _ := flat[name].(string); !slices.Contains(allowed, s) {
			say("%s is %v", name, flat[name])
		}
	}
	oneOf("event.kind", "event", "alert", "state", "metric")
	oneOf("event.outcome", "success", "failure", "unknown")
	expected := ""
	categories, _ := flat["event.category"].([]any)
	for _, c := range categories {
		s, _ := c.(string)
		if ecsTypes[s] == "" {
			say("event.category %v", c)
		}
		expected += ecsTypes[s] + " "
	}
	types, _ := flat["event.type"].([]any)
	for _, c := range types {
		if s, _ := c.(string); !slices.Contains(strings.Fields(expected), s) {
			say("event.type %v is not expected with %v", c, categories)
		}
	}
	return faults
}

func isECS(typ string, v any) bool {
	s, isText := v.(string)
	switch typ {
	case "keyword", "wildcard", "match_only_text":
		return isText
	case "date":
		_, err := time.Parse(time.RFC3339Nano, s)
		return isText && err == nil
	case "ip":
		_, err := netip.ParseAddr(s)
		return isText && err == nil
	case "long":
		n, ok := v.(float64)
		return ok && n >= 0 && n == float64(int64(n))
	}
	return false
}

func readECS(t *testing.T, line []byte) {
	for _, fault := range ecsFaults(line) {
		t.Errorf("%s in %s", fault, line)
	}
}

func TestECSOfEveryKind(t *testing.T) {
	for _, r := range everyKind(t) {
		readECS(t, format.ECS(nil, &r))
	}
}

// TestECSFaultsAreSeen: the judgement above is worth something.
func TestECSFaultsAreSeen(t *testing.T) {
	r := records()[0]
	good := string(format.ECS(nil, &r))
	for _, c := range [][2]string{
		{`"ip":"203.0.113.7"`, `"ip":"c-9a7f01d2"`}, {`"ip":["203.0.113.7"]`, `"ip":"203.0.113.7"`}, {`"kind":"event"`, `"kind":"thing"`},
		{`"outcome":"success"`, `"outcome":"good"`}, {`["web","network"]`, `["web"]`}, {`["web","network"]`, `["fun"]`}, {`"severity":1`, `"severity":"1"`},
		{`"duration":41250000`, `"duration":41.25`}, {`"method":`, `"verb":`}, {`"@timestamp":"2026-`, `"@timestamp":"x2026-`}, {`"ecs":{"version":"9.3.0"},`, ``},
		{`"trace":{"id":"4bf92f3577b34da6a3ce929d0e0e4736"}`, `"trace":{}`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Fatalf("%s is not there", c[0])
		}
		if len(ecsFaults([]byte(bad))) == 0 {
			t.Errorf("%s instead of %s is not noticed", c[1], c[0])
		}
	}
}

func TestECSKeepsPseudonymsApart(t *testing.T) {
	r := records()[1]
	r.Client = "203.0.113.7" // must not be told
	line := string(format.ECS(nil, &r))
	for _, want := range []string{
		`"source":{"address":"c-9a7f01d2"}`, `"user":{"hash":"u-51cc02aa"}`, `"hash":["c-9a7f01d2","u-51cc02aa"]`, `"client":{"network":"2001:db8:7::/48"}`,
		`"rule":{"id":"942100","ruleset":"waf"}`, `"waf":{"rules":[942100,949110],"score":10,"duration_ms":1.5}`, `"dataset":"gatehouse.waf"`,
	} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is missing in %s", want, line)
		}
	}
	for _, never := range []string{"203.0.113.7", `"ip"`, `"name":"u-`} {
		if strings.Contains(line, never) {
			t.Errorf("%s is in %s", never, line)
		}
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]string{
		"a.example": `"domain":"a.example"}`, "a.example:8443": `"domain":"a.example","port":8443}`, "[2001:db8::1]": `"domain":"[2001:db8::1]"}`,
		"[2001:db8::1]:443": `"domain":"[2001:db8::1]","port":443}`, "2001:db8::1": `"domain":"2001:db8::1"}`, "a:99999": `"domain":"a:99999"}`,
		"a:": `"domain":"a:"}`, ":": `"domain":":"}`, "a:x": `"domain":"a:x"}`, "a:-1": `"domain":"a:-1"}`,
	} {
		if line := string(format.ECS(nil, &format.Record{Host: host})); !strings.Contains(line, `"url":{"scheme":"https",`+want) {
			t.Errorf("%s: want %s in %s", host, want, line)
		}
	}
}
