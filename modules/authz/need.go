package authz

import (
	"fmt"
	"net/http"
	"strings"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/verdict"
)

// publicRule begins the rule of what everybody may use.
const publicRule = "public:"

// meet returns nil when a request that is allowed meets what the house and the policy ask for besides, or the refusal that
// says how it can. What everybody may use asks for nothing.
func (h *Handler) meet(d *Decision, r *http.Request, req *gatehouse.Request) error {
	if strings.HasPrefix(d.Rule, publicRule) {
		return nil
	}
	n, err := need(d, r.Method)
	if err != nil {
		return req.Deny(verdict.Forbidden, err.Error())
	}
	return h.factors.Judge(r, req, n)
}

// meets reports whether a request that runs already has come with what the house and the policy ask for now. It looks at
// nothing but the proof: the request itself is another goroutine's, and a proof of its own was used up when it came.
func (h *Handler) meets(d *Decision, method string, who identity.Proof) bool {
	if strings.HasPrefix(d.Rule, publicRule) {
		return true
	}
	n, err := need(d, method)
	return err == nil && h.factors.Meets(who, n)
}

// need is what the obligations ask for together, of a request by this method: the strictest of them.
func need(d *Decision, method string) (n gatehouse.FactorNeed, err error) {
	for _, o := range d.Obligations {
		if o.Kind != MFA {
			return n, fmt.Errorf("the policy asks for %s, which nothing here can prove", o.Kind)
		}
		n.Required, n.Rule = true, d.Rule
		n.Each = n.Each || o.Each && (o.AnyMethod || !safe(method))
		if o.MaxAge > 0 && (n.MaxAge == 0 || o.MaxAge < n.MaxAge) {
			n.MaxAge = o.MaxAge
		}
	}
	return n, nil
}

// safe reports whether the method is one of those that change nothing (RFC 9110 9.2.1).
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
