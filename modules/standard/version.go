package standard

import (
	"fmt"
	"os"
	"slices"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/build"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "sbom",
		Short: "Prints the bill of materials of this binary, as CycloneDX JSON",
		Long: `
Prints which Go modules this binary is made of, with their versions and the checksums of go.sum, as a CycloneDX 1.6 bill of
materials. It is what the linker wrote into the binary, as ` + "`go version -m`" + ` shows it.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Args, cmd.SilenceUsage = cobra.NoArgs, true
			cmd.RunE = func(cmd *cobra.Command, _ []string) error {
				text, err := build.SBOM()
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
				}
				return err
			}
		},
	})
}

// ProductVersion is the version of the product, not of Caddy.
func ProductVersion() string { return build.Read().Version }

// Version is the command `gatehouse version [--json]`, which Caddy has for itself and lets nobody replace. It returns the exit code.
func Version(args []string) int {
	asJSON := slices.Equal(args, []string{"--json"})
	if len(args) > 0 && !asJSON {
		fmt.Fprintln(os.Stderr, "usage: gatehouse version [--json]")
		return 1
	}
	if err := build.Print(os.Stdout, asJSON); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
