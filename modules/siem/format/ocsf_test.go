package format_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse.internal/modules/siem/format"
)

// ocsfObjects are the attributes that are used of OCSF 1.8's objects: "name:type", with "!" if the attribute is required,
// "[]" if it is a list, and "@profile" if a profile brings it. "?" begins those of which one must be there.
var ocsfObjects = map[string]string{
	"base": `metadata:metadata! category_uid:int! class_uid:int! activity_id:int! activity_name:text type_uid:int! severity_id:int! time:int! message:text
		status_id:int status_code:text status_detail:text duration:int unmapped:any
		action_id:int@security_control disposition_id:int@security_control is_alert:bool@security_control risk_score:int@security_control
		firewall_rule:rule@security_control policy:policy@security_control device:device@host`,
	"4002":          `src_endpoint:endpoint dst_endpoint:endpoint http_request:http_request http_response:http_response actor:actor@host trace:trace@trace ?http_request,http_response`,
	"2004":          `finding_info:finding_info! evidences:evidence[]`,
	"3002":          `user:user! service:service src_endpoint:endpoint dst_endpoint:endpoint session:session is_mfa:bool is_remote:bool http_request:http_request ?service,dst_endpoint`,
	"3003":          `user:user! privileges:text[] group:group session:session src_endpoint:endpoint http_request:http_request ?privileges,group`,
	"6003":          `actor:actor! api:api! src_endpoint:endpoint! http_request:http_request trace:trace@trace`,
	"metadata":      `version:text! product:product! profiles:text[] uid:text correlation_uid:text event_code:text log_provider:text log_name:text tenant_uid:text`,
	"product":       `name:text vendor_name:text! ?name,uid`,
	"rule":          `uid:text name:text ?name,uid`,
	"policy":        `name:text uid:text version:text ?name,uid`,
	"device":        `type_id:int! name:text hostname:host ?ip,uid,name,hostname`,
	"endpoint":      `ip:ip uid:text name:text hostname:host svc_name:text ?ip,uid,name,hostname,svc_name`,
	"http_request":  `http_method:method version:text user_agent:text uid:text url:url`,
	"url":           `path:text scheme:text hostname:host port:int ?url_string,path`,
	"http_response": `code:int! length:int latency:int`,
	"actor":         `user:user session:session app_name:text ?process,user,invoked_by,session,app_name,app_uid`,
	"user":          `name:text uid:text type_id:int ?account,name,uid`,
	"session":       `uid:text`,
	"service":       `name:text uid:text ?name,uid`,
	"api":           `operation:text! request:request`,
	"request":       `uid:text!`,
	"trace":         `uid:text!`,
	"finding_info":  `uid:text! title:text! desc:text types:text[] analytic:analytic`,
	"analytic":      `uid:text name:text type_id:int! ?name,uid`,
	"evidence":      `src_endpoint:endpoint dst_endpoint:endpoint actor:actor http_request:http_request http_response:http_response ?actor,api,data,dst_endpoint,src_endpoint,url,user`,
}

// ocsfActivities are the activity_ids of the classes besides 0 and 99.
var ocsfActivities = map[int]int{4002: 9, 2004: 3, 3002: 7, 3003: 2, 6003: 4}

var ocsfHost = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

type ocsfJudge struct {
	profiles []string
	faults   []string
}

func (j *ocsfJudge) say(format string, args ...any) {
	j.faults = append(j.faults, fmt.Sprintf(format, args...))
}

