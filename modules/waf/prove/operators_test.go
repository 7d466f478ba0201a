package prove

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"

	"gatehouse.internal/modules/waf/seclang"
)

// settings are what a rule needs around it.
const settings = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n" +
	`SecAction "id:1,phase:1,pass,nolog,setvar:tx.list=alpha beta,setvar:tx.limit=5,ctl:forceRequestBodyVariable=on,ctl:forceResponseBodyVariable=on"` + "\n"

// TestSmallRuleSets compares whole verdicts for rules with operators, variables, transformations and chains that CRS has
// few or none of. exact: what is not proven must match; otherwise proofs may fail.
func TestSmallRuleSets(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, rules string
		exact       bool
	}{
		{"pm", `SecRule ARGS "@pm alpha be x" "id:2,phase:2,deny"`, true},
		{"pm, not", `SecRule ARGS "!@pm alpha be t" "id:2,phase:2,deny"`, true},
		{"pm with an empty phrase", `SecRule ARGS "!@pm alpha  beta" "id:2,phase:2,deny"`, false},
		{"pm of single bytes", `SecRule ARGS "@pm A ( )" "id:2,phase:2,deny"`, true},
		{"within", `SecRule ARGS:x "@within %{tx.list}" "id:2,phase:2,deny"`, true},
		{"not within", `SecRule ARGS "!@within alpha beta gamma 1 2 3" "id:2,phase:2,deny"`, true},
		{"streq", `SecRule ARGS "@streq alpha" "id:2,phase:2,deny,t:lowercase"`, true},
		{"contains", `SecRule ARGS "@contains <a" "id:2,phase:2,deny,t:urlDecodeUni"`, true},
		{"beginsWith", `SecRule ARGS|REQUEST_URI "@beginsWith al" "id:2,phase:2,deny"`, true},
		{"endsWith", `SecRule ARGS "!@endsWith ta" "id:2,phase:2,deny"`, true},
		{"strmatch", `SecRule ARGS "@strmatch et" "id:2,phase:2,deny"`, true},
		{"numbers", `SecRule ARGS "@gt %{tx.limit}" "id:2,phase:2,deny"
SecRule ARGS_NAMES "@le -3" "id:3,phase:2,deny"
SecRule ARGS_NAMES "@eq 99" "id:4,phase:2,deny"
SecRule ARGS:x "@ge 9" "id:5,phase:2,deny"
SecRule ARGS:y "@lt 1" "id:6,phase:2,deny"`, true},
		{"ipMatch", `SecRule REMOTE_ADDR "@ipMatch 10.0.0.0/8,203.0.113.9" "id:2,phase:1,deny"
SecRule ARGS "@ipMatch 10.0.0.0/8, ::1" "id:3,phase:2,deny"`, true},
		{"byte ranges", `SecRule ARGS "@validateByteRange 32-126" "id:2,phase:2,deny,t:urlDecodeUni"`, true},
		{"URL encoding", `SecRule QUERY_STRING|ARGS "@validateUrlEncoding" "id:2,phase:2,deny"`, true},
		{"UTF-8", `SecRule ARGS "@validateUtf8Encoding" "id:2,phase:2,deny"`, true},
		{"unconditional", `SecRule ARGS:zz "@unconditionalMatch" "id:2,phase:2,deny"
SecRule ARGS "@noMatch" "id:3,phase:2,deny"`, true},
		{"length of nothing", `SecRule ARGS "@eq 0" "id:2,phase:2,deny,t:length"`, true},
		{"hash of nothing", `SecRule ARGS "@rx ^da39a3ee" "id:2,phase:2,deny,t:sha1,t:hexEncode"`, true},
		{"multiMatch", `SecRule ARGS "@rx ^<" "id:2,phase:2,deny,multiMatch,t:base64Decode,t:urlDecodeUni,t:htmlEntityDecode"`, true},
		{"counts", `SecRule &ARGS "@gt 3" "id:2,phase:2,deny"
SecRule &ARGS_GET:x|&REQUEST_HEADERS:/^x-/ "@gt 1" "id:3,phase:1,deny"
SecRule &REQUEST_COOKIES|!REQUEST_COOKIES:a "@eq 2" "id:4,phase:1,deny"`, true},
		{"odd variables", `SecRule ARGS_COMBINED_SIZE "@gt 60" "id:2,phase:2,deny"
SecRule REQUEST_BODY_LENGTH|SERVER_PORT|REMOTE_PORT "@eq 51235" "id:3,phase:2,deny"
SecRule RESPONSE_CONTENT_TYPE "@rx html" "id:4,phase:3,pass,nolog"
SecRule FULL_REQUEST_LENGTH|INBOUND_DATA_ERROR|FILES_COMBINED_SIZE "@gt 0" "id:5,phase:2,deny"
SecRule REQUEST_BASENAME|SERVER_NAME|REQUEST_PROTOCOL "@streq ab" "id:6,phase:1,deny"`, true},
		{"variables that rules change", `SecRule HIGHEST_SEVERITY|DURATION|ENV:x "@lt 3" "id:2,phase:2,deny"`, false},
		{"operators that are not modelled", `SecRule ARGS:x "@restpath /a/{b}" "id:2,phase:2,deny"`, false},
		{"a chain over captures", `SecRule ARGS "@rx (\w+)=(\w+)" "id:2,phase:2,deny,capture,chain"
    SecRule TX:1 "@streq %{tx.2}"`, false},
		{"a chain over captures that nobody sets", `SecRule ARGS "@rx (\w+)b" "id:2,phase:2,deny,capture,chain"
    SecRule TX:3 "@streq a"`, false},
		{"a chain over what the request says", `SecRule ARGS "@rx ^al" "id:2,phase:2,deny,capture,chain"
    SecRule REQUEST_HEADERS:X-One "@contains %{matched_var}"`, false},
		{"a chain of matched variables", `SecRule ARGS "@rx a" "id:2,phase:2,deny,t:lowercase,chain"
    SecRule MATCHED_VARS "@rx b" "chain"
    SecRule MATCHED_VARS "!@rx ^.{6,}$"`, false},
		{"a chain that passes values on", `SecRule ARGS:x "@rx (a.)" "id:2,phase:2,deny,capture,setvar:'tx.mine=|%{tx.1}|',chain"
    SecRule TX:mine "@within |al|,|ab|"`, false},
		{"a variable that another rule leaves", `SecRule ARGS "@rx ^(.)(.)" "id:2,phase:2,pass,nolog,capture,setvar:'tx.left_%{tx.1}=%{tx.2}'"
SecRule TX:/^left_a/ "@rx ^l$" "id:3,phase:2,deny"`, false},
		{"a macro of the request", `SecRule ARGS:x "@streq %{args.y}" "id:2,phase:2,deny"`, false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			e, err := assemble([]seclang.Source{{Text: settings + row.rules}})
			if err != nil {
				t.Fatal(err)
			}
			p := e.prover(t, unbounded)
			r := rand.New(rand.NewPCG(1, 1))
			proofs := 0
			for range soak(250) {
				x := smallExchange(r)
				proven, why := e.proofOf(p, x)
				v := e.verdictOf(x, nil)
				if bad := e.contradictions(x, proven, v); len(bad) > 0 {
					t.Fatalf("proven up to phase %d, but %v matched\n%+v", proven, bad, x)
				}
				if proven == lastPhase {
					proofs++
				} else if row.exact && v.interrupted == 0 {
					t.Fatalf("%v are doubted, and nothing matched\n%+v", why, x)
				}
			}
			t.Logf("%d proofs", proofs)
		})
	}
}

