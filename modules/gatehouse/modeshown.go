package gatehouse

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/egress"
)

const adminPosture = "/gatehouse/posture"

// Posture is whom a house speaks to, and what its mode turns on and off.
type Posture struct {
	Mode egress.Mode `json:"mode"`
	// Somebody has chosen the mode; else it is the default.
	Chosen bool     `json:"chosen"`
	Allow  []string `json:"allow"`
	// Of a running gateway: the applications that it may dial in modes other than connected, and how much was refused since the
	// process began.
	Running      bool     `json:"running"`
	Applications []string `json:"applications,omitempty"`
	Denied       struct {
		Dials   uint64 `json:"dials"`
		Lookups uint64 `json:"lookups"`
	} `json:"denied,omitzero"`
	Features []Feature `json:"features"`
}

// Feature is something that speaks to others, and how far it may.
type Feature struct {
	Name  string `json:"name"`
	State string `json:"state"` // on, allowed, private or off
}

// The states of features, and what they mean.
const (
	featureOn      = "on"      // as it is configured
	featureAllowed = "allowed" // to whom `allow` names, and to this machine
	featurePrivate = "private" // to private addresses that `allow` names, and to this machine
	featureOff     = "off"     // it is refused at the start
)

// features says of each mode, in the order of egress.Modes, how far each feature may reach.
var features = []struct {
	name  string
	reach [3]string
}{
	{"applications (reverse_proxy) by address", [3]string{featureOn, featureOn, featureOn}},
	{"applications by name", [3]string{featureOff, featureOn, featureOn}},
	{"look-ups of names (DNS)", [3]string{featureOff, featureOn, featureOn}},
	{"certificates of public authorities (ACME)", [3]string{featureOff, featureAllowed, featureOn}},
	{"questions about certificates (OCSP)", [3]string{featureOff, featureAllowed, featureOn}},
	{"identity providers and issuers of access tokens", [3]string{featurePrivate, featureAllowed, featureOn}},
	{"blocklists over a network", [3]string{featurePrivate, featureAllowed, featureOn}},
	{"alerts and codes by webhook and mail", [3]string{featurePrivate, featureAllowed, featureOn}},
	{"collectors (siem) and logs over a network", [3]string{featurePrivate, featurePrivate, featureOn}},
	{"a store that gateways share", [3]string{featurePrivate, featurePrivate, featureOn}},
	{"dynamic upstreams, and HTTP/3 to applications", [3]string{featureOff, featureOff, featureOn}},
	{"tracing, metrics that are pushed, acme_server", [3]string{featureOff, featureOff, featureOn}},
	{"a configuration from elsewhere, proxies, ECH", [3]string{featureOff, featureOff, featureOn}},
	{"whatever else is dialled", [3]string{featurePrivate, featureAllowed, featureOn}},
}

// PostureOf returns what a mode turns on and off; nil: the default.
func PostureOf(m *Mode) Posture {
	p := Posture{Mode: egress.Connected, Allow: []string{}}
	if m != nil {
		p.Mode, p.Chosen, p.Allow = m.Name, true, append(p.Allow, m.Allow...)
	}
	at := slices.Index(egress.Modes, p.Mode)
	for _, f := range features {
		p.Features = append(p.Features, Feature{f.name, f.reach[at]})
	}
	return p
}

// Posture returns that of the house.
func (app *App) Posture() Posture {
	p := PostureOf(app.Mode)
	p.Running, p.Applications = true, app.egress.Applications()
	p.Denied.Dials, p.Denied.Lookups = egress.Denied()
	return p
}

// Write writes it for people: the mode, and beside what it turns on and off, what others would.
func (p Posture) Write(to io.Writer) error {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	chosen := ""
	if !p.Chosen {
		chosen = " (nothing is said: the default)"
	}
	fmt.Fprintf(t, "mode\t%s%s\n", p.Mode, chosen)
	if p.Mode != egress.Connected {
		fmt.Fprintf(t, "allowed\t%s\n", orNone(p.Allow))
	}
	if p.Running {
		if p.Mode != egress.Connected {
			fmt.Fprintf(t, "applications\t%s\n", orNone(p.Applications))
		}
		fmt.Fprintf(t, "refused\t%d connections, %d look-ups of names\n", p.Denied.Dials, p.Denied.Lookups)
	}
	fmt.Fprint(t, "\nwhat speaks to others")
	for _, m := range egress.Modes {
		if m == p.Mode {
			fmt.Fprintf(t, "\t[%s]", m)
		} else {
			fmt.Fprintf(t, "\t%s", m)
		}
	}
	fmt.Fprintln(t)
	for _, f := range features {
		fmt.Fprintf(t, "%s\t%s\n", f.name, strings.Join(f.reach[:], "\t"))
	}
	fmt.Fprint(t, "\non: as configured; allowed: whom `allow` names, and this machine; private: private addresses that `allow` names, and this machine; off: refused at the start\n")
	return t.Flush()
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "nobody else"
	}
	return strings.Join(list, ", ")
}

func init() {
	caddy.RegisterModule(AdminPosture{})
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "posture",
		Usage: "[--config <file>] [--json]",
		Short: "Shows whom the gateway speaks to: its mode, and what that turns on and off",
		Long: `
posture asks the running gateway, at --address if not at the default; with --config it reads the configuration instead, and
asks nobody. Whether that configuration would be refused says check.`,
		CobraFunc: func(cmd *cobra.Command) {
			AdminFlags(cmd)
			asJSON := cmd.Flags().Bool("json", false, "Write it as JSON")
			cmd.Flags().Lookup("config").Usage = "A configuration file, which is read in place of asking the running gateway"
			cmd.Args, cmd.SilenceUsage = cobra.NoArgs, true
			cmd.RunE = func(cmd *cobra.Command, _ []string) error {
				p, err := askPosture(cmd)
				if err != nil {
					return err
				}
				if !*asJSON {
					return p.Write(cmd.OutOrStdout())
				}
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(p)
			}
		},
	})
}

func askPosture(cmd *cobra.Command) (p Posture, err error) {
	file, _ := cmd.Flags().GetString("config")
	if file == "" {
		return p, AskAdmin(cmd, http.MethodGet, adminPosture, nil, &p)
	}
	adapter, _ := cmd.Flags().GetString("adapter")
	config, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return p, err
	}
	var c struct {
		Apps struct {
			Gatehouse *struct {
				Mode *Mode `json:"mode"`
			} `json:"gatehouse"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return p, fmt.Errorf("reading %s: %w", file, err)
	}
	if c.Apps.Gatehouse == nil {
		return p, fmt.Errorf("%s has no gatehouse: put the global option `gatehouse` into it", file)
	}
	if m := c.Apps.Gatehouse.Mode; m != nil {
		if _, err := egress.New(m.Name, m.Allow); err != nil {
			return p, err
		}
	}
	return PostureOf(c.Apps.Gatehouse.Mode), nil
}

// AdminPosture answers at Caddy's administration endpoint:
//
//	GET /gatehouse/posture   whom the gateway speaks to: a [Posture]
type AdminPosture struct{}

// CaddyModule returns the Caddy module information.
func (AdminPosture) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_posture", New: func() caddy.Module { return new(AdminPosture) }}
}

// Routes implements caddy.AdminRouter.
func (AdminPosture) Routes() []caddy.AdminRoute {
	return Audited(AdminRoute(http.MethodGet, adminPosture, func(*http.Request) (any, error) {
		app := Running()
		if app == nil {
			return nil, AdminError(http.StatusNotFound, errors.New("the running configuration has no gatehouse"))
		}
		return app.Posture(), nil
	}))
}
