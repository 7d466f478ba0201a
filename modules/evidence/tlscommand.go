package evidence

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/roots"
)

func gatehouseTLS(cmd *cobra.Command) {
	sub := &cobra.Command{
		Use: "check <host[:port]>", Args: cobra.ExactArgs(1), SilenceUsage: true,
		Short: "Grades a listener of TLS: versions, suites, chain, dates, HSTS, renegotiation; fails below A",
		RunE:  tlsCheck,
	}
	sub.Flags().String("connect", "", "host:port to connect to, if the name's own address is not meant")
	sub.Flags().String("ca", "", "A file with the authorities that clients trust, if not the system's")
	sub.Flags().Bool("json", false, "Write it as JSON")
	cmd.AddCommand(sub)
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}

func tlsCheck(cmd *cobra.Command, args []string) error {
	host, port, err := net.SplitHostPort(args[0])
	if err != nil {
		host, port = strings.Trim(args[0], "[]"), "443"
	}
	if host == "" {
		return errors.New("name the listener: gatehouse tls check app.example.com")
	}
	ca, _ := cmd.Flags().GetString("ca")
	connect, _ := cmd.Flags().GetString("connect")
	pool, err := roots.Read(ca)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	g, err := Check(ctx, Target{Address: cmp.Or(connect, net.JoinHostPort(host, port)), Name: host, Roots: pool})
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(g)
	} else {
		fmt.Fprintf(out, "%s  %s\n", g.Grade, args[0])
		for _, why := range g.Because {
			fmt.Fprintf(out, "  %s\n", why)
		}
		fmt.Fprintf(out, "versions  %s\nsuites    %s\nchain     %s\nexpires   %s\nsha256    %s\n", strings.Join(g.Versions, ", "), strings.Join(g.Suites, "\n          "), g.Chain, g.Expires.Format(time.RFC3339), g.SHA256)
	}
	if err == nil && !g.Good() {
		err = fmt.Errorf("%s has grade %s, below A: %s", args[0], g.Grade, strings.Join(g.Because, "; "))
	}
	return err
}
