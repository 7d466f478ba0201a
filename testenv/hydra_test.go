package testenv

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHydraIsJailed has hydra guess passwords on the gateway's own form over TLS, as fast as sixteen of its tasks can, with a form's
// token and its cookie, so that each guess is one: the login jail shuts it out after maxretry, and nothing is tried beyond that
// but what its other tasks have under way (CAL-10, B1). That hydra finds a password in this way when it need not guess for long is seen first.
// (CAL-10)
func TestHydraIsJailed(t *testing.T) {
	t.Parallel()
	hydra := needProgram(t, "hydra", "hydra")
	const retries, right = 5, "wachtmeister7 on the tin roof"
	be := startBackend(t)
	open := func(t *testing.T) *gateway {
		c := attackGateway(be.Listen)
		c.Caddyfile = strings.Replace(c.Caddyfile, "https://:{$PORT}, ", "", 1)
		c.Caddyfile = strings.Replace(c.Caddyfile, "https://localhost:{$PORT}", "https://localhost:{$PORT}, https://app.test:{$PORT}", 1)
		c.Caddyfile = strings.Replace(c.Caddyfile, "\t\tlocal\n", fmt.Sprintf("\t\tlocal\n\t\tban {\n\t\t\tinclude_private\n\t\t\tjail login %d in 10m for 10m\n\t\t}\n", retries), 1)
		g := startGateway(t, c)
		g.newUser(t, "admin", right)
		return g
	}
	// guess has hydra try the words, until it ends or the context does.
	guess := func(ctx context.Context, t *testing.T, g *gateway, words []string) string {
		list := filepath.Join(t.TempDir(), "words")
		if err := os.WriteFile(list, []byte(strings.Join(words, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := g.stranger(t)
		page := s.must(t, request{Path: fmt.Sprintf("https://localhost:%d/.gatehouse/login", g.port), Nav: true})
		f, err := page.form()
		if err != nil {
			t.Fatal(err)
		}
		var fields []string
		for name, values := range f.Fields {
			switch name {
			case "username", "password":
			default:
				fields = append(fields, name+"="+strings.ReplaceAll(values[0], ":", `\:`))
			}
		}
		var cookies []string
		for _, c := range (&http.Response{Header: page.Header}).Cookies() {
			cookies = append(cookies, c.Name+"="+c.Value)
		}
		module := fmt.Sprintf(`%s:username=^USER^&password=^PASS^&%s:g=/:H=Origin\: https\://localhost\:%d:H=Cookie\: %s:S=303`,
			f.Action, strings.Join(fields, "&"), g.port, strings.Join(cookies, "; "))
		cmd := exec.CommandContext(ctx, hydra, "-I", "-f", "-l", "admin", "-P", list, "-t", "16", "-w", "5", "-s", fmt.Sprint(g.port), "localhost", "https-post-form", module)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		cmd.Dir = t.TempDir() // it leaves a file there
		out, _ := cmd.CombinedOutput()
		return string(out)
	}

	t.Run("it finds what it is given", func(t *testing.T) {
		g := open(t)
		ctx, cancel := context.WithTimeout(t.Context(), toolPatience)
		defer cancel()
		if out := guess(ctx, t, g, []string{right}); !strings.Contains(out, "password: "+right) {
			t.Errorf("hydra does not log in: this story would not see it guess\n%s\n%s", out, tail(g.env["LOG"], 5))
		}
	})
	t.Run("it is shut out", func(t *testing.T) {
		g := open(t)
		words := make([]string, 0, 1000)
		for i := range 999 {
			words = append(words, fmt.Sprintf("password%d", i))
		}
		words = append(words, right)
		ctx, cancel := context.WithTimeout(t.Context(), toolPatience)
		defer cancel()
		said := make(chan string, 1)
		go func() { said <- guess(ctx, t, g, words) }()
		var banned []map[string]any
		eventually(t, readyIn, "hydra is banned", func() bool {
			banned, _ = g.lines(`"msg":"ban.added"`)
			return len(banned) > 0
		})
		select { // it goes on, and meets nobody
		case <-said:
		case <-time.After(5 * time.Second):
			cancel()
			<-said
		}
		failed, err := g.lines(`"msg":"login.failed"`)
		if err != nil || len(failed) == 0 {
			t.Fatalf("no login failed: %v", err)
		}
		if most := retries + 15; len(failed) > most { // what its other tasks had under way when the last one counted
			t.Errorf("%d guesses failed, and the jail is for %d", len(failed), retries)
		}
		if in, _ := g.lines(`"msg":"session.created"`); len(in) > 1 { // the one of who set the account up
			t.Error("hydra logged in")
		}
		posts, _ := g.lines(`"method":"POST"`)
		answered := map[string]int{}
		for _, line := range posts {
			if name, _ := line["logger"].(string); strings.HasSuffix(name, accessLogger) && strings.HasPrefix(fmt.Sprint(line["path"]), "/.gatehouse/login/local") && line["user_agent"] != nil {
				answered[fmt.Sprint(line["status"], " ", line["reason"])]++
			}
		}
		first, _ := failed[0]["ts"].(float64)
		last, _ := banned[0]["ts"].(float64)
		t.Logf("hydra -t 16: %d guesses were judged; banned %v after the first; POSTs answered, by status and reason: %v",
			len(failed), time.Duration((last-first)*float64(time.Second)).Round(time.Millisecond), answered)
	})
}
