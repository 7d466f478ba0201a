package testenv

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// nodeRED is the real application: unmodified, from npm, without a login of its own. It is reached through a door that
// counts, so that a story can prove that it was not.
type nodeRED struct {
	direct string // Node-RED's own address
	addr   string // the door's: what the gateway is told
	dir    string
	proc   *process
	opened atomic.Int64 // connections through the door
}

// startNodeRED starts Node-RED for a test, which ends it.
func startNodeRED(t testing.TB) *nodeRED {
	t.Helper()
	dir, err := os.MkdirTemp("", "ghred")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(dir, "settings.js")
	if err := copyFile("npm/settings.cjs", settings); err != nil {
		t.Fatal(err)
	}
	red := &nodeRED{direct: fmt.Sprintf("127.0.0.1:%d", port), dir: dir}
	script := filepath.Join(nodeModules(t), "node_modules", "node-red", "red.js")
	red.proc = startNode(t, dir, script, "--port", fmt.Sprint(port), "--settings", settings)
	t.Cleanup(func() { _ = red.proc.stop(syscall.SIGTERM, 10*time.Second) })
	eventually(t, 2*readyIn, "Node-RED answers", func() bool {
		_, err := red.get("/settings")
		return err == nil || red.proc.ended()
	})
	if red.proc.ended() {
		t.Fatalf("Node-RED ended:\n%s\n%s", tail(filepath.Join(dir, "stdout.txt"), 20), tail(filepath.Join(dir, "stderr.txt"), 20))
	}
	red.door(t)
	return red
}

// get asks Node-RED itself.
func (red *nodeRED) get(path string) ([]byte, error) {
	resp, err := http.Get("http://" + red.direct + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("Node-RED: %s: %s", resp.Status, body)
	}
	return body, err
}

