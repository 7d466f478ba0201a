package modules_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "gatehouse.internal/"

// foundations lists the L0 packages in order: each may import only those before it.
var foundations = []string{
	"secret", "token", "clientip", "reqpath", "prefixset", "cookie", "form", "identity", "verdict", "event", "page", "egress", "roots", "mail", "backoff", "wholefile", "chain", "scope", "recent", "running", "flood",
	"retain", "build", "store", "store/storetest", "keyring", "standing", "ledger", "pseudonym", "service", "roster", "owner", "support", "containment", "gatetest",
}

// rooms lists the L2 packages.
var rooms = []string{"admit", "clientcert", "waf", "authn", "apikey", "idp/oidc", "idp/local", "idp/breakglass", "mfa", "authz", "ban", "ratelimit", "verify", "contain", "forward", "audit", "alert", "link", "siem", "operators", "privacy", "backup", "stores/valkey", "certstore", "evidence"}

// roomFiles are the files of a room that may import Caddy; the rest is its engine.
var roomFiles = []string{"module.go", "caddyfile.go", "command.go", "admin.go", "metrics.go"}

// doors are further files of a room that may import Caddy, and why.
var doors = map[string]string{
	"admit/writer.go":          "wraps Caddy's response writer",
	"admit/finish.go":          "reads Caddy's replacer and writes its logger",
	"admit/explain.go":         "tells what Caddy's errors mean",
	"admit/outside.go":         "handlers for what never reaches a site",
	"waf/canary.go":            "sends a request through the WAF's own handler",
	"waf/writer.go":            "wraps Caddy's response writer, to hold answers back until they are judged",
	"authn/portal.go":          "the portal's handler",
	"authn/outcome.go":         "the portal's other half",
	"waf/attend.go":            "what a site's WAF does besides answering, from the house's start on",
	"waf/raise.go":             "follows the house's containment switches from its start on",
	"waf/shadowing.go":         "the shadow's door: configuration, log and metric",
	"authn/house.go":           "names the house's types for the engine",
	"authn/account.go":         "the portal's account page",
	"authn/logout.go":          "the portal's way out",
	"authn/backchannel.go":     "the portal's door for providers",
	"authn/kept.go":            "the portal's keeping of forms",
	"authn/remaining.go":       "the portal's answer to pages that ask how long",
	"authn/standing.go":        "the portal's judgement of who may log in at all",
	"audit/tenant.go":          "what the endpoint answers a tenant's auditor, and the command that asks it",
	"audit/incidentcommand.go": "the command that has the running gateway seal an export",
	"apikey/device.go":         "the endpoints at which programs ask for keys",
	"apikey/devicepage.go":     "the pages on which people pair programs, and have their keys",
	"apikey/tokens.go":         "the endpoint at which keys are exchanged for access tokens, and where these come in",
	"apikey/house.go":          "names the house's type for the engine",
	"authn/accept.go":          "asks the guests that know other credentials",
	"link/house.go":            "names the house's type for the engine",
	"link/page.go":             "the page on which links are opened",
	"idp/local/login.go":       "the provider's login form",
	"idp/local/firstuser.go":   "the provider's page for the first user",
	"idp/local/newpassword.go": "the provider's pages for passwords",
	"idp/local/directory.go":   "tells the house who has an account",
	"idp/local/register.go":    "the provider's page for who asks for an account",
	"idp/oidc/reach.go":        "tells the house whom the provider speaks to",
	"idp/oidc/stepup.go":       "what a login asks of the provider",
	"authn/factor.go":          "the portal's door to the room of second factors",
	"authz/need.go":            "says to the room of second factors what a policy asks for",
	"authz/stepup.go":          "the words for that",
	"mfa/judge.go":             "judges requests for authorize",
	"mfa/visit.go":             "the room's pages",
	"mfa/enrol.go":             "the room's pages on which factors are added",
	"mfa/verify.go":            "the room's page on which they are proven",
	"mfa/typed.go":             "answers the house for codes that are typed elsewhere",

	"verify/handler.go":       "judges requests in the row of handlers",
	"verify/page.go":          "the room's pages",
	"authn/directory.go":      "tells the house who is logged in",
	"apikey/directory.go":     "tells the house which programs have keys",
	"clientcert/directory.go": "tells the house whom certificates are bound to",
	"authz/accessadmin.go":    "the access review at the administration endpoint",
	"authz/accesscommand.go":  "the access review on the command line",
	"authz/supportadmin.go":   "grants for a while at the administration endpoint",
	"authz/supportcommand.go": "grants for a while on the command line",
	"authz/overdue.go":        "tells when access has not been reviewed for too long",
	"authz/offline.go":        "reads a configuration that nobody has started",

	"ban/handlers.go": "the room's two handlers",

	"privacy/person.go":        "has the house's rooms tell of a person, and forget them",
	"privacy/tenant.go":        "has the house's rooms forget a tenant, and its people",
	"privacy/personcommand.go": "that on the command line",
	"privacy/prove.go":         "has people prove who they are, of whom the house knows",

	"siem/leftadmin.go": "what is left of sinks, told at start and at the administration endpoint",

	"evidence/tlscommand.go": "grades listeners on the command line",

	"admit/contact.go": "serves security.txt, and tells before it expires",

	"authn/flow.go": "knows the portal's prefix, which the house owns",
}

