package standard_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/gatetest"
)

// operated is a gateway with an operator's command line.
type operated struct {
	*gatetest.Gateway
	t     testing.TB
	admin string
}

// operate starts a gateway; see pairs for what can be changed.
func operate(t testing.TB, change ...string) *operated {
	t.Helper()
	o := &operated{t: t, admin: gatetest.FreeAddr(t)}
	o.Gateway = gatetest.Start(t, o.text(change...))
	return o
}

func (o *operated) text(change ...string) string {
	return fill(newcomer, pairs(append([]string{"global", "admin " + o.admin}, change...)...))
}

// run runs `gatehouse <args>` and returns what it wrote to standard output.
func (o *operated) run(args ...string) (string, error) {
	o.t.Helper()
	root := &cobra.Command{Use: "gatehouse", SilenceErrors: true, SilenceUsage: true}
	sub := &cobra.Command{Use: args[0]}
	caddycmd.Commands()[args[0]].CobraFunc(sub)
	root.AddCommand(sub)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(append(args, "--address", o.admin, "--operator", "olga"))
	err := root.Execute()
	return strings.TrimSpace(out.String()), err
}

// ok runs a command that must succeed, and returns what it wrote.
func (o *operated) ok(args ...string) string {
	o.t.Helper()
	out, err := o.run(args...)
	if err != nil {
		o.t.Fatalf("gatehouse %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// no runs a command that must fail and say why.
func (o *operated) no(says string, args ...string) {
	o.t.Helper()
	if out, err := o.run(args...); err == nil || !strings.Contains(err.Error(), says) {
		o.t.Errorf("gatehouse %s: said %q, %v, want %q", strings.Join(args, " "), out, err, says)
	}
}

// call sends a request with header pairs.
func call(t testing.TB, c *http.Client, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return res, string(text)
}
