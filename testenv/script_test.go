package testenv

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestStories runs scripts/*.txtar; README.md lists the commands they have besides testscript's own.
func TestStories(t *testing.T) {
	bin, app := gatehouseBin(t), backendBin(t)
	testscript.Run(t, testscript.Params{
		Dir: "scripts",
		Setup: func(env *testscript.Env) error {
			// The gateway's environment is the script's, so that exec and the Caddyfile know the same names.
			g, err := newGateway(bin, config{})
			if err != nil {
				return err
			}
			w := &world{app: app, gw: g, env: env, clients: map[string]*client{}}
			env.Values[worldKey{}] = w
			env.Defer(func() { w.end(env.T()) })
			g.env["PATH"] = filepath.Dir(bin) + string(os.PathListSeparator) + g.env["PATH"]
			for name, value := range g.env {
				env.Setenv(name, value)
			}
			env.Setenv("ORIGIN", g.origin())
			env.Setenv("SITE", appHost+":"+g.env["PORT"])
			if file := filepath.Join(env.WorkDir, "Caddyfile"); fileExists(file) {
				g.conf = file
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"backend":        plain(cmdBackend),
			"backend-saw":    plain(cmdBackendSaw),
			"backend-header": cmdBackendHeader,
			"gateway":        cmdGateway,
			"get":            plain(cmdGet),
			"visit":          plain(cmdVisit),
			"post":           plain(cmdPost),
			"raw":            plain(cmdRaw),
			"status":         plain(cmdStatus),
			"header":         cmdHeader,
			"json":           cmdJSON,
			"refused":        plain(cmdRefused),
			"log":            cmdLog,
			"setup":          cmdSetup,
			"login":          cmdLogin,
			"logout":         plain(cmdLogout),
			"session":        cmdSession,
		},
	})
}

type worldKey struct{}

// world is what one story has around it.
type world struct {
	app     string
	env     *testscript.Env
	gw      *gateway
	be      *backend
	clients map[string]*client
	last    *answer
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func (w *world) end(t testscript.T) {
	for _, c := range w.clients {
		c.close()
	}
	err := w.gw.close()
	if w.be != nil {
		w.be.close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// client is the visitor of this name; each has its own cookies.
func (w *world) client(name string) *client {
	c := w.clients[name]
	if c == nil {
		c = w.gw.newClient()
		w.clients[name] = c
	}
	return c
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// plain is a command that may not be negated.
func plain(cmd func(*testscript.TestScript, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command has no !")
		}
		cmd(ts, args)
	}
}

// options reads the flags of a command.
func options(ts *testscript.TestScript, args []string, usage string, define func(*flag.FlagSet)) []string {
	fs := flag.NewFlagSet(usage, flag.ContinueOnError)
	fs.SetOutput(ts.Stderr())
	define(fs)
	if err := fs.Parse(args); err != nil {
		ts.Fatalf("usage: %s", usage)
	}
	return fs.Args()
}

func need(ts *testscript.TestScript, args []string, usage string, counts ...int) {
	if !slices.Contains(counts, len(args)) {
		ts.Fatalf("usage: %s", usage)
	}
}

func pattern(ts *testscript.TestScript, s string) *regexp.Regexp {
	re, err := regexp.Compile(`(?s)` + s)
	ts.Check(err)
	return re
}

// backend start|stop|forget
func cmdBackend(ts *testscript.TestScript, args []string) {
	const usage = "backend start|stop|forget"
	need(ts, args, usage, 1)
	w := worldOf(ts)
	switch args[0] {
	case "start":
		be, err := newBackend(w.app)
		ts.Check(err)
		w.be = be
		w.gw.env["BACKEND"] = be.Listen
		ts.Setenv("BACKEND", be.Listen)
	case "stop":
		w.be.close()
	case "forget":
		ts.Check(w.be.forget())
	default:
		ts.Fatalf("usage: %s", usage)
	}
}

// backend-saw N [pattern of METHOD URI]
func cmdBackendSaw(ts *testscript.TestScript, args []string) {
	const usage = "backend-saw N [pattern]"
	need(ts, args, usage, 1, 2)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	seen, err := worldOf(ts).be.seen()
	ts.Check(err)
	n, all := 0, []string{}
	for _, r := range seen.Requests {
		line := r.Method + " " + r.URI
		all = append(all, line)
		if len(args) == 1 || pattern(ts, args[1]).MatchString(line) {
			n++
		}
	}
	if n != want {
		ts.Fatalf("the application saw %d such requests, want %d: %q", n, want, all)
	}
}

// backend-header NAME [pattern]: of the last request that the application saw
func cmdBackendHeader(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, "[!] backend-header NAME [pattern]", 1, 2)
	seen, err := worldOf(ts).be.seen()
	ts.Check(err)
	if len(seen.Requests) == 0 {
		ts.Fatalf("the application saw nothing")
	}
	last := seen.Requests[len(seen.Requests)-1]
	matchHeader(ts, neg, last.Headers, args)
}

func matchHeader(ts *testscript.TestScript, neg bool, h http.Header, args []string) {
	values, ok := h[http.CanonicalHeaderKey(args[0])]
	if len(args) == 2 {
		ok = ok && pattern(ts, args[1]).MatchString(strings.Join(values, "\n"))
	}
	if ok == neg {
		ts.Fatalf("header %s is %q (all: %v)", args[0], values, headerLines(h))
	}
}

func headerLines(h http.Header) []string {
	var lines []string
	for name, values := range h {
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
	}
	sort.Strings(lines)
	return lines
}

// gateway start [-plain] | stop | kill9 | reload [FILE]
func cmdGateway(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "[!] gateway start [-plain] [-roles 'a b'] [-site LINES] | stop | kill9 | reload [FILE]"
	if len(args) == 0 {
		ts.Fatalf("usage: %s", usage)
	}
	w := worldOf(ts)
	var err error
	switch args[0] {
	case "start":
		var c config
		options(ts, args[1:], usage, func(fs *flag.FlagSet) {
			fs.BoolVar(&c.Plain, "plain", false, "plain Caddy")
			fs.StringVar(&c.Roles, "roles", "", "roles of the first user")
			fs.StringVar(&c.Site, "site", "", "lines of the site's gatehouse block")
		})
		if c.Roles != "" {
			w.gw.env["ROLES"] = c.Roles
		}
		other := w.gw.plain != c.Plain
		w.gw.plain = c.Plain
		if other || !fileExists(w.gw.conf) || c.Site != "" {
			w.gw.conf = filepath.Join(w.gw.dir, "Caddyfile")
			ts.Check(w.gw.configure(c.caddyfile()))
		}
		err = w.gw.start()
	case "stop":
		err = w.gw.stop()
	case "kill9":
		err = w.gw.kill9()
	case "reload":
		if len(args) == 2 {
			w.gw.conf = ts.MkAbs(args[1])
		}
		_, err = w.gw.reload()
	default:
		ts.Fatalf("usage: %s", usage)
	}
	if err != nil {
		_, _ = fmt.Fprintln(ts.Stderr(), err)
	}
	if (err != nil) != neg {
		ts.Fatalf("gateway %s: %v", args[0], err)
	}
}

// headerFlag collects -H 'Name: value'.
type headerFlag http.Header

func (h headerFlag) String() string { return "" }

func (h headerFlag) Set(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if !ok {
		return errors.New("a header is 'Name: value'")
	}
	h[name] = append(h[name], strings.TrimSpace(value))
	return nil
}

// send is get, visit and post.
func send(ts *testscript.TestScript, r request, args []string, usage string) {
	w := worldOf(ts)
	as, file, header := "", "", headerFlag{}
	args = options(ts, args, usage, func(fs *flag.FlagSet) {
		fs.StringVar(&as, "as", "", "the visitor")
		fs.StringVar(&r.HTTP, "http", "2", "1.1, 2 or 3")
		fs.StringVar(&r.Method, "X", r.Method, "method")
		fs.StringVar(&r.Host, "host", "", "Host header")
		fs.StringVar(&file, "body", "", "file with the body")
		fs.Var(header, "H", "header")
	})
	if len(args) == 0 {
		ts.Fatalf("usage: %s", usage)
	}
	r.Path, r.Header = args[0], http.Header(header)
	switch fields := args[1:]; {
	case file != "":
		r.Body = []byte(ts.ReadFile(file))
	case r.Method == http.MethodPost:
		values := url.Values{}
		for _, f := range fields {
			name, value, _ := strings.Cut(f, "=")
			values.Add(name, value)
		}
		r.Body = []byte(values.Encode())
		if r.Header["Content-Type"] == nil {
			r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
		}
	case len(fields) > 0:
		ts.Fatalf("usage: %s", usage)
	}
	a, err := w.client(as).do(r)
	w.show(ts, a)
	ts.Check(err)
}

// show makes an answer the last one: its body is stdout, its head stderr, its id $ID.
func (w *world) show(ts *testscript.TestScript, a *answer) {
	if a == nil {
		return
	}
	w.last = a
	ts.Setenv("ID", a.id())
	_, _ = fmt.Fprintf(ts.Stderr(), "%s %d\n%s\n", a.Proto, a.Status, strings.Join(headerLines(a.Header), "\n"))
	_, _ = ts.Stdout().Write(a.Body)
}

func cmdGet(ts *testscript.TestScript, args []string) {
	send(ts, request{}, args, "get [-as NAME] [-http 1.1|2|3] [-X METHOD] [-host HOST] [-H 'Name: value']… PATH")
}

func cmdVisit(ts *testscript.TestScript, args []string) {
	send(ts, request{Nav: true}, args, "visit [flags of get] PATH")
}

func cmdPost(ts *testscript.TestScript, args []string) {
	send(ts, request{Method: http.MethodPost}, args, "post [flags of get] [-body FILE] PATH [name=value]…")
}

// raw FILE: sends the file over TLS, line ends as CRLF
func cmdRaw(ts *testscript.TestScript, args []string) {
	need(ts, args, "raw FILE", 1)
	w := worldOf(ts)
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "\r\n", "\n")
	text = os.Expand(text, func(name string) string { return ts.Getenv(name) })
	a, err := w.gw.raw1(strings.ReplaceAll(text, "\n", "\r\n"))
	w.show(ts, a)
	ts.Check(err)
}

func (w *world) answer(ts *testscript.TestScript) *answer {
	if w.last == nil {
		ts.Fatalf("nothing was asked yet")
	}
	return w.last
}

// status CODE
func cmdStatus(ts *testscript.TestScript, args []string) {
	need(ts, args, "status CODE", 1)
	if a := worldOf(ts).answer(ts); strconv.Itoa(a.Status) != args[0] {
		ts.Fatalf("status %d, want %s\n%s\n%s", a.Status, args[0], strings.Join(headerLines(a.Header), "\n"), excerpt(a.Body, 1000))
	}
}

// header NAME [pattern]
func cmdHeader(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, "[!] header NAME [pattern]", 1, 2)
	matchHeader(ts, neg, worldOf(ts).answer(ts).Header, args)
}

// json PATH [pattern]: of the last answer's body
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, "[!] json PATH [pattern]", 1, 2)
	var v any
	body := worldOf(ts).answer(ts).Body
	if err := json.Unmarshal(body, &v); err != nil {
		ts.Fatalf("the body is not JSON: %v\n%s", err, excerpt(body, 400))
	}
	matchJSON(ts, neg, v, args)
}

func matchJSON(ts *testscript.TestScript, neg bool, v any, args []string) {
	got, err := at(v, args[0])
	ok := err == nil
	if ok && len(args) == 2 {
		ok = pattern(ts, args[1]).MatchString(text(got))
	}
	if ok == neg {
		ts.Fatalf("%s is %s (error: %v) in %s", args[0], text(got), err, text(v))
	}
}

// refused REASON STATUS: the last answer is that refusal, told rightly, and the log says the same
func cmdRefused(ts *testscript.TestScript, args []string) {
	need(ts, args, "refused REASON STATUS", 2)
	w := worldOf(ts)
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	a := w.answer(ts)
	ts.Check(a.refusedAs(args[0], status))
	line, err := w.gw.accessLine(a.id())
	ts.Check(err)
	if line["reason"] != args[0] || text(line["status"]) != args[1] {
		ts.Fatalf("the log says %s", text(line))
	}
}

// log FIELD [pattern]: of the last answer's line in the access log
func cmdLog(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, args, "[!] log FIELD [pattern]", 1, 2)
	w := worldOf(ts)
	line, err := w.gw.accessLine(w.answer(ts).id())
	ts.Check(err)
	matchJSON(ts, neg, line, args)
}

// setup [-as NAME] [-token TOKEN] USER PASSWORD
func cmdSetup(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "[!] setup [-as NAME] [-token TOKEN] USER PASSWORD"
	as, token := "", ""
	args = options(ts, args, usage, func(fs *flag.FlagSet) {
		fs.StringVar(&as, "as", "", "the visitor")
		fs.StringVar(&token, "token", "", "instead of the link's")
	})
	need(ts, args, usage, 2)
	w := worldOf(ts)
	link := w.gw.setupLink()
	if token != "" {
		link = "/.gatehouse/login/local/setup?token=" + url.QueryEscape(token)
	}
	a, err := w.client(as).setup(link, args[0], args[1])
	w.show(ts, a)
	if (err != nil) != neg {
		ts.Fatalf("setup: %v", err)
	}
}

// login [-as NAME] [-next PATH] USER PASSWORD
func cmdLogin(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "[!] login [-as NAME] [-next PATH] USER PASSWORD"
	as, next := "", "/"
	args = options(ts, args, usage, func(fs *flag.FlagSet) {
		fs.StringVar(&as, "as", "", "the visitor")
		fs.StringVar(&next, "next", "/", "where to go then")
	})
	need(ts, args, usage, 2)
	w := worldOf(ts)
	a, err := w.client(as).login(args[0], args[1], next)
	w.show(ts, a)
	if (err != nil) != neg {
		ts.Fatalf("login: %v", err)
	}
}

// logout [-as NAME]
func cmdLogout(ts *testscript.TestScript, args []string) {
	const usage = "logout [-as NAME]"
	as := ""
	args = options(ts, args, usage, func(fs *flag.FlagSet) { fs.StringVar(&as, "as", "", "the visitor") })
	need(ts, args, usage, 0)
	w := worldOf(ts)
	a, err := w.client(as).logout()
	w.show(ts, a)
	ts.Check(err)
}

// session [-as NAME]: the visitor is logged in
func cmdSession(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "[!] session [-as NAME]"
	as := ""
	args = options(ts, args, usage, func(fs *flag.FlagSet) { fs.StringVar(&as, "as", "", "the visitor") })
	need(ts, args, usage, 0)
	alive, err := worldOf(ts).client(as).alive()
	ts.Check(err)
	if alive == neg {
		ts.Fatalf("logged in: %v", alive)
	}
}
