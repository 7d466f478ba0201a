package gatehouse

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/build"
	"gatehouse.internal/modules/internal/store"
)

const adminStatus = "/gatehouse/status"

// Status is how the gateway is, and which others there are.
type Status struct {
	Host    string `json:"host"`
	Version string `json:"version"`
	// Of which commit of the source it was built, "" when that is not known, whether that was changed, and by which Go.
	Commit  string `json:"commit,omitempty"`
	Changed bool   `json:"changed,omitempty"`
	Go      string `json:"go"`
	// The configuration that runs: a version of it, and what it says of itself.
	Config   string `json:"config"`
	Revision string `json:"revision,omitempty"`
	// What keeps it from taking on work; "" for nothing. What a balancer is told, but for a stop that has begun.
	NotReady string `json:"not_ready,omitempty"`
	Store    struct {
		Engine string `json:"engine"`
		// What is wrong with it; "" for nothing. Of a shared one, a feed that lies behind is wrong, too.
		Problem string `json:"problem,omitempty"`
	} `json:"store"`
	// What keeps the audit log from being written; "" for nothing. Administrative actions are refused meanwhile.
	Audit string `json:"audit_problem,omitempty"`
	// The gateways that share the store, this one among them; none where it is not shared.
	Nodes []StatusNode `json:"nodes,omitempty"`
}

// StatusNode is a gateway that shares the store.
type StatusNode struct {
	Says string        `json:"says"` // host and version
	Seen time.Duration `json:"seen"` // how long ago, in nanoseconds
}

// Status asks how the gateway is.
func (app *App) Status(ctx context.Context) (s Status) {
	s.Host, _ = os.Hostname() // a name is welcome, and nothing depends on it
	of := build.Read()
	s.Version, s.Commit, s.Changed, s.Go = of.Version, of.Commit, of.Dirty, of.Go
	s.Config, s.Revision = app.configDigest(), app.Revision
	s.Store.Engine, _, _ = strings.Cut(app.opener.StoreKey(), ":") // Caddy has taken what was configured
	if err := app.ready(ctx); err != nil {
		s.NotReady = err.Error()
	}
	state, err := app.State()
	if err != nil {
		s.Store.Problem, s.Audit = err.Error(), err.Error()
		return s
	}
	if err := state.Store.Health(ctx); err != nil {
		s.Store.Problem = err.Error()
	}
	if err := state.Audit.Problem(); err != nil {
		s.Audit = err.Error()
	}
	nodes, _ := store.Nodes(state.Store)
	for _, n := range nodes {
		s.Nodes = append(s.Nodes, StatusNode{n.Says, n.Age})
	}
	slices.SortFunc(s.Nodes, func(a, b StatusNode) int { return cmp.Compare(a.Says, b.Says) })
	return s
}

// Problem returns why the audit log cannot be written, or nil.
func (a *AuditLog) Problem() error {
	c, err := a.Chain()
	if err != nil {
		return err
	}
	if down := c.Status().Down; down != "" {
		return errors.New(down)
	}
	return nil
}

// problems are those of the status, in words.
func (s Status) problems() (all []string) {
	if s.NotReady != "" {
		all = append(all, "takes on no work: "+s.NotReady)
	}
	if s.Store.Problem != "" {
		all = append(all, "store: "+s.Store.Problem)
	}
	if s.Audit != "" {
		all = append(all, "audit log: "+s.Audit+"; administrative actions are refused")
	}
	return all
}

func (s Status) write(to io.Writer) error {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "gateway\t%s %s\nbuilt\tof commit %s, by %s\nconfig\t%s %s\nstore\t%s\n", s.Host, s.Version, cmp.Or(s.Commit, "unknown"), s.Go, s.Config, s.Revision, s.Store.Engine)
	for _, n := range s.Nodes {
		fmt.Fprintf(t, "node\t%s\tseen %v ago\n", n.Says, n.Seen.Round(100*time.Millisecond))
	}
	for _, p := range s.problems() {
		fmt.Fprintf(t, "problem\t%s\n", p)
	}
	return t.Flush()
}

func init() {
	caddy.RegisterModule(AdminStatus{})
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "status",
		Usage: "[--json]",
		Short: "Shows how the running gateway is, and which others share its state; fails when something is wrong",
		CobraFunc: func(cmd *cobra.Command) {
			AdminFlags(cmd)
			asJSON := cmd.Flags().Bool("json", false, "Write it as JSON")
			cmd.Args, cmd.SilenceUsage = cobra.NoArgs, true
			cmd.RunE = func(cmd *cobra.Command, _ []string) error {
				var s Status
				if err := AskAdmin(cmd, http.MethodGet, adminStatus, nil, &s); err != nil {
					return err
				}
				if *asJSON {
					out := json.NewEncoder(cmd.OutOrStdout())
					out.SetIndent("", "  ")
					if err := out.Encode(s); err != nil {
						return err
					}
				} else if err := s.write(cmd.OutOrStdout()); err != nil {
					return err
				}
				if len(s.problems()) > 0 {
					return errors.New("something is wrong with the gateway")
				}
				return nil
			}
		},
	})
}

// AdminStatus answers at Caddy's administration endpoint:
//
//	GET /gatehouse/status   how the gateway is: a [Status]
type AdminStatus struct{}

// CaddyModule returns the Caddy module information.
func (AdminStatus) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse_status", New: func() caddy.Module { return new(AdminStatus) }}
}

// Routes implements caddy.AdminRouter.
func (AdminStatus) Routes() []caddy.AdminRoute {
	return Audited(AdminRoute(http.MethodGet, adminStatus, func(r *http.Request) (any, error) {
		app := Running()
		if app == nil {
			return nil, AdminError(http.StatusNotFound, errors.New("the running configuration has no gatehouse"))
		}
		return app.Status(r.Context()), nil
	}))
}