// object judges one object by the tables with the given names.
func (j *ocsfJudge) object(where string, fields map[string]any, tables ...string) {
	known := map[string]bool{}
	for _, table := range tables {
		for _, attr := range strings.Fields(ocsfObjects[table]) {
			if some, ok := strings.CutPrefix(attr, "?"); ok {
				if !slices.ContainsFunc(strings.Split(some, ","), func(name string) bool { return fields[name] != nil }) {
					j.say("%s has none of %s", where, some)
				}
				continue
			}
			name, typ, _ := strings.Cut(attr, ":")
			typ, profile, _ := strings.Cut(typ, "@")
			typ, required := strings.CutSuffix(typ, "!")
			value, ok := fields[name]
			if required && !ok {
				j.say("%s.%s is missing", where, name)
			}
			if known[name] = true; !ok {
				continue
			}
			if profile != "" && !slices.Contains(j.profiles, profile) {
				j.say("%s.%s belongs to the profile %s, which is not named", where, name, profile)
			}
			values := []any{value}
			if elem, isList := strings.CutSuffix(typ, "[]"); isList {
				typ = elem
				values, _ = value.([]any)
				if len(values) == 0 {
					j.say("%s.%s is not a list of something", where, name)
				}
			}
			for _, v := range values {
				j.value(where+"."+name, typ, v)
			}
		}
	}
	for name := range fields {
		if !known[name] {
			j.say("%s has no %s", where, name)
		}
	}
}

func (j *ocsfJudge) value(where, typ string, v any) {
	s, ok := v.(string)
	switch typ {
	case "any":
		return
	case "text":
	case "int":
		n, isNumber := v.(float64)
		ok = isNumber && n == float64(int64(n))
	case "bool":
		_, ok = v.(bool)
	case "ip":
		_, err := netip.ParseAddr(s)
		ok = err == nil
	case "host":
		ok = ocsfHost.MatchString(s)
	case "method":
		ok = slices.Contains(strings.Fields("CONNECT DELETE GET HEAD OPTIONS POST PUT TRACE PATCH"), s)
	default:
		var fields map[string]any
		if fields, ok = v.(map[string]any); ok {
			if len(fields) == 0 {
				j.say("%s is empty", where)
			}
			j.object(where, fields, typ)
		}
	}
	if !ok {
		j.say("%s is %v, not a %s", where, v, typ)
	}
}

// ocsfFaults says what is wrong with an event.
func ocsfFaults(line []byte) []string {
	var e map[string]any
	if err := json.Unmarshal(line, &e); err != nil {
		return []string{err.Error()}
	}
	var j ocsfJudge
	if metadata, ok := e["metadata"].(map[string]any); ok {
		profiles, _ := metadata["profiles"].([]any)
		for _, p := range profiles {
			s, _ := p.(string)
			j.profiles = append(j.profiles, s)
		}
	}
	number := func(name string) int { n, _ := e[name].(float64); return int(n) }
	class, activity := number("class_uid"), number("activity_id")
	if ocsfActivities[class] == 0 {
		j.say("class_uid %d", class)
	}
	j.object("event", e, "base", fmt.Sprint(class))
	for _, p := range j.profiles {
		if p == "trace" && class != 4002 && class != 6003 || !slices.Contains([]string{"security_control", "host", "trace"}, p) {
			j.say("class %d has no profile %q", class, p)
		}
	}
	inRange := func(name string, to int, others ...int) {
		if n := number(name); (n < 0 || n > to) && !slices.Contains(others, n) {
			j.say("%s is %d", name, n)
		}
	}
	inRange("activity_id", ocsfActivities[class], 99)
	inRange("severity_id", 6, 99)
	inRange("action_id", 2)
	inRange("disposition_id", 27, 99)
	inRange("status_id", map[bool]int{true: 6, false: 2}[class == 2004], 99)
	if number("category_uid") != class/1000 {
		j.say("category_uid %d of class %d", number("category_uid"), class)
	}
	if number("type_uid") != class*100+activity {
		j.say("type_uid %d of class %d, activity %d", number("type_uid"), class, activity)
	}
	if activity == 99 && e["activity_name"] == nil {
		j.say("another activity without a name")
	}
	return j.faults
}

func readOCSF(t *testing.T, line []byte) {
	for _, fault := range ocsfFaults(line) {
		t.Errorf("%s in %s", fault, line)
	}
}