// engines names what a room may import besides the standard library, Caddy, x/ and lower layers.
var engines = map[string][]string{
	"waf":           {"github.com/corazawaf/coraza/", "github.com/corazawaf/coraza-coreruleset/", module + "rules"},
	"idp/oidc":      {"github.com/coreos/go-oidc/", "github.com/go-jose/go-jose/"},
	"idp/local":     nil,
	"authz":         {"cel.dev/cel-go/"},
	"siem":          {"github.com/DeRuina/timberjack", "go.opentelemetry.io/proto/otlp/", "google.golang.org/protobuf/"},
	"verify":        {"github.com/oschwald/maxminddb-golang/"},
	"privacy":       {"filippo.io/age"},
	"backup":        {"filippo.io/age"},
	"stores/valkey": {"github.com/valkey-io/valkey-go"},
	"certstore":     {"github.com/caddyserver/certmagic"},
	"mfa":           {"github.com/go-webauthn/webauthn/", "github.com/boombuler/barcode/"},
}

type file struct {
	dir, name string // dir relative to the repository, with slashes
	ast       *ast.File
	fset      *token.FileSet
}

// files parses every non-test Go file below the given top-level folders.
func files(t *testing.T, tops ...string) []file {
	t.Helper()
	var all []file
	for _, top := range tops {
		err := filepath.WalkDir(filepath.Join("..", top), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if err == nil && (d.Name() == "testdata" || d.Name() == "node_modules") {
					return filepath.SkipDir
				}
				return err
			}
			if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
				return nil
			}
			fset := token.NewFileSet()
			parsed, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel("..", filepath.Dir(p))
			all = append(all, file{filepath.ToSlash(rel), filepath.Base(p), parsed, fset})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no Go files below %v: the test looks in the wrong place", tops)
	}
	return all
}

