package prove

import (
	"testing"

	"gatehouse.internal/modules/waf/seclang"
)

// TestHeaderNamesFold: names fold only where no rule can tell.
func TestHeaderNamesFold(t *testing.T) {
	t.Parallel()
	for rules, folds := range map[string]bool{
		`SecRule REQUEST_HEADERS_NAMES "@rx ^x-own$" "id:2,phase:1,deny,t:none,t:lowercase"`: true,
		`SecRule REQUEST_HEADERS_NAMES "@rx [()]" "id:2,phase:1,deny"`:                       true,
		`SecRule REQUEST_HEADERS:X-Own|ARGS_NAMES "@rx ^A" "id:2,phase:1,deny"`:              true,
		`SecRule &REQUEST_HEADERS_NAMES "@gt 50" "id:2,phase:1,deny,t:none,t:lowercase"`:     true,
		`SecRule REQUEST_HEADERS_NAMES "@rx ^X-Own$" "id:2,phase:1,deny"`:                    false,
		`SecRule RESPONSE_HEADERS_NAMES "@streq X-Own" "id:2,phase:3,deny"`:                  false,
		`SecRule ARGS|REQUEST_HEADERS_NAMES "!@rx ^[A-Za-z-]+$" "id:2,phase:1,deny"`:         false,
		`SecRule REQUEST_HEADERS_NAMES "@rx ^4" "id:2,phase:1,deny,t:none,t:hexEncode"`:      false,
		`SecRule REQUEST_HEADERS_NAMES "@rx ^X" "id:2,phase:1,deny,multiMatch,t:lowercase"`:  false,
		`SecRule REQUEST_METHOD "@rx G" "id:2,phase:1,deny,chain"
    SecRule REQUEST_HEADERS_NAMES "@rx ^X-Own$"`: false,
		`SecRule REQUEST_METHOD "@rx G" "id:2,phase:1,deny,chain"
    SecRule ARGS:a "@streq %{REQUEST_HEADERS_NAMES.x-own}"`: false,
		`SecRule REQUEST_METHOD "@rx G" "id:2,phase:1,deny,setvar:'tx.n=%{REQUEST_HEADERS_NAMES.x-own}',chain"
    SecRule TX:n "@rx X"`: false,
	} {
		e, err := assemble([]seclang.Source{{Text: settings + rules}})
		if err != nil {
			t.Fatalf("%s: %v", rules, err)
		}
		if got := e.prover(t, Options{}).HeaderNamesFold(); got != folds {
			t.Errorf("%s: %v", rules, got)
		}
	}
}
