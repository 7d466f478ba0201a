package obligation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/seclang"
)

// texts of values, harmless and not.
var values = []string{
	"hello", "Jane Doe", "42", "2024-05-01", "a@example.org", "https://example.org/a?b=c", "select a colour", "O'Brien", "1 + 1 = 2", "über", "",
	"<script>alert(1)</script>", "' or 1=1 -- ", "1 union select password from users", "../../../../etc/passwd", "; cat /etc/passwd", "${jndi:ldap://x/a}",
	"<?php system('id');", "() { :;}; echo", "%00", "http://127.0.0.1/evil.php", "java.lang.Runtime.exec", "{{7*7}}",
}

// exchanges are some two hundred: values as arguments, form fields, JSON, XML, multipart, headers and cookies.
func exchanges() (xs []exchange) {
	head := [][2]string{{"Host", "example.org"}, {"User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/126.0"}, {"Accept", "text/html,*/*;q=0.8"}, {"Accept-Language", "en"}}
	with := func(more ...[2]string) [][2]string { return append(slices.Clone(head), more...) }
	post := func(contentType, body string) exchange {
		return exchange{method: "POST", uri: "/api/items", body: body, status: 200, answer: "<html>fine</html>",
			headers: with([2]string{"Content-Type", contentType}, [2]string{"Content-Length", fmt.Sprint(len(body))})}
	}
	for _, v := range values {
		escaped := escape(v)
		xs = append(xs,
			exchange{method: "GET", uri: "/search?q=" + escaped + "&page=2", headers: head, status: 200, answer: "<html>" + v + "</html>"},
			exchange{method: "GET", uri: "/", headers: with([2]string{"Cookie", "s=" + escaped}), noBody: true, status: 404, answer: "ORA-00942: table or view does not exist"},
			exchange{method: "GET", uri: "/a", headers: with([2]string{"Referer", "https://example.org/" + escaped}, [2]string{"X-Note", v})},
			post("application/x-www-form-urlencoded", "name="+escaped+"&other=x&n=1"),
			post("application/json", `{"a":`+fmt.Sprintf("%q", v)+`,"b":[1,2,{"c":null}]}`),
			post("application/vnd.x+json", `{"a":`+fmt.Sprintf("%q", v)+`}`),
			post("text/xml", "<r><a b=\"1\">"+strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(v)+"</a></r>"),
			post("text/plain", v),
			post("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n"+v+"\r\n--x--\r\n"),
		)
	}
	return append(xs,
		exchange{method: "TRACE", uri: "/", headers: head}, exchange{method: "GET", uri: "/.git/config", headers: head},
		exchange{method: "GET", uri: "/", headers: [][2]string{{"User-Agent", "sqlmap/1.0"}}},
		exchange{method: "PUT", uri: "/remote.php/dav/files/jane/a.sql", headers: with([2]string{"Content-Type", "x/y"}, [2]string{"Content-Length", "1"}), body: "x"},
		exchange{method: "POST", uri: "/.gatehouse/login", headers: with([2]string{"Content-Type", "application/json"}, [2]string{"Content-Length", "2"}), body: "{}"},
		exchange{method: "POST", uri: "/flows", headers: with([2]string{"Content-Type", "application/json"}, [2]string{"Content-Length", "2"}), body: "[]"},
		exchange{method: "GET", uri: "/x.php", headers: head, status: 500, answer: "Fatal error: mysql_query() in /var/www/x.php on line 3"},
	)
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

func TestTheShippedRulesKeepTheClaims(t *testing.T) {
	for level := 1; level <= 2; level++ {
		j := newJudge(t, texts{}, shipped(t, level))
		clean, xs := 0, exchanges()
		for _, x := range xs {
			o := check(j.waf, j.set, x)
			if o.violation != nil {
				t.Errorf("level %d, %s %s %q: %v (matched %v)", level, x.method, x.uri, x.body, o.violation, o.matched)
			}
			if o.clean {
				clean++
			}
		}
		t.Logf("level %d: %d of %d clean", level, clean, len(xs))
		if clean < 50 || clean > len(xs)-50 {
			t.Errorf("level %d: %d of %d clean: one side is not tested", level, clean, len(xs))
		}
	}
}

// TestMutantsAreCaught shows that the checks above can fail: wherever one obligation alone stands between an exchange and
// the claim that it is clean, the claim is false without it.
func TestMutantsAreCaught(t *testing.T) {
	scoring := newJudge(t, texts{}, []seclang.Source{{Text: `SecRuleEngine On
SecAction "id:1,phase:1,pass,nolog,setvar:tx.score=0"
SecRule ARGS "@contains script" "id:2,phase:2,pass,nolog,setvar:tx.score=+5"
SecRule TX:score "@ge 5" "id:3,phase:2,deny"`}})
	for _, row := range []struct {
		name  string
		judge judge
		least int // so many rules are alone somewhere
	}{
		{"the shipped rules", newJudge(t, texts{}, shipped(t, 1)), 10},
		{"a quiet rule that scores, taken for inert", scoring, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			alone := map[int]bool{}
			for _, x := range exchanges() {
				o := check(row.judge.waf, row.judge.set, x)
				matched := slices.DeleteFunc(slices.Clone(row.judge.set.Rules), func(ob *obligation.Obligation) bool { return !slices.Contains(o.matched, ob.Rule.ID) })
				if len(matched) != 1 {
					continue
				}
				id := matched[0].Rule.ID
				alone[id] = true
				set := *row.judge.set
				set.Inert = append(slices.Clone(set.Inert), id)
				set.Rules = slices.DeleteFunc(slices.Clone(set.Rules), func(ob *obligation.Obligation) bool { return ob.Rule.ID == id })
				if o := check(row.judge.waf, &set, x); o.violation == nil {
					t.Errorf("without rule %d %s %s %q is called clean, and no claim is broken", id, x.method, x.uri, x.body)
				}
			}
			t.Logf("rules that are alone somewhere: %v", slices.Sorted(maps.Keys(alone)))
			if len(alone) < row.least {
				t.Errorf("%d rules only", len(alone))
			}
		})
	}
}

