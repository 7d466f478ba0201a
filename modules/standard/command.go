package standard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/authz"
	"gatehouse.internal/modules/evidence"
	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/waf"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "check",
		Usage: "--config <file>",
		Short: "Checks a configuration: that it loads, that its policies pass their tests, and what it amounts to",
		Long: `
check does what validate does, runs the policy tests of every site, and prints what is in force. It opens nothing and
changes nothing, and may run beside the gateway. It exits with 1 when the configuration would be refused.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Args, cmd.SilenceUsage = cobra.NoArgs, true
			cmd.Flags().StringP("config", "c", "", "The configuration file")
			cmd.Flags().StringP("adapter", "a", "", "Name of the configuration's adapter")
			cmd.RunE = check
		},
	})
}

func check(cmd *cobra.Command, _ []string) error {
	file, _ := cmd.Flags().GetString("config")
	adapter, _ := cmd.Flags().GetString("adapter")
	config, file, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return err
	}
	if len(config) == 0 {
		return errors.New("name the configuration: --config /etc/gatehouse/Caddyfile")
	}
	var cfg caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &cfg); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	if err := caddy.Validate(&cfg); err != nil { // runs the policy tests, too
		return err
	}
	return posture(cmd.OutOrStdout(), file, config)
}

// posture writes what a configuration that is valid amounts to.
func posture(w io.Writer, file string, config []byte) error {
	var c struct {
		Apps struct {
			Gatehouse json.RawMessage `json:"gatehouse"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	var house gatehouse.App
	if c.Apps.Gatehouse != nil {
		if err := json.Unmarshal(c.Apps.Gatehouse, &house); err != nil {
			return err
		}
	}
	sites, err := authz.ReadSites(config)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(table, "%s is valid\nhouse\n", file)
	houseRows(row, &house, c.Apps.Gatehouse)
	for i := range sites {
		if err := siteRows(table, row, &sites[i]); err != nil {
			return err
		}
	}
	return table.Flush()
}

func houseRows(row func(name, format string, args ...any), house *gatehouse.App, raw json.RawMessage) {
	var providers []string
	for _, p := range house.ProvidersRaw {
		var about struct{ Provider, Name, Issuer string }
		_ = json.Unmarshal(p, &about) // it was valid
		text := about.Provider
		for _, more := range []string{about.Name, about.Issuer} {
			if more != "" && more != about.Provider {
				text += " " + more
			}
		}
		providers = append(providers, text)
	}
	row("log-ins", "%s", list(providers))
	s := house.SessionOrDefault()
	row("sessions", "idle %v (%v for %s), %v at the most", time.Duration(s.Idle), time.Duration(s.AdminIdle), strings.Join(s.AdminRoles, " "), time.Duration(s.Max))
	for _, family := range slices.Sorted(maps.Keys(house.Roles.Families)) {
		row("family "+family, "%s", strings.Join(house.Roles.Families[family], " "))
	}
	for _, name := range slices.Sorted(maps.Keys(house.Tenants)) {
		if of := house.Tenants[name].Providers; len(of) > 0 {
			row("tenant "+name, "logs in by %s", strings.Join(of, ", "))
		} else {
			row("tenant "+name, "logs in by all of them")
		}
	}
	row("transport", "%s, no plain HTTP, server name = Host, no 0-RTT", house.TLSFloor())
	row("insecure", "%s", list(insecure(raw)))
}

func siteRows(w io.Writer, row func(name, format string, args ...any), s *authz.SitePolicy) error {
	fmt.Fprintf(w, "site %s (%s)\n", s.Site, list(s.Hosts))
	if s.Tenant != "" {
		row("tenant", "%s", s.Tenant)
	}
	tests, err := s.Test()
	if err != nil {
		return err
	}
	row("policy", "%s", s.Summary())
	if s.Handler.Shadow != nil {
		row("policy shadow", "a candidate is judged beside it: gatehouse policy shadow")
	}
	row("policy tests", "%d passed", tests)
	var found []string
	for _, raw := range s.Row {
		var h struct{ Handler string }
		if err := json.Unmarshal(raw, &h); err != nil {
			return err
		}
		found = append(found, insecure(raw)...)
		if h.Handler != "gatehouse_waf" {
			continue
		}
		var inspection waf.Handler
		if err := json.Unmarshal(raw, &inspection); err != nil {
			return err
		}
		row("waf", "%s", wafRow(&inspection))
	}
	row("insecure", "%s", list(found))
	return nil
}

func wafRow(h *waf.Handler) string {
	if h.InsecureOff {
		return "off"
	}
	mode := "blocks"
	if h.Mode == waf.Detect {
		mode = "only notes"
	}
	return fmt.Sprintf("%s, at paranoia %d; %d exclusions, %d routes of its own", mode, max(h.Paranoia, 1), len(h.Exclude), len(h.Routes))
}

// insecure returns the insecure_ words in a configuration, each behind what it stands below.
func insecure(raw json.RawMessage) (found []string) {
	for _, w := range evidence.InsecureWords(raw) {
		found = append(found, w.String())
	}
	return found
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
