package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"gatehouse.internal/modules/internal/identity"
)

// Bounds of an expression: its length by maxValue, what it may cost to run, and how large a pattern of matches() may be.
// The cost is cel-go's own measure; a comparison costs about 1, and a unit about 0.1 µs.
const (
	celCost      = 10_000
	celRecursion = 64
)

// expression is a compiled CEL expression; safe for concurrent use.
type expression struct {
	text    string
	program cel.Program
	claims  []string // those it reads
	groups  bool     // it reads groups
}

// celEnv declares what an expression may speak of; see caddyfiles/README.md.
var celEnv = sync.OnceValues(func() (*cel.Env, error) {
	texts := cel.ListType(cel.StringType)
	return cel.NewEnv(
		cel.ParserRecursionLimit(celRecursion), cel.ParserExpressionSizeLimit(maxValue),
		cel.Variable("known", cel.BoolType), cel.Variable("kind", cel.StringType), cel.Variable("credential", cel.StringType),
		cel.Variable("user", cel.StringType), cel.Variable("provider", cel.StringType), cel.Variable("subject", cel.StringType),
		cel.Variable("roles", texts), cel.Variable("groups", texts), cel.Variable("scopes", texts), cel.Variable("workspaces", texts),
		cel.Variable("claims", cel.MapType(cel.StringType, texts)), cel.Variable("facts", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("tenant", cel.StringType), cel.Variable("amr", texts), cel.Variable("acr", cel.StringType),
		cel.Variable("auth_time", cel.TimestampType), cel.Variable("now", cel.TimestampType),
		cel.Variable("method", cel.StringType), cel.Variable("host", cel.StringType), cel.Variable("path", cel.StringType), cel.Variable("ip", cel.StringType),
		cel.Function("in_network", cel.Overload("in_network_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(inNetwork))),
	)
})

// inNetwork is in_network(ip, cidr); an ip or cidr that is none is an error, so that the rule does what is safe.
func inNetwork(ip, network ref.Val) ref.Val {
	addr, err1 := netip.ParseAddr(string(ip.(types.String)))
	prefix, err2 := netip.ParsePrefix(string(network.(types.String)))
	if err := errors.Join(err1, err2); err != nil {
		return types.NewErr("in_network: %v", err)
	}
	return types.Bool(prefix.Contains(addr))
}

// compileCEL compiles an expression, which must yield a boolean. Errors are one line.
func compileCEL(text string) (*expression, error) {
	env, err := celEnv()
	if err != nil {
		return nil, fmt.Errorf("cel: %w", err)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		e := issues.Errors()[0]
		return nil, fmt.Errorf("cel %s: %s (at character %d)", quoted(text), e.Message, e.Location.Column()+1)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("cel %s: it yields %s: write a condition, which yields bool", quoted(text), checked.OutputType())
	}
	x := &expression{text: text}
	if x.claims, x.groups, err = mentions(checked.NativeRep().Expr()); err != nil {
		return nil, fmt.Errorf("cel %s: %w", quoted(text), err)
	}
	x.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(celCost))
	if err != nil {
		return nil, fmt.Errorf("cel %s: %w", quoted(text), err)
	}
	return x, nil
}

// mentions returns which claims the expression reads, and whether it reads groups: sessions keep no others. Each claim
// must be named: claims["department"], claims.department, or "department" in claims.
func mentions(root ast.Expr) (claims []string, groups bool, err error) {
	uses, named := 0, 0
	isClaims := func(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "claims" }
	literal := func(e ast.Expr) (string, bool) {
		if e.Kind() != ast.LiteralKind {
			return "", false
		}
		s, ok := e.AsLiteral().(types.String)
		return string(s), ok
	}
	name := func(name string) {
		named++
		if !slices.Contains(claims, name) {
			claims = append(claims, name)
		}
	}
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			groups = groups || e.AsIdent() == "groups"
			if isClaims(e) {
				uses++
			}
		case ast.SelectKind:
			if s := e.AsSelect(); isClaims(s.Operand()) {
				name(s.FieldName())
			}
		case ast.CallKind:
			call := e.AsCall()
			args := call.Args()
			if len(args) != 2 || call.FunctionName() != operators.Index && call.FunctionName() != operators.In {
				return
			}
			of, key := args[0], args[1]
			if call.FunctionName() == operators.In {
				of, key = key, of
			}
			if text, ok := literal(key); ok && isClaims(of) {
				name(text)
			}
		}
	}))
	if uses != named {
		return nil, false, errors.New(`name the claims that it reads, such as claims["department"]`)
	}
	return claims, groups, nil
}

// eval runs the expression. An error means that it has no value: a claim that is missing, or a cost beyond the limit.
func (x *expression) eval(q *Query) (bool, error) {
	v, _, err := x.program.Eval(&celRequest{query: *q}) // a copy, so that queries without an expression stay on the stack
	if err != nil {
		return false, fmt.Errorf("cel %s: %w", quoted(x.text), err)
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("cel %s: it yielded no bool", quoted(x.text))
	}
	return bool(b), nil
}

// celRequest gives an expression its variables.
type celRequest struct {
	query Query
	who   identity.Identity
	read  bool // who holds the query's
}

// Parent implements cel.Activation.
func (*celRequest) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation.
func (a *celRequest) ResolveName(name string) (any, bool) {
	q := &a.query
	if !a.read {
		a.who, a.read = q.Who.Identity(), true
	}
	switch name {
	case "known":
		return q.Who.Known(), true
	case "kind":
		return kindName(q.Who), true
	case "credential":
		return string(q.Who.Method()), true
	case "user":
		return q.Who.Name(), true
	case "provider":
		return a.who.Provider, true
	case "subject":
		return a.who.Subject, true
	case "roles":
		return slices.Concat(a.who.Roles, q.Granted), true
	case "groups":
		return orEmpty(a.who.Groups), true
	case "scopes":
		return orEmpty(q.Who.Credential().Scopes), true
	case "workspaces":
		return orEmpty(q.Who.Credential().Workspaces), true
	case "claims":
		return a.who.Claims, true
	case "facts":
		if q.Device == "" {
			return a.who.Facts, true
		}
		facts := map[string]string{identity.FactDevice: q.Device}
		for name, value := range a.who.Facts {
			if name != identity.FactDevice {
				facts[name] = value
			}
		}
		return facts, true
	case "tenant":
		return q.Tenant, true
	case "amr":
		return orEmpty(a.who.AMR), true
	case "acr":
		return a.who.ACR, true
	case "auth_time":
		return a.who.AuthTime, true
	case "now":
		return q.Now, true
	case "method":
		return q.Method, true
	case "host":
		return hostName(q.Host), true
	case "path": // servers that read it differently would be judged alike
		return q.Path.Decoded, q.Path.Plain()
	case "ip":
		return q.Client.String(), true
	}
	return nil, false
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// kindName says what was proven: person, service, guest, or "" for nobody.
func kindName(p identity.Proof) string {
	switch {
	case !p.Known():
		return ""
	case p.Kind() == identity.Person:
		return "person"
	}
	return string(p.Kind())
}