func TestSummaryOfTheShippedRules(t *testing.T) {
	for level := 1; level <= 4; level++ {
		set := newJudge(t, texts{}, shipped(t, level)).set
		for phase := 1; phase <= 4; phase++ {
			if why := set.Unprovable[phase]; len(why) > 0 {
				t.Errorf("level %d: phase %d is unprovable: %q", level, phase, why)
			}
		}
		count := map[int]int{}
		for _, o := range set.Rules {
			count[o.Rule.Phase]++
		}
		t.Logf("level %d: obligations %v, %d decided, inert %v", level, count, len(set.Decided), set.Inert)
		// What CRS 4.25 alone amounts to; our own rules come on top.
		least := [][]int{{0, 30, 100, 0, 40}, {0, 50, 150, 1, 40}, {0, 55, 170, 1, 40}, {0, 60, 180, 1, 40}}[level-1]
		for phase, n := range least {
			if count[phase] < n {
				t.Errorf("level %d: %d obligations in phase %d: too few to be true", level, count[phase], phase)
			}
		}
		if count[5] > 0 {
			t.Errorf("level %d: rules of phase 5 have consequences", level)
		}
		for _, want := range []struct {
			kind string
			ids  []int
			in   []int
		}{
			{"inert", []int{901340, 905100, 905110, 951010, 951100, 200000}, set.Inert},
			{"decided", []int{901001, 901200, 901400, 901410, 901450, 901500, 949110, 949111, 959100, 942011, 950010 + 1}, set.Decided},
		} {
			for _, id := range want.ids {
				if !slices.Contains(want.in, id) {
					t.Errorf("level %d: rule %d is not %s", level, id, want.kind)
				}
			}
		}
		for key, want := range map[string]string{"blocking_inbound_anomaly_score": "0", "detection_paranoia_level": fmt.Sprint(level), "critical_anomaly_score": "5"} {
			if set.Constants[key] != want {
				t.Errorf("level %d: tx.%s = %q, want %q", level, key, set.Constants[key], want)
			}
		}
	}
}

// TestTheParsingEngineReadsBodiesAlike runs the parsing rules alone.
func TestTheParsingEngineReadsBodiesAlike(t *testing.T) {
	j := newJudge(t, texts{}, shipped(t, 1))
	text := "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n"
	for _, r := range j.set.Parsing {
		text += r.Raw + "\n"
	}
	parser := engine(t, texts{}, []seclang.Source{{Text: text}})
	parsed := 0
	for _, x := range exchanges() {
		full, alone := j.waf.NewTransaction(), parser.NewTransaction()
		read := func(v plugintypes.TransactionVariables) map[string][]string {
			all := map[string][]string{"processor": {v.RequestBodyProcessor().Get()}, "body": {v.RequestBody().Get()}, "answer": {v.ResponseBody().Get()}}
			for name, c := range map[string]collection.Collection{"args": v.ArgsPost(), "files": v.Files(), "xml": v.RequestXML(), "parts": v.MultipartPartHeaders()} {
				for _, d := range c.FindAll() {
					all[name] = append(all[name], d.Key()+"="+d.Value())
				}
				slices.Sort(all[name])
			}
			return all
		}
		x.run(full, func(int) {})
		x.run(alone, func(int) {})
		if !full.IsInterrupted() {
			parsed++
			a, b := read(full.(plugintypes.TransactionState).Variables()), read(alone.(plugintypes.TransactionState).Variables())
			if !maps.EqualFunc(a, b, slices.Equal) {
				t.Errorf("%s %q: %q\nthe parsing engine: %q", x.uri, x.body, a, b)
			}
		}
		_, _ = full.Close(), alone.Close()
	}
	if parsed < 50 {
		t.Errorf("only %d exchanges were read to the end", parsed)
	}
}
