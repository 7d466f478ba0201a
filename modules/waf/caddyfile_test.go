package waf

import (
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"gatehouse.internal/modules/internal/reqpath"
)

func TestCaddyfile(t *testing.T) {
	tests := []struct {
		name, text string
		want       Handler
		err        string
	}{
		{"defaults", "waf", Handler{}, ""},
		{"everything", "waf {\n paranoia 2\n mode detect\n body_limit 5MiB\n rules /etc/rules\n}", Handler{Paranoia: 2, Mode: Detect, BodyLimit: 5 << 20, Rules: "/etc/rules"}, ""},
		{"relative", "waf {\n rules app\n}", Handler{Rules: "dir/app"}, ""},
		{"an application", "waf {\n app node-red\n}", Handler{Apps: []string{"node-red"}}, ""},
		{"two applications", "waf {\n app wordpress nextcloud\n}", Handler{Apps: []string{"wordpress", "nextcloud"}}, ""},
		{"an unknown application", "waf {\n app word\n}", Handler{}, "the applications are "},
		{"an application twice", "waf {\n app wordpress wordpress\n}", Handler{}, "stands twice"},
		{"no application", "waf {\n app\n}", Handler{}, "argument"},
		{"answers", "waf {\n response_inspection\n}", Handler{ResponseInspection: true}, ""},
		{"answers with a size", "waf {\n response_inspection 1MiB\n}", Handler{ResponseInspection: true, ResponseLimit: 1 << 20}, ""},
		{"answers over", "waf {\n response_inspection 9MiB\n}", Handler{}, "at most 8 MiB"},
		{"off", "insecure_waf_off", Handler{InsecureOff: true}, ""},
		{"off spelled short", "waf off", Handler{}, "write insecure_waf_off"},
		{"off in the block", "waf {\n off\n}", Handler{}, "write insecure_waf_off"},
		{"mode off", "waf {\n mode off\n}", Handler{}, "write insecure_waf_off"},
		{"unknown", "waf {\n paranoid 1\n}", Handler{}, `unknown waf option "paranoid"`},
		{"unknown says where", "waf {\n paranoid 1\n}", Handler{}, "dir/Caddyfile:2"},
		{"level", "waf {\n paranoia 5\n}", Handler{}, "want 1, 2, 3 or 4"},
		{"size", "waf {\n body_limit lots\n}", Handler{}, "want a size"},
		{"size over", "waf {\n body_limit 65MiB\n}", Handler{}, "at most 64 MiB"},
		{"size overflow", "waf {\n body_limit 9223372036854775807MiB\n}", Handler{}, "at most 64 MiB"},
		{"twice", "waf {\n paranoia 1\n paranoia 1\n}", Handler{}, "stands twice"},
		{"no value", "waf {\n paranoia\n}", Handler{}, "argument"},
		{"two values", "waf {\n paranoia 1 2\n}", Handler{}, "argument"},
		{"fail open", "insecure_waf_fail_open", Handler{InsecureFailOpen: true}, ""},
		{"fail open in the block", "waf {\n insecure_waf_fail_open\n}", Handler{}, "beside waf"},
		{"an exclusion", "waf {\n exclude 941100 ARGS:text /wiki/*\n exclude attack-sqli REQUEST_COOKIES:prefs\n}", Handler{Exclude: []Exclusion{
			{Rule: 941100, Target: "ARGS:text", Path: pattern("/wiki/*")}, {Tag: "attack-sqli", Target: "REQUEST_COOKIES:prefs"}}}, ""},
		{"routes", "waf {\n paranoia 2\n route /a/* {\n paranoia 1\n mode detect\n body_limit 1MiB\n inspect_limit 1MiB\n argument_limit 2000\n app wordpress\n exclude 941100 ARGS:t\n }\n route /b {\n insecure_waf_off\n }\n}",
			Handler{Paranoia: 2, Routes: []Route{
				{Path: pattern("/a/*"), Paranoia: 1, Mode: Detect, BodyLimit: 1 << 20, InspectLimit: 1 << 20, ArgLimit: 2000, Apps: []string{"wordpress"}, Exclude: []Exclusion{{Rule: 941100, Target: "ARGS:t"}}},
				{Path: pattern("/b"), InsecureOff: true}}}, ""},
		{"a route without a path", "waf {\n route {\n paranoia 1\n }\n}", Handler{}, "name one path"},
		{"a route that says nothing", "waf {\n route /a {\n }\n}", Handler{}, "says nothing"},
		{"a route twice", "waf {\n route /a {\n paranoia 2\n }\n route /a {\n paranoia 3\n }\n}", Handler{}, "stands twice"},
		{"a word twice in a route", "waf {\n route /a {\n paranoia 2\n paranoia 2\n }\n}", Handler{}, "stands twice"},
		{"a route that is off", "waf {\n route /a {\n off\n }\n}", Handler{}, "write insecure_waf_off"},
		{"a route in mode off", "waf {\n route /a {\n mode off\n }\n}", Handler{}, "write insecure_waf_off into the route"},
		{"a shadow without exclusions", "waf {\n shadow {\n exclusions off\n share 50%\n }\n}", Handler{Shadow: &ShadowConfig{NoExclusions: true, Share: 0.5}}, ""},
		{"a shadow with exclusions", "waf {\n shadow {\n exclusions on\n }\n}", Handler{}, "want off"},
		{"a shadow of nothing", "waf {\n shadow {\n share 50%\n }\n}", Handler{}, "exclusions off"},
		{"a route that is off and more", "waf {\n route /a {\n insecure_waf_off\n paranoia 2\n }\n}", Handler{}, "nothing else counts"},
		{"rules in a route", "waf {\n route /a {\n rules x\n }\n}", Handler{}, `unknown word "rules"`},
		{"a glob in a route", "waf {\n route /a/*/b {\n paranoia 2\n }\n}", Handler{}, "at the end"},
		{"no prover", "waf {\n prover off\n route /a/* {\n prover on\n }\n}", Handler{Prover: Off, Routes: []Route{{Path: pattern("/a/*"), Prover: On}}}, ""},
		{"a prover in no position", "waf {\n prover maybe\n}", Handler{}, "want on or off"},
		{"argument to off", "insecure_waf_off please", Handler{}, "argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := dispenser(t, tt.text)
			d.Next()
			var h Handler
			known, err := h.Option(d)
			if !known {
				t.Fatal("not ours")
			}
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("err = %v, want %q", err, tt.err)
				}
				return
			}
			h.options = nil
			if err != nil || !reflect.DeepEqual(h, tt.want) {
				t.Fatalf("%+v, %v; want %+v", h, err, tt.want)
			}
		})
	}
	t.Run("fail open beside waf", func(t *testing.T) {
		d := dispenser(t, "waf\ninsecure_waf_fail_open")
		var h Handler
		for d.Next() {
			if _, err := h.Option(d); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("both", func(t *testing.T) {
		d := dispenser(t, "waf\ninsecure_waf_off")
		var h Handler
		d.Next()
		if _, err := h.Option(d); err != nil {
			t.Fatal(err)
		}
		d.Next()
		if _, err := h.Option(d); err == nil {
			t.Fatal("no error")
		}
	})
	t.Run("another room's word", func(t *testing.T) {
		d := dispenser(t, "allow role staff")
		d.Next()
		if known, err := new(Handler).Option(d); known || err != nil {
			t.Fatal(known, err)
		}
	})
	t.Run("as a directive", func(t *testing.T) {
		var h Handler
		if err := h.UnmarshalCaddyfile(dispenser(t, "waf {\n paranoia 3\n}")); err != nil || h.Paranoia != 3 {
			t.Fatal(h, err)
		}
	})
}

func pattern(text string) reqpath.Pattern {
	p, err := reqpath.ParsePattern(text)
	if err != nil {
		panic(err)
	}
	return p
}

func dispenser(t *testing.T, text string) *caddyfile.Dispenser {
	t.Helper()
	tokens, err := caddyfile.Tokenize([]byte(text), "dir/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	return caddyfile.NewDispenser(tokens)
}
