package gatehouse

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

const maxAdminAnswer = 64 << 20

// AdminFlags gives a command the flags that say where the running gateway is asked, and who asks.
func AdminFlags(cmd *cobra.Command) {
	cmd.Flags().String("address", "", "The address of the administration endpoint, if not the default")
	cmd.Flags().StringP("config", "c", "", "Configuration file to find the address in")
	cmd.Flags().StringP("adapter", "a", "", "Name of the configuration's adapter")
	cmd.Flags().String("operator", "", "Who does this, for the events; default: your name on this machine")
}

// AdminCommands makes cmd the head of commands that ask the running gateway.
func AdminCommands(cmd *cobra.Command, subs ...*cobra.Command) {
	for _, sub := range subs {
		sub.SilenceUsage = true
		AdminFlags(sub)
		cmd.AddCommand(sub)
	}
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}

// OperatorHeader says to the administration endpoint who asks, for the record.
const OperatorHeader = "Gatehouse-Operator"

// Operator is who runs the command: what --operator says, or whom the system knows them as, behind sudo too. Whoever can
// reach the administration endpoint can claim any name: it says who, and proves nothing.
func Operator(cmd *cobra.Command) string {
	name, _ := cmd.Flags().GetString("operator")
	if name == "" {
		name = os.Getenv("SUDO_USER")
	}
	if me, err := user.Current(); name == "" && err == nil {
		name = me.Username
	}
	return cmp.Or(name, "unknown")
}

// AskAdmin has the running gateway answer a request at its administration endpoint: ask is sent as JSON unless it is nil,
// and what comes back is put into answer. Its refusals are returned as it words them.
func AskAdmin(cmd *cobra.Command, method, uri string, ask, answer any) error {
	flag := func(name string) string {
		v, _ := cmd.Flags().GetString(name)
		return v
	}
	address, err := caddycmd.DetermineAdminAPIAddress(flag("address"), nil, flag("config"), flag("adapter"))
	if err != nil {
		return fmt.Errorf("finding the administration endpoint: %w", err)
	}
	res, err := askAdmin(cmd.Context(), address, method, uri, Operator(cmd), ask)
	if err != nil {
		return fmt.Errorf("no gateway answers at %s (is it running? --address or --config says where else): %w", address, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAdminAnswer))
	if err != nil {
		return fmt.Errorf("reading the gateway's answer: %w", err)
	}
	if res.StatusCode >= 400 {
		var refused struct{ Error string }
		if json.Unmarshal(body, &refused) != nil || refused.Error == "" {
			return fmt.Errorf("the gateway at %s answers %s: is it one of this version?", address, res.Status)
		}
		return errors.New(refused.Error)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("reading the gateway's answer: %w", err)
	}
	return nil
}

func askAdmin(ctx context.Context, address, method, uri, operator string, ask any) (*http.Response, error) {
	addr, err := caddy.ParseNetworkAddress(address)
	if err != nil || addr.PortRangeSize() > 1 {
		return nil, fmt.Errorf("no address of an administration endpoint: %q", address)
	}
	origin := "http://" + addr.JoinHostPort(0)
	if addr.IsUnixNetwork() {
		origin = "http://127.0.0.1"
		addr.Host, _, _ = strings.Cut(addr.Host, "|") // the socket's mode
	}
	var body io.Reader
	if ask != nil {
		text, err := json.Marshal(ask)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	req, err := http.NewRequestWithContext(ctx, method, origin+uri, body)
	if err != nil {
		return nil, err
	}
	if !addr.IsUnixNetwork() {
		req.Header.Set("Origin", origin) // Caddy's guard against other sites' pages
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(OperatorHeader, operator)
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, addr.Network, addr.JoinHostPort(0))
		},
	}}
	return client.Do(req)
}

// AdminError is how an administration endpoint refuses.
func AdminError(status int, err error) error { return caddy.APIError{HTTPStatus: status, Err: err} }

// RunningState returns the house that runs and its state, or the error with which an administration endpoint says that
// there is none.
func RunningState() (*App, *State, error) {
	app := Running()
	if app == nil {
		return nil, nil, AdminError(http.StatusNotFound, errors.New("the running configuration has no gatehouse"))
	}
	state, err := app.State()
	if err != nil {
		return nil, nil, AdminError(http.StatusServiceUnavailable, err)
	}
	return app, state, nil
}