func (f file) imports() (paths []string) {
	for _, i := range f.ast.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

func isCaddy(p string) bool {
	return strings.HasPrefix(p, "github.com/caddyserver/caddy/") || p == module+"modules/gatehouse"
}

func TestLayers(t *testing.T) {
	for _, f := range files(t, "modules", "cmd", "rules", "testenv") {
		for _, imp := range f.imports() {
			if why := forbidden(f, imp); why != "" {
				t.Errorf("%s/%s imports %s: %s", f.dir, f.name, imp, why)
			}
		}
	}
}

// forbidden says why the file may not import the package, or "".
func forbidden(f file, imp string) string {
	inner, isOurs := strings.CutPrefix(imp, module)
	switch {
	case f.dir == "rules":
		if isOurs || isCaddy(imp) {
			return "rules are data: they know nobody"
		}
	case strings.HasPrefix(f.dir, "testenv"):
		if isOurs && !strings.HasPrefix(inner, "testenv") {
			return "testenv is a stranger to the code: it talks HTTP and CLI to the binary"
		}
	case strings.HasPrefix(f.dir, "cmd/"):
		if isOurs && inner != "modules/standard" {
			return "cmd sees the front door only"
		}
	case strings.HasPrefix(f.dir, "modules/internal/"):
		return forbiddenInFoundation(strings.TrimPrefix(f.dir, "modules/internal/"), imp)
	case f.dir == "modules/gatehouse":
		if isOurs && !strings.HasPrefix(inner, "modules/internal/") {
			return "the house does not know its rooms"
		}
	case f.dir == "modules/standard", f.dir == "modules":
	case strings.HasPrefix(f.dir, "modules/"):
		return forbiddenInRoom(strings.TrimPrefix(f.dir, "modules/"), f.name, imp)
	default:
		return "a package in an unknown place: add it to the floor plan and to this test"
	}
	return ""
}

func forbiddenInFoundation(pkg, imp string) string {
	at := slices.Index(foundations, pkg)
	if at < 0 {
		return "this foundation is not in the ordered list: add it where it belongs"
	}
	if isCaddy(imp) && pkg != "gatetest" {
		return "foundations know no Caddy, so that they can be tested and fuzzed without a server"
	}
	if inner, ok := strings.CutPrefix(imp, module+"modules/internal/"); ok {
		if other := slices.Index(foundations, inner); other < 0 || other >= at {
			return "a foundation may import only those listed before it"
		}
		return ""
	}
	if strings.HasPrefix(imp, module) && pkg != "gatetest" {
		return "a foundation imports nothing above it"
	}
	return ""
}

func forbiddenInRoom(dir, name, imp string) string {
	room := roomOf(dir)
	if room == "" {
		return "a room that is not in the list of rooms"
	}
	if isCaddy(imp) && !slices.Contains(roomFiles, name) && doors[dir+"/"+name] == "" {
		return "engine files are free of Caddy; it belongs into module.go or caddyfile.go"
	}
	inner, isOurs := strings.CutPrefix(imp, module)
	if !isOurs {
		if owns(room, imp) {
			return ""
		}
		for owner, libs := range engines {
			for _, lib := range libs {
				if strings.HasPrefix(imp, lib) {
					return "this library is " + owner + "'s engine; whose it is says the table"
				}
			}
		}
		return ""
	}
	if slices.Contains(engines[room], imp) || inner == "modules/gatehouse" || strings.HasPrefix(inner, "modules/internal/") {
		return ""
	}
	if roomOf(strings.TrimPrefix(inner, "modules/")) == room {
		return ""
	}
	return "rooms never import each other: share a value on Request, an event, a store keyspace or an interface of the house"
}

func owns(room, imp string) bool {
	return slices.ContainsFunc(engines[room], func(lib string) bool { return strings.HasPrefix(imp, lib) })
}

func roomOf(dir string) string {
	for _, r := range rooms {
		if dir == r || strings.HasPrefix(dir, r+"/") {
			return r
		}
	}
	return ""
}

// cardHeadings are the six parts of a room card, in order.
var cardHeadings = []string{"# What", "# Place", "# Reads / Writes", "# Invariants", "# Fails", "# Cost"}

func TestRoomCards(t *testing.T) {
	for _, dir := range append([]string{"gatehouse", "standard"}, rooms...) {
		src, err := os.ReadFile(filepath.Join(filepath.FromSlash(dir), "doc.go"))
		if err != nil {
			t.Errorf("room %s has no card: %v", dir, err)
			continue
		}
		at := 0
		for _, heading := range cardHeadings {
			i := strings.Index(string(src[at:]), "// "+heading+"\n")
			if i < 0 {
				t.Errorf("%s/doc.go: heading %q is missing or out of order", dir, heading)
				break
			}
			at += i + len(heading)
		}
	}
}

func TestEveryPackageHasOnePackageDoc(t *testing.T) {
	docs, seen := map[string][]string{}, map[string]bool{}
	for _, f := range files(t, "modules", "rules", "cmd") {
		seen[f.dir] = true
		if f.ast.Doc != nil {
			docs[f.dir] = append(docs[f.dir], f.name)
		}
	}
	for dir := range seen {
		if len(docs[dir]) != 1 {
			t.Errorf("%s: package documentation in %v, want it in exactly one file", dir, docs[dir])
		}
	}
}

// TestFileSizes keeps files readable; the few that may be longer say why.
func TestFileSizes(t *testing.T) {
	longer := map[string]string{}
	const limit = 420
	for _, f := range files(t, "modules", "rules", "cmd") {
		lines := f.fset.File(f.ast.Pos()).LineCount()
		if name := f.dir + "/" + f.name; lines > limit && longer[name] == "" {
			t.Errorf("%s has %d lines, more than %d: split it by concern, or say here why not", name, lines, limit)
		}
	}
}

// minters says who may call the constructors of capabilities. Whoever else could would let requests through.
var minters = map[string]struct{ callers []string }{
	"identity.Prove":       {[]string{"modules/authn"}},
	"identity.Suppose":     {[]string{"modules/authz"}},
	"identity.ProveBy":     {[]string{"modules/authn"}},
	"identity.ProveFactor": {[]string{"modules/authn"}},
	"verdict.Mint":         {[]string{"modules/authz"}},
	"gatehouse.Attach":     {[]string{"modules/admit"}},
}

func TestWhoMintsCapabilities(t *testing.T) {
	called := map[string]bool{}
	for _, f := range files(t, "modules", "cmd") {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			name := pkg.Name + "." + sel.Sel.Name
			rule, ok := minters[name]
			if !ok {
				return true
			}
			called[name] = true
			if !slices.Contains(rule.callers, f.dir) {
				t.Errorf("%s: %s may be used by %v only", f.fset.Position(n.Pos()), name, rule.callers)
			}
			return true
		})
	}
	for name := range minters {
		if !called[name] {
			t.Errorf("nobody calls %s: the test no longer guards anything", name)
		}
	}
}