// flows are what is deployed, as Node-RED itself tells it.
func (red *nodeRED) flows(t testing.TB) string {
	t.Helper()
	body, err := red.get("/flows")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// door passes connections on and counts them.
func (red *nodeRED) door(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	red.addr = l.Addr().String()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			red.opened.Add(1)
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", red.direct)
				if err != nil {
					return
				}
				defer out.Close()
				go func() {
					_, _ = io.Copy(out, in)
					_ = out.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
}

// redFlow is a flow of three nodes; the code of its function is what people write, and what a WAF takes for attacks.
func redFlow(code string) string {
	quoted, err := json.Marshal(code)
	if err != nil {
		panic(err) // a string
	}
	return `[{"id":"f1a0000000000000","type":"tab","label":"Story","disabled":false,"info":"","env":[]},
{"id":"a1b0000000000000","type":"inject","z":"f1a0000000000000","name":"go","props":[{"p":"payload"},{"p":"topic","vt":"str"}],"repeat":"","crontab":"","once":false,"onceDelay":0.1,"topic":"","payload":"hello from the story","payloadType":"str","x":150,"y":120,"wires":[["b2c0000000000000"]]},
{"id":"b2c0000000000000","type":"function","z":"f1a0000000000000","name":"shout","func":` + string(quoted) + `,"outputs":1,"timeout":0,"noerr":0,"initialize":"","finalize":"","libs":[],"x":320,"y":120,"wires":[["c3d0000000000000"]]},
{"id":"c3d0000000000000","type":"debug","z":"f1a0000000000000","name":"out","active":true,"tosidebar":true,"console":false,"tostatus":false,"complete":"payload","targetType":"msg","statusVal":"","statusType":"auto","x":500,"y":120,"wires":[]}]`
}

// TestNodeRED: the editor of an application that we did not write works behind the gateway once somebody is logged in,
// and nothing of it before.
func TestNodeRED(t *testing.T) {
	t.Parallel()
	red := startNodeRED(t)
	g := startGateway(t, config{Backend: red.addr, Site: "allow role staff\n\t\twaf {\n\t\t\tapp node-red\n\t\t}"})
	user := g.newUser(t, "alice", alicesPassword)
	red.closed(t, g)
	// The negative control: behind plain Caddy it is open to anybody.
	plain := startPlain(t, config{Backend: red.addr}).stranger(t)
	if a := plain.get(t, "/flows"); a.Status != http.StatusOK {
		t.Errorf("behind plain Caddy a stranger gets status %d: Node-RED has a login of its own?", a.Status)
	}

	p := startBrowser(t).person(t)
	p.open(t, g.origin()+"/")
	p.mustSay(t, "Sign in")
	p.fill(t, "#username", "alice", "#password", alicesPassword)
	p.click(t, "button[type=submit]")
	p.session(t, g)
	began := time.Now()

	// The editor is there, whole.
	p.until(t, "the palette and the workspace are there", `typeof RED == "object" && RED.nodes && !document.querySelector("#red-ui-loading-progress:not([style*='none'])") &&
		document.querySelectorAll("#red-ui-palette .red-ui-palette-node").length > 30 && document.querySelector("#red-ui-workspace-chart svg") != null && RED.workspaces.count() > 0`)
	t.Logf("the editor was there after %v", time.Since(began).Round(time.Millisecond))
	p.shot(t, "01-editor")
	socket := red.socket(t, p)

	// A flow is deployed, with the button, and runs; what it says comes over the websocket.
	p.deploy(t, redFlow("msg.payload = msg.payload.toUpperCase() + '!';\nreturn msg;"))
	p.inject(t)
	p.shot(t, "02-deployed")
	if !strings.Contains(red.flows(t), "toUpperCase") {
		t.Error("Node-RED itself does not know of the deployed flow")
	}
	if said := strings.Join(red.socket(t, p).Received, " "); !strings.Contains(said, "HELLO FROM THE STORY!") {
		t.Errorf("the debug message did not come over the websocket: %s", said)
	}
	red.editing(t, p)

	// The websocket stays: the one that was opened first, ten seconds and more.
	eventually(t, 30*time.Second, "ten seconds have passed", func() bool { return time.Since(socket.Opened) > 10*time.Second })
	p.inject(t)
	last := red.socket(t, p)
	if !last.Opened.Equal(socket.Opened) {
		t.Errorf("the websocket was opened anew at %v; the first one was of %v", last.Opened, socket.Opened)
	}
	// A large flow: more arguments than any parser of the WAF would look at.
	var many []string
	for i := range 120 {
		many = append(many, fmt.Sprintf(`{"id":"%016x","type":"inject","z":"f1a0000000000000","name":"","props":[{"p":"payload"},{"p":"topic","vt":"str"}],"repeat":"","crontab":"","once":false,"onceDelay":0.1,"topic":"","payload":"","payloadType":"date","x":%d,"y":%d,"wires":[["b2c0000000000000"]]}`, 0xdead0000+i, 150+i%8*130, 180+i/8*40))
	}
	p.deploy(t, "["+strings.Join(many, ",")+"]")
	p.shot(t, "03-large")
	if n := strings.Count(red.flows(t), `"inject"`); n != 121 {
		t.Errorf("Node-RED knows of %d inject nodes, want 121", n)
	}
	if e := p.complaints(); e != nil {
		t.Errorf("the console says %q", e)
	}
	red.unblocked(t, g)

	// What the exclusions do not name is inspected.
	for _, tt := range []struct{ name, method, path, contentType string }{
		{"another method", "PUT", "/flows", "application/json"},
		{"another address", "POST", "/flow", "application/json"},
		{"another address below", "POST", "/flows/x", "application/json"},
		{"another content type", "POST", "/flows", "text/plain"},
		{"the query", "POST", "/flows?x=%3Cscript%3Ealert(1)%3C/script%3E", "application/json"},
	} {
		body := `{"flows":` + redFlow("return require('child_process').exec('cat /etc/passwd')") + `}`
		a := user.must(t, request{Method: tt.method, Path: tt.path, Body: []byte(body), Header: http.Header{"Content-Type": {tt.contentType}}})
		if err := a.refusedAs("waf_blocked", 403); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// closed checks that a stranger reaches nothing of Node-RED, not even a connection.
func (red *nodeRED) closed(t *testing.T, g *gateway) {
	t.Helper()
	before, flows := red.opened.Load(), red.flows(t)
	s := g.stranger(t)
	if a := s.visit(t, "/"); a.Status != http.StatusFound || !strings.HasPrefix(a.Header.Get("Location"), "/.gatehouse/login") {
		t.Errorf("/: status %d, to %q", a.Status, a.Header.Get("Location"))
	}
	for _, path := range []string{"/", "/flows", "/settings", "/nodes", "/red/red.min.js", "/icons", "/locales/editor", "/library/local/flows/", "/comms", "/settings/user", "/diagnostics", "/context/global", "/vendor/monaco/dist/editor.js", "/favicon.ico"} {
		if err := s.get(t, path).refusedAs("login_required", 401); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, r := range []request{
		{Method: "POST", Path: "/flows", Body: []byte(`{"flows":` + redFlow("return msg;") + `}`)},
		{Method: "POST", Path: "/inject/a1b0000000000000", Body: []byte("{}")},
		{Method: "PUT", Path: "/nodes/node-red/inject", Body: []byte(`{"enabled":false}`)},
		{Method: "DELETE", Path: "/flow/f1a0000000000000"},
	} {
		r.Header = http.Header{"Content-Type": {"application/json"}, "Node-Red-Api-Version": {"v2"}}
		if err := s.must(t, r).refusedAs("login_required", 401); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.Path, err)
		}
	}
	if _, resp, err := s.openWebsocket("/comms", g.origin()); err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("/comms: %v, %v", resp, err)
	}
	if n := red.opened.Load() - before; n != 0 {
		t.Errorf("%d connections reached Node-RED before the login", n)
	}
	if after := red.flows(t); after != flows {
		t.Errorf("the flows have changed from %s to %s", flows, after)
	}
}

// socket is the editor's one websocket, which must be open.
func (red *nodeRED) socket(t *testing.T, p *tab) socket {
	t.Helper()
	var s socket
	eventually(t, pageIn, "the editor's websocket is open", func() bool {
		s, _ = p.socket("/comms")
		return s.Status != 0
	})
	if s.Status != http.StatusSwitchingProtocols || !s.Closed.IsZero() || s.Error != "" {
		t.Fatalf("the editor's websocket: status %d, closed %v, error %q", s.Status, s.Closed, s.Error)
	}
	return s
}

// deploy puts nodes into the editor and presses Deploy.
func (p *tab) deploy(t *testing.T, nodes string) {
	t.Helper()
	eval[bool](t, p, `RED.nodes.import(`+nodes+`, {generateIds: false, importMap: {}}), RED.nodes.dirty(true), RED.view.redraw(true),
		RED.workspaces.show("f1a0000000000000"), RED.sidebar.show("debug"), true`)
	p.press(t, "#red-ui-header-button-deploy", "the flow is deployed",
		`!RED.nodes.dirty() && [...document.querySelectorAll("[id$=-shade]")].every(e => getComputedStyle(e).display == "none")`)
}

// inject presses the button of the inject node and waits for what the debug node says of it.
func (p *tab) inject(t *testing.T) {
	t.Helper()
	const said = `document.querySelector(".red-ui-debug-content").innerText.split("HELLO FROM THE STORY!").length`
	before := eval[int](t, p, said)
	p.press(t, "#a1b0000000000000 .red-ui-flow-node-button-button", "the debug message arrives", fmt.Sprintf("%s > %d", said, before))
}

// press does what a person does with a button in a page that redraws itself: once more, when nothing has come of it.
func (p *tab) press(t *testing.T, selector, what, expression string) {
	t.Helper()
	eventually(t, pageIn, what, func() bool {
		p.do(t, "pressing "+selector, chromedp.Click(chromedp.CSS(selector)))
		return until(5*time.Second, what, func() bool { return eval[bool](t, p, expression) }) == nil
	})
}

// editing does what people do in the editor, in the editor's own words.
func (red *nodeRED) editing(t *testing.T, p *tab) {
	t.Helper()
	const code = `const os = require('os');\nmsg.payload = msg.payload + '!';\nnode.warn(process.env.HOME + os.hostname());\nmsg.topic = \"SELECT * FROM users WHERE name = 'x' OR 1=1 -- \";\nreturn msg;`
	post := func(url, body string) string {
		return fmt.Sprintf(`fetch(%q, {method: "POST", headers: {"Content-Type": "application/json; charset=utf-8", "Node-RED-API-Version": "v2"}, body: %s})`, url, body)
	}
	for _, tt := range []struct {
		name, do string
		status   float64
	}{
		{"settings", post("settings/user", `JSON.stringify(RED.settings.get("editor") || {editor: {view: {}}})`), 204},
		{"try an inject node out", post("inject/a1b0000000000000", `JSON.stringify({__user_inject_props__: [{p: "payload", v: "SELECT 1 FROM /etc/passwd; <b>", vt: "str"}]})`), 200},
		{"save a function", post("library/local/functions/lib/shout.js", `JSON.stringify({name: "shout", outputs: "1", initialize: "// require('fs')", finalize: "", text: "`+code+`"})`), 204},
		{"save a template", post("library/local/templates/lib/page.html", `JSON.stringify({name: "page", format: "html", text: "<script>alert(1)</scr" + "ipt>{{payload}}"})`), 204},
		{"export flows", post("library/local/flows/mine.json", `JSON.stringify([{id: "x", type: "function", func: "`+code+`"}])`), 204},
		{"examples", `fetch("library/examples/flows/")`, 200},
		{"the context", `fetch("context/global?_=1")`, 200},
		{"mute a debug node", `fetch("debug/c3d0000000000000/disable", {method: "POST"})`, 201},
		{"unmute it", `fetch("debug/c3d0000000000000/enable", {method: "POST"})`, 200},
		{"credentials", `fetch("credentials/mqtt-broker/abc")`, 200},
		{"diagnostics", `fetch("diagnostics")`, 200},
		{"disable a node", `fetch("nodes/node-red/watch", {method: "PUT", headers: {"Content-Type": "application/json; charset=utf-8"}, body: '{"enabled":false}'})`, 200},
		{"a language", `fetch("locales/editor?lng=de")`, 200},
		{"a code editor", `fetch("vendor/monaco/dist/editor.js")`, 200},
		{"a help text", `fetch("nodes/node-red/function")`, 200},
	} {
		got := eval[map[string]any](t, p, `(`+tt.do+`).then(async r => ({status: r.status, body: (await r.text()).slice(0, 300)}))`)
		if got["status"] != tt.status {
			t.Errorf("%s: status %v, want %v\n%v", tt.name, got["status"], tt.status, got["body"])
		}
	}
	// Node-RED says that it has saved before it has.
	eventually(t, pageIn, "Node-RED has what was saved", func() bool {
		_, err := red.get("/library/local/functions/lib/shout.js")
		return err == nil
	})
	if got := eval[string](t, p, `fetch("library/local/functions/lib/shout.js").then(r => r.text())`); !strings.Contains(got, "SELECT * FROM users") {
		t.Errorf("the function was read back as %q", got)
	}
}

// unblocked checks that the WAF has let all of it pass.
func (red *nodeRED) unblocked(t *testing.T, g *gateway) {
	t.Helper()
	lines, err := g.lines("waf_blocked")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		t.Errorf("the WAF blocked %v %v by the rules %v", line["method"], line["path"], line["waf_rules"])
	}
}
