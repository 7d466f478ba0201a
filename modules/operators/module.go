package operators

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"gatehouse.internal/modules/gatehouse"
)

func init() { caddy.RegisterModule(new(Sockets)) }

const maxAsk = 32 << 20 // bytes: an import of users

// Sockets are those that the house has for its operators.
type Sockets struct {
	// The address of each role's socket, such as unix//run/gatehouse/auditor.sock|0660.
	Addresses map[Role]string `json:"addresses"`
	// The addresses of the sockets of tenants' own auditors, by tenant.
	Tenants map[string]string `json:"tenants,omitempty"`

	ctx     caddy.Context
	logger  *zap.Logger
	at      map[seat]caddy.NetworkAddress
	mux     *http.ServeMux
	servers []*http.Server
}

// seat is who sits at a socket: a role, of one tenant where it has one.
type seat struct {
	role   Role
	tenant string
}

func (s seat) String() string { return strings.TrimSpace(string(s.role) + " " + s.tenant) }

// CaddyModule returns the Caddy module information.
func (*Sockets) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse.rooms.operators", New: func() caddy.Module { return new(Sockets) }}
}

// UnmarshalCaddyfile reads:
//
//	operators {
//		<role> unix/<path>[|<mode>]
//		tenant_auditor <tenant> unix/<path>[|<mode>]
//	}
func (s *Sockets) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	s.Addresses = map[Role]string{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		role, args := Role(d.Val()), d.RemainingArgs()
		if role == TenantAuditor {
			if len(args) != 2 || s.Tenants[args[0]] != "" {
				return d.Errf("operators: write one socket for each tenant's auditor, such as `tenant_auditor acme unix//run/gatehouse/acme.sock|0660`")
			}
			if s.Tenants == nil {
				s.Tenants = map[string]string{}
			}
			s.Tenants[args[0]] = args[1]
			continue
		}
		if len(args) != 1 || s.Addresses[role] != "" {
			return d.Errf("operators: write one socket for each role, such as `auditor unix//run/gatehouse/auditor.sock|0660`")
		}
		s.Addresses[role] = args[0]
	}
	return nil
}

// Provision finds the administration endpoints of the rooms.
func (s *Sockets) Provision(ctx caddy.Context) error {
	s.ctx, s.logger, s.at, s.mux = ctx, ctx.Logger(), map[seat]caddy.NetworkAddress{}, http.NewServeMux()
	addresses := map[seat]string{}
	for role, text := range s.Addresses {
		if !slices.Contains(Roles, role) {
			return gatehouse.Refused(fmt.Errorf("operators: %q is no role: the roles are viewer, integrator, auditor, admin, and tenant_auditor <tenant>", role))
		}
		addresses[seat{role, ""}] = text
	}
	for tenant, text := range s.Tenants {
		addresses[seat{TenantAuditor, tenant}] = text
	}
	taken := map[string]seat{}
	for _, who := range slices.SortedFunc(maps.Keys(addresses), func(x, y seat) int { return strings.Compare(x.String(), y.String()) }) {
		text := addresses[who]
		addr, err := caddy.ParseNetworkAddress(text)
		if err != nil || !addr.IsUnixNetwork() {
			return gatehouse.Refused(fmt.Errorf("operators: %s: %q is no unix socket, of which the kernel says who asks: write one like unix//run/gatehouse/%s.sock|0660", who, text, who.role))
		}
		path, _, _ := strings.Cut(addr.Host, "|") // the mode
		path = filepath.Clean(path)
		if other, is := taken[path]; is {
			return gatehouse.Refused(fmt.Errorf("operators: %s and %s have one socket, %s, and the kernel would deal out who answers: write another path for one of them", other, who, path))
		}
		taken[path], s.at[who] = who, addr
	}
	if len(s.at) == 0 {
		return gatehouse.Refused(errors.New("operators: name a socket, such as `auditor unix//run/gatehouse/auditor.sock|0660`"))
	}
	for _, info := range caddy.GetModules("admin.api") {
		if !strings.HasPrefix(info.ID.Name(), "gatehouse") {
			continue
		}
		guest, err := ctx.LoadModuleByID(string(info.ID), nil)
		if err != nil {
			return err
		}
		router, ok := guest.(caddy.AdminRouter)
		if !ok {
			continue
		}
		for _, route := range router.Routes() {
			s.mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) { answer(w, route.Handler.ServeHTTP(w, r)) })
		}
	}
	return nil
}

// answer writes an error as Caddy's endpoint does.
func answer(w http.ResponseWriter, err error) {
	if err == nil {
		return
	}
	refused := caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	errors.As(err, &refused)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(refused.HTTPStatus)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// StartRoom implements gatehouse.RoomStarter.
func (s *Sockets) StartRoom(house *gatehouse.App, _ *gatehouse.State) error {
	for role, addr := range s.at {
		if role.tenant != "" && house.Tenants[role.tenant] == nil {
			return gatehouse.Refused(fmt.Errorf("operators: tenant_auditor %s: the house has no such tenant: name one of its `tenant` words", role.tenant))
		}
		ln, err := addr.Listen(s.ctx, 0, net.ListenConfig{})
		if err != nil {
			return fmt.Errorf("the socket of the role %s: %w", role, err)
		}
		srv := &http.Server{
			Handler: s.as(role), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
			ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		}
		s.servers = append(s.servers, srv)
		go func() {
			if err := srv.Serve(ln.(net.Listener)); !errors.Is(err, http.ErrServerClosed) {
				s.logger.Error("the socket of a role answers no more", zap.Stringer("role", role), zap.Error(err))
			}
		}()
	}
	return nil
}

// Cleanup closes the sockets that no newer configuration has.
func (s *Sockets) Cleanup() error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	return errors.Join(errs...)
}

type connKey struct{}

// as answers what somebody of this role may ask for.
func (s *Sockets) as(seat seat) http.Handler {
	role := seat.role
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connKey{}).(net.Conn)
		who, err := gatehouse.PeerName(conn)
		if err != nil {
			answer(w, gatehouse.AdminError(http.StatusForbidden, fmt.Errorf("nobody knows who asks: %w", err)))
			return
		}
		if !role.May(r.Method, r.URL.Path) {
			s.logger.Warn("an operator asked for what the role may not do", zap.String("role", string(role)), zap.String("operator", who), zap.String("method", r.Method), zap.String("path", r.URL.Path))
			answer(w, gatehouse.AdminError(http.StatusForbidden, fmt.Errorf("the role %s may not do that", role)))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAsk))
		if err != nil {
			answer(w, gatehouse.AdminError(http.StatusBadRequest, err))
			return
		}
		name := who + " (" + seat.String() + ")"
		body = proven(body, name)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		q := r.URL.Query()
		if seat.tenant != "" {
			q.Set("tenant", seat.tenant) // and of no other, whatever the request says
		}
		r.URL.RawQuery = provenQuery(q, name)
		r.Header.Set(gatehouse.OperatorHeader, name)
		s.mux.ServeHTTP(w, r)
	})
}

var (
	_ caddy.Provisioner     = (*Sockets)(nil)
	_ caddy.CleanerUpper    = (*Sockets)(nil)
	_ caddyfile.Unmarshaler = (*Sockets)(nil)
	_ gatehouse.RoomStarter = (*Sockets)(nil)
)
