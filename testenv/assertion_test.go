package testenv

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// recipe returns the manual's example in a language, for the site that the stories have.
func recipe(t *testing.T, language, site string) string {
	t.Helper()
	manual, err := os.ReadFile(filepath.Join(root, "caddyfiles", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(manual), -1) {
		if strings.Contains(m[1], "jwks.json") {
			return strings.ReplaceAll(m[1], "https://app.example.com", site)
		}
	}
	t.Fatalf("the manual has no recipe in %s", language)
	return ""
}

// TestAssertionRecipes has the manual's recipes, and libraries that are not ours, verify what the gateway tells an
// application: it is who logged in; a changed word, one for another site and none at all are nobody.
func TestAssertionRecipes(t *testing.T) {
	t.Parallel()
	told := make(chan string, 1)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case told <- r.Header.Get("X-Gatehouse-Assertion"):
		default:
		}
	}))
	defer app.Close()
	g := startGateway(t, config{Backend: strings.TrimPrefix(app.URL, "http://"), Site: "allow role staff\n\t\tforward user email roles {\n\t\t\tassertion\n\t\t}"})
	ada := g.newUser(t, "ada", "correct horse battery")
	ada.get(t, "/")
	token := <-told
	published := g.stranger(t).get(t, "/.gatehouse/jwks.json")
	if token == "" || published.Status != 200 {
		t.Fatalf("told %q, keys %d %s", token, published.Status, published.Body)
	}
	// The recipes fetch the keys where app.test cannot be looked up.
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(published.Body)
	}))
	defer keys.Close()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(nodeModules(t), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	node, python := needProgram(t, "nodejs", "node"), needProgram(t, "python3-jwt", "/usr/bin/python3")
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	programs := map[string]func(site string) *exec.Cmd{
		"node": func(site string) *exec.Cmd {
			return exec.Command(node, write("r.mjs", recipe(t, "js", site)+`console.log(await userOf({headers: {"x-gatehouse-assertion": process.env.TOKEN}}));`))
		},
		"python": func(site string) *exec.Cmd {
			return exec.Command(python, write("r.py", recipe(t, "python", site)+`print(user_of({"X-Gatehouse-Assertion": os.environ["TOKEN"]}))`))
		},
	}
	parts := strings.Split(token, ".")
	for _, tt := range []struct{ name, site, token, want string }{
		{"as it is", "https://" + appHost, token, "ada"},
		{"another site's", "https://other.test", token, ""},
		{"changed", "https://" + appHost, parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), ""},
		{"none", "https://" + appHost, "", ""},
	} {
		for language, program := range programs {
			t.Run(fmt.Sprintf("%s/%s", tt.name, language), func(t *testing.T) {
				cmd := program(tt.site)
				cmd.Env = append(os.Environ(), "TOKEN="+tt.token, "JWKS="+keys.URL)
				out, err := cmd.Output()
				if got := strings.TrimSpace(string(out)); got != tt.want || (err == nil) != (tt.want != "") {
					t.Errorf("it says %q, %v, want %q", got, err, tt.want)
				}
			})
		}
	}
}
