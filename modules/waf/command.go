package waf

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "waf",
		Usage: "explain|test|propose|lint|shadow|promote|mistake",
		Short: "Explains what the WAF did, tries requests, proposes exclusions, promotes rules, and shows what its prover got wrong",
		Long: `
explain and propose ask the running gateway, which remembers the last requests that its WAF found anything in, or read the
access log (--log). Both hold the names of the arguments that rules matched in, never their values. The other commands
need no running gateway. mistake opens what the state directory holds sealed.`,
		CobraFunc: func(cmd *cobra.Command) {
			for _, sub := range []*cobra.Command{explainCommand(), testCommand(), proposeCommand(), lintCommand(), shadowCommand(), promoteCommand(), mistakeCommand()} {
				sub.SilenceUsage = true
				cmd.AddCommand(sub)
			}
			cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		},
	})
}

// defaultStateDir is where the house keeps its state unless told otherwise.
func defaultStateDir() string { return filepath.Join(caddy.AppDataDir(), "gatehouse") }

// requestFlags are where a request may be looked up.
func requestFlags(cmd *cobra.Command) {
	cmd.Flags().StringP("log", "l", "", "the access log (JSON lines; - is standard input) instead of the running gateway")
	cmd.Flags().String("address", "", "the address of the gateway's administration endpoint, if not the default")
	cmd.Flags().StringP("config", "c", "", "the configuration file to find that address in")
}

// lookUp finds a request: in the log if --log names one, and else in what the running gateway remembers.
func lookUp(cmd *cobra.Command, id string) (line LogLine, err error) {
	flag := func(name string) string {
		v, _ := cmd.Flags().GetString(name)
		return v
	}
	name := flag("log")
	if name == "" {
		address, err := caddycmd.DetermineAdminAPIAddress(flag("address"), nil, flag("config"), "")
		if err != nil {
			return line, fmt.Errorf("finding the administration endpoint: %w", err)
		}
		res, err := caddycmd.AdminAPIRequest(address, http.MethodGet, adminRequests+"?"+url.Values{"id": {id}}.Encode(), nil, nil)
		if err != nil {
			return line, fmt.Errorf("asking the gateway at %s (--log <access log> needs none): %w", address, err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&line); err != nil {
			return line, fmt.Errorf("reading the gateway's answer: %w", err)
		}
		return line, nil
	}
	in, err := openLog(cmd, name)
	if err != nil {
		return LogLine{}, err
	}
	defer in.Close()
	return FindLine(in, id)
}

// openLog opens the file of this name; - is standard input.
func openLog(cmd *cobra.Command, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(name)
}

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain [--log <access log>] <request id>", Args: cobra.ExactArgs(1),
		Short: "Says which rules matched a request, where, and what decided",
		RunE: func(cmd *cobra.Command, args []string) error {
			line, err := lookUp(cmd, args[0])
			if err != nil {
				return err
			}
			return explain(cmd.OutOrStdout(), line)
		},
	}
	requestFlags(cmd)
	return cmd
}

// siteOf returns what the site that has this host is configured to in a configuration file: the site's own name, a wildcard
// above it, or a site without names; or the only site there is. It changes nothing and starts nothing.
func siteOf(file, host string) (*Handler, error) {
	text, _, _, err := caddycmd.LoadConfig(file, "")
	if err != nil {
		return nil, err
	}
	var config any
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	sites := sitesIn(config, []string{""})
	if len(sites) == 1 && host == "" {
		for _, h := range sites {
			return h, nil
		}
	}
	host = strings.ToLower(host)
	_, above, _ := strings.Cut(host, ".")
	for _, name := range []string{host, "*." + above, ""} {
		if h := sites[name]; h != nil {
			return h, nil
		}
	}
	return nil, fmt.Errorf("%s: no gated site has the name %q; the sites are %s", file, host, strings.Join(slices.Sorted(maps.Keys(sites)), ", "))
}

// sitesIn finds the WAFs in a configuration, by the host names of the routes that they stand in.
func sitesIn(node any, hosts []string) map[string]*Handler {
	found := map[string]*Handler{}
	switch node := node.(type) {
	case []any:
		for _, n := range node {
			maps.Copy(found, sitesIn(n, hosts))
		}
	case map[string]any:
		if node["handler"] == string(Handler{}.CaddyModule().ID.Name()) {
			text, _ := json.Marshal(node) // it was read from JSON
			h := new(Handler)
			if json.Unmarshal(text, h) == nil {
				for _, host := range hosts {
					found[host] = h
				}
			}
		}
		hosts = hostsOf(node["match"], hosts)
		for key, n := range node {
			if key != "match" {
				maps.Copy(found, sitesIn(n, hosts))
			}
		}
	}
	return found
}

// hostsOf are the host names in a route's matchers; hosts if there are none.
func hostsOf(match any, hosts []string) []string {
	var named []string
	sets, _ := match.([]any)
	for _, set := range sets {
		matchers, _ := set.(map[string]any)
		names, _ := matchers["host"].([]any)
		for _, name := range names {
			named = append(named, strings.ToLower(fmt.Sprint(name)))
		}
	}
	if len(named) == 0 {
		return hosts
	}
	return named
}