// writers says which room may write which field of gatehouse.Request; see the room cards.
var writers = map[string]string{
	"ID": "modules/admit", "Run": "modules/admit", "ClientIP": "modules/admit", "Path": "modules/admit", "Site": "modules/admit",
	"Start": "modules/admit", "Navigation": "modules/admit", "Connection": "modules/admit", "Certificate": "modules/clientcert", "WAF": "modules/waf", "Inspected": "modules/waf",
	"Identity": "modules/authn", "Challenger": "modules/authn", "Device": "modules/verify", "Grant": "modules/authz", "Granted": "modules/authz", "Audited": "modules/authz",
}

func TestOneWriterPerField(t *testing.T) {
	written := map[string]bool{}
	for _, f := range files(t, "modules") {
		if f.dir == "modules/gatehouse" || strings.HasPrefix(f.dir, "modules/internal/") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, lhs := range n.Lhs {
					if sel, ok := lhs.(*ast.SelectorExpr); ok && isRequest(sel.X) {
						checkWriter(t, f, sel.Sel, written)
					}
				}
			case *ast.CompositeLit:
				if typ, ok := n.Type.(*ast.SelectorExpr); ok && fmt.Sprint(typ.X) == "gatehouse" && typ.Sel.Name == "Request" {
					for _, e := range n.Elts {
						if kv, ok := e.(*ast.KeyValueExpr); ok {
							checkWriter(t, f, kv.Key.(*ast.Ident), written)
						}
					}
				}
			}
			return true
		})
	}
	for field := range writers {
		if !written[field] {
			t.Errorf("nobody writes Request.%s: the field is dead or the test blind", field)
		}
	}
}

// isRequest recognises the house's Request by the name every room gives it: req. TestRequestIsCalledReq keeps that.
func isRequest(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == "req"
}

