package prove

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"

	"gatehouse.internal/modules/waf/obligation"
	"gatehouse.internal/modules/waf/seclang"
	"gatehouse.internal/rules"
)

// The product's rules as modules/waf assembles them, without its Go code: it will build on this package.

const (
	crsDir  = "@owasp_crs"
	oursDir = "gatehouse"
)

// ruleFiles is the file system that rules are compiled from.
type ruleFiles struct{}

func (ruleFiles) ReadFile(name string) ([]byte, error) {
	head, rest, _ := strings.Cut(name, "/")
	switch head {
	case crsDir:
		return fs.ReadFile(coreruleset.FS, name)
	case oursDir:
		return rules.FS.ReadFile(rest)
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
}

func (ruleFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
}

// distinct gives every value a name of its own, without which Coraza's cache hands rules other values' transformations.
type distinct struct{}

func (distinct) Evaluate(tx plugintypes.TransactionState, _ string) bool {
	v := tx.Variables()
	for _, m := range []collection.Map{v.ArgsGet(), v.ArgsPost(), v.ArgsPath(), v.RequestCookies(), v.RequestHeaders(),
		v.Files(), v.FilesNames(), v.RequestXML(), v.MultipartPartHeaders(), v.ResponseHeaders()} {
		if c, ok := m.(interface {
			Len() int
			TotalValues() int
		}); ok && c.Len() == c.TotalValues() && len(m.Get("")) == 0 {
			continue
		}
		all := m.FindAll()
		for _, d := range all {
			m.Remove(d.Key())
		}
		for _, d := range all {
			name := strings.Clone(d.Key())
			if name == "" {
				name = strings.Clone("-")[:0]
			}
			m.Add(name, d.Value())
		}
	}
	return false
}

func init() {
	plugins.RegisterOperator("proveDistinct", func(plugintypes.OperatorOptions) (plugintypes.Operator, error) {
		return distinct{}, nil
	})
}

const distinctRules = `SecRule REQUEST_METHOD "@proveDistinct" "id:90050,phase:1,pass,nolog,noauditlog,t:none"
SecRule REQUEST_METHOD "@proveDistinct" "id:90051,phase:2,pass,nolog,noauditlog,t:none"
SecRule REQUEST_METHOD "@proveDistinct" "id:90052,phase:3,pass,nolog,noauditlog,t:none"
SecRule REQUEST_METHOD "@proveDistinct" "id:90053,phase:4,pass,nolog,noauditlog,t:none"`

const lastWord = `SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyLimit 1048577
SecRequestBodyInMemoryLimit 1048577
SecRequestBodyLimitAction Reject
SecResponseBodyAccess On
SecResponseBodyLimit 1048577
SecResponseBodyLimitAction ProcessPartial
SecAction "id:900999,phase:1,pass,t:none,nolog,ctl:forceResponseBodyVariable=on"
SecAuditEngine Off
SecUploadKeepFiles Off
SecArgumentsLimit 2000`

// sources lists what Coraza is given, in order; extra comes after everything else.
func sources(paranoia int, extra string) []seclang.Source {
	list := []seclang.Source{{File: oursDir + "/coraza.conf"},
		{Text: fmt.Sprintf(`SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d,setvar:tx.detection_paranoia_level=%[1]d"`, paranoia)},
		{File: oursDir + "/crs-setup.conf"}}
	folder := func(name string) {
		entries, err := rules.FS.ReadDir(name)
		if err != nil {
			panic(err)
		}
		for _, e := range entries {
			if path.Ext(e.Name()) == ".conf" {
				list = append(list, seclang.Source{File: path.Join(oursDir, name, e.Name())})
			}
		}
	}
	folder("before")
	folder("virtual-patches")
	crs, err := fs.Glob(coreruleset.FS, crsDir+"/*.conf")
	if err != nil {
		panic(err)
	}
	for _, name := range crs {
		list = append(list, seclang.Source{File: name})
	}
	folder("after")
	return append(list, seclang.Source{Text: lastWord}, seclang.Source{Text: extra})
}

// engines are the parsing engine, the full rules and the obligations of one assembly.
type engines struct {
	parse, judge coraza.WAF
	set          *obligation.Set
	program      *seclang.Program

	plainOnce sync.Once
	plainly   plain // set by plainOnce

	pointedOnce sync.Once
	pointed     []*exchange // set by pointedOnce, as are verdicts
	verdicts    []verdict
}

var (
	built   = map[string]*engines{}
	builtMu sync.Mutex
)

// build returns the engines for a paranoia level, with more directives.
func build(t testing.TB, paranoia int, extra string) *engines {
	t.Helper()
	builtMu.Lock()
	defer builtMu.Unlock()
	key := fmt.Sprint(paranoia, extra)
	if e := built[key]; e != nil {
		return e
	}
	e, err := assemble(sources(paranoia, extra))
	if err != nil {
		t.Fatal(err)
	}
	built[key] = e
	return e
}

func assemble(list []seclang.Source) (*engines, error) {
	program, err := seclang.Parse(ruleFiles{}, list)
	if err != nil {
		return nil, err
	}
	set, err := obligation.Read(program)
	if err != nil {
		return nil, err
	}
	full := coraza.NewWAFConfig().WithRootFS(ruleFiles{}).WithDirectives(distinctRules)
	for _, s := range list {
		if s.File != "" {
			full = full.WithDirectivesFromFile(s.File)
		} else if s.Text != "" {
			full = full.WithDirectives(s.Text)
		}
	}
	judge, err := coraza.NewWAF(full)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for _, d := range program.Settings {
		if strings.HasPrefix(d.Name, "sec") && d.Name != "seccomponentsignature" {
			fmt.Fprintf(&text, "%s %s\n", d.Name, d.Value)
		}
	}
	small := coraza.NewWAFConfig().WithRootFS(ruleFiles{}).WithDirectives(distinctRules).WithDirectives(text.String())
	for _, r := range set.Parsing {
		small = small.WithDirectives(r.Raw)
	}
	parse, err := coraza.NewWAF(small)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text.String())
	}
	return &engines{parse: parse, judge: judge, set: set, program: program}, nil
}

