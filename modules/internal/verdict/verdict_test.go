package verdict_test

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"gatehouse.internal/modules/internal/verdict"
)

func TestReasonsAreAClosedList(t *testing.T) {
	word := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for _, r := range verdict.All() {
		if !word.MatchString(string(r)) {
			t.Errorf("reason %q is not snake_case", r)
		}
		if s := r.Status(); s < 400 || s > 599 {
			t.Errorf("reason %q has status %d: a refusal must be 4xx or 5xx", r, s)
		}
	}
	if s := verdict.Reason("made_up").Status(); s != 500 {
		t.Errorf("an unknown reason has status %d, want 500", s)
	}
}

func TestZeroValuesMeanNo(t *testing.T) {
	if (verdict.Grant{}).Given() || verdict.Mint("").Given() {
		t.Error("a grant without a rule is given")
	}
	if (verdict.Verdict{}).Given() {
		t.Error("the zero verdict is given")
	}
}

func TestVerdictTravelsAsError(t *testing.T) {
	err := fmt.Errorf("waf: %w", verdict.Verdict{Reason: verdict.WAFBlocked, Detail: "score 5"})
	var v verdict.Verdict
	if !errors.As(err, &v) || v.Reason != verdict.WAFBlocked {
		t.Fatalf("verdict lost in %v", err)
	}
}