// smallExchange has few and short values, so that small rules match often.
func smallExchange(r *rand.Rand) *exchange {
	x := &exchange{name: "small", method: "GET", status: 200}
	value := func() string {
		switch r.IntN(4) {
		case 0:
			return []string{"", "alpha", "beta", "Alpha", "al", "ab", "b", "(", "x=x", "a=b", "10.1.2.3", "::1", "%zz", "%3Ca", "PGE+", "\xff", "é", "99", "-4", "5", "6", "&lt;"}[r.IntN(22)]
		case 1:
			return fmt.Sprint(r.IntN(12))
		case 2:
			return token(r, r.IntN(4))
		}
		return words[r.IntN(plainWordCount)]
	}
	q := url.Values{}
	for range r.IntN(5) {
		q.Add([]string{"x", "y", "z", "zz", "X", "99", "-5"}[r.IntN(7)], value())
	}
	x.uri = "/a/" + []string{"", "ab", "b"}[r.IntN(3)] + "?" + q.Encode()
	x.headers = [][2]string{{"Host", "abc"}, {"X-One", value() + " alpha"}, {"Cookie", "a=1; b=" + token(r, 2)}}
	if r.IntN(2) == 0 {
		x.headers = append(x.headers, [2]string{"X-Two", value()})
	}
	if r.IntN(2) == 0 {
		x.withBody("application/x-www-form-urlencoded", "z="+url.QueryEscape(value())+"&x="+url.QueryEscape(value()))
	}
	x.replyHeaders = [][2]string{{"Content-Type", "text/html"}}
	return x
}