func (e *engines) prover(t testing.TB, o Options) *Prover {
	t.Helper()
	o.Program = e.program
	p, err := New(e.set, ruleFiles{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// exchange is a request and its answer.
type exchange struct {
	name         string
	method, uri  string
	headers      [][2]string
	body         string
	status       int
	replyHeaders [][2]string
	reply        string
}

// give tells a proof of the headers, as drive tells Coraza; not of every exchange, so that both ways are taken.
func (x *exchange) give(pf *Proof) {
	if len(x.uri)%3 == 0 {
		return
	}
	for _, h := range x.headers {
		pf.Give(variables.RequestHeaders, h[0], h[1])
	}
	for _, h := range x.replyHeaders {
		pf.Give(variables.ResponseHeaders, h[0], h[1])
	}
}

// drive feeds the exchange to a transaction; before is called before each phase's rules have run in the judge, after
// once they have, with the phase. It stops at an interruption or when after returns false.
func (x *exchange) drive(tx types.Transaction, before func(int), after func(int) bool) (it *types.Interruption) {
	if before == nil {
		before = func(int) {}
	}
	tx.ProcessConnection("203.0.113.7", 51234, "10.0.0.5", 443)
	tx.ProcessURI(x.uri, x.method, "HTTP/1.1")
	for _, h := range x.headers {
		tx.AddRequestHeader(h[0], h[1])
		if h[0] == "Host" {
			tx.SetServerName(h[1])
		}
	}
	before(1)
	if it = tx.ProcessRequestHeaders(); it != nil || !after(1) {
		return it
	}
	if x.body != "" && tx.IsRequestBodyAccessible() {
		if it, _, _ = tx.WriteRequestBody([]byte(x.body)); it != nil {
			return it
		}
	}
	before(2)
	if it, _ = tx.ProcessRequestBody(); it != nil || !after(2) {
		return it
	}
	for _, h := range x.replyHeaders {
		tx.AddResponseHeader(h[0], h[1])
	}
	before(3)
	if it = tx.ProcessResponseHeaders(x.status, "HTTP/1.1"); it != nil || !after(3) {
		return it
	}
	if x.reply != "" && tx.IsResponseBodyAccessible() && tx.IsResponseBodyProcessable() {
		if it, _, _ = tx.WriteResponseBody([]byte(x.reply)); it != nil {
			return it
		}
	}
	before(4)
	if it, _ = tx.ProcessResponseBody(); it != nil {
		return it
	}
	after(4)
	return nil
}