func checkWriter(t *testing.T, f file, field *ast.Ident, written map[string]bool) {
	t.Helper()
	owner, ok := writers[field.Name]
	if !ok {
		return
	}
	written[field.Name] = true
	if f.dir != owner && path.Dir(f.dir) != owner {
		t.Errorf("%s: Request.%s is written by %s only", f.fset.Position(field.Pos()), field.Name, owner)
	}
}

// TestRequestIsCalledReq makes sure that TestOneWriterPerField sees every write: parameters and results of
// gatehouse.Of and FromContext are called req.
func TestRequestIsCalledReq(t *testing.T) {
	for _, f := range files(t, "modules") {
		if f.dir == "modules/gatehouse" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				star, ok := n.Type.(*ast.StarExpr)
				if !ok {
					return true
				}
				sel, ok := star.X.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != "Request" || fmt.Sprint(sel.X) != "gatehouse" {
					return true
				}
				for _, name := range n.Names {
					if name.Name != "req" && name.Name != "_" {
						t.Errorf("%s: call a *gatehouse.Request req, so that its writers can be checked", f.fset.Position(n.Pos()))
					}
				}
			case *ast.AssignStmt:
				call, ok := n.Rhs[0].(*ast.CallExpr)
				if !ok {
					return true
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || fmt.Sprint(sel.X) != "gatehouse" || (sel.Sel.Name != "Of" && sel.Sel.Name != "FromContext") {
					return true
				}
				if id, ok := n.Lhs[0].(*ast.Ident); !ok || id.Name != "req" {
					t.Errorf("%s: call a *gatehouse.Request req, so that its writers can be checked", f.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

// TestTopLevel keeps the top level of the repository as it is.
func TestTopLevel(t *testing.T) {
	allowed := []string{"cmd", "modules", "rules", "caddyfiles", "testenv", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "bin", "dist"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s stands at the top level, where only %v may", e.Name(), allowed)
		}
	}
}

// dialers are the files that speak to others without asking the policy of whom the house speaks to, and why they may.
var dialers = map[string]string{
	"modules/gatehouse/adminclient.go":      "a command asks the running gateway",
	"modules/evidence/scan.go":              "a command looks at listeners",
	"modules/evidence/probe_http.go":        "a command looks at listeners",
	"modules/internal/gatetest/gatetest.go": "the gateway inside a test",
}

// TestWhoDials keeps decisions/0028: what dials has to do with internal/egress.
func TestWhoDials(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range files(t, "modules", "cmd") {
		name := f.dir + "/" + f.name
		asks := f.dir == "modules/internal/egress" || slices.Contains(f.imports(), module+"modules/internal/egress")
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.CompositeLit); ok && selected(lit.Type) == "http.Transport" && !slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
				kv, ok := e.(*ast.KeyValueExpr)
				return ok && fmt.Sprint(kv.Key) == "DialContext"
			}) {
				t.Errorf("%s: give the transport `DialContext: egress.DialContext`", f.fset.Position(lit.Pos()))
			}
			x, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			switch what := selected(x); what {
			case "net.Dial", "net.DialTimeout", "net.DialTCP", "net.DialUDP", "net.DialUnix", "net.Dialer", "tls.Dial", "tls.DialWithDialer", "tls.Dialer", "net.Resolver", "http.Transport":
				seen[name] = true
				if !asks && dialers[name] == "" {
					t.Errorf("%s: %s speaks to others: use internal/egress", f.fset.Position(n.Pos()), what)
				}
			}
			return true
		})
	}
	for name := range dialers {
		if !seen[name] {
			t.Errorf("%s dials nobody: the list is wrong, or the test blind", name)
		}
	}
}

// selected is "pkg.Name" of such an expression, else "".
func selected(x ast.Expr) string {
	sel, ok := x.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if id, ok := sel.X.(*ast.Ident); ok {
		return id.Name + "." + sel.Sel.Name
	}
	return ""
}