func TestOCSFOfEveryKind(t *testing.T) {
	classes := map[string]int{}
	for _, r := range everyKind(t) {
		line := format.OCSF(nil, &r)
		readOCSF(t, line)
		for class := range ocsfActivities {
			if strings.Contains(string(line), fmt.Sprintf(`"class_uid":%d`, class)) {
				classes[r.Kind] = class
			}
		}
	}
	for kind, want := range map[string]int{"request": 4002, "waf.detected": 2004, "login.failed": 3002, "session.ended": 3002, "factor.used": 3002,
		"step_up.succeeded": 3002, "support_grant.given": 3003, "support_grant.revoked": 3003, "break_glass.used": 3003, "admin.done": 6003, "route.requested": 6003, "user.created": 6003, "audit.failed": 6003} {
		if classes[kind] != want {
			t.Errorf("%s is of class %d, want %d", kind, classes[kind], want)
		}
	}
}

// TestOCSFFaultsAreSeen: the judgement above is worth something.
func TestOCSFFaultsAreSeen(t *testing.T) {
	all := records()
	for _, c := range []struct {
		record   int
		old, new string
	}{
		{0, `"version":"1.8.0",`, ``}, {0, `"time":`, `"when":`}, {0, `"time":1773480413589`, `"time":"2026"`}, {0, `"ip":"203.0.113.7"`, `"ip":"c-9a"`},
		{0, `"security_control",`, ``}, {0, `,"host"`, ``}, {0, `,"trace"]`, `]`}, {0, `"type_uid":400203`, `"type_uid":400201`}, {0, `"category_uid":4`, `"category_uid":3`},
		{0, `"http_method":"GET"`, `"http_method":"FETCH"`}, {0, `"code":200`, `"code":"200"`}, {0, `"severity_id":1`, `"severity_id":77`}, {0, `"path":`, `"query_string":`},
		{0, `"disposition_id":1`, `"disposition_id":50`}, {0, `"vendor_name":`, `"vendor":`}, {0, `"src_endpoint":{"ip":"203.0.113.7"}`, `"src_endpoint":{}`},
		{0, `"is_alert":false`, `"is_alert":"no"`}, {1, `"finding_info":{"uid":`, `"finding_info":{"id":`}, {1, `"evidences":[`, `"evidences":[],"x":[`}, {1, `,"type_id":1}`, `}`},
		{2, `"service":{`, `"svc":{`}, {2, `"user":{`, `"person":{`}, {3, `"api":{"operation"`, `"api":{"op"`}, {4, `"actor":{"app_name":"gatehouse"}`, `"actor":{}`},
		{4, `"activity_name":"audit.failed",`, ``}, {4, `"class_uid":6003`, `"class_uid":6004`},
	} {
		good := string(format.OCSF(nil, &all[c.record]))
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%s is not in %s", c.old, good)
		} else if len(ocsfFaults([]byte(bad))) == 0 {
			t.Errorf("%s instead of %s is not noticed", c.new, c.old)
		}
	}
}

func TestOCSFKeepsPseudonymsApart(t *testing.T) {
	r := records()[1]
	r.Client = "203.0.113.7" // must not be told
	for _, stream := range []string{"waf", "access", "audit"} {
		r.Stream = stream
		line := string(format.OCSF(nil, &r))
		for _, want := range []string{`"src_endpoint":{"uid":"c-9a7f01d2"}`, `"user":{"type_id":1,"uid":"u-51cc02aa"}`, `"client_net":"2001:db8:7::/48"`} {
			if !strings.Contains(line, want) {
				t.Errorf("%s: %s is missing in %s", stream, want, line)
			}
		}
		if strings.Contains(line, "203.0.113.7") || strings.Contains(line, `"ip"`) {
			t.Errorf("%s: an address is in %s", stream, line)
		}
	}
}
