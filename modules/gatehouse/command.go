package gatehouse

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/keyring"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "keys",
		Usage: "create|rotate|list <file>",
		Short: "Makes, rotates and lists the house's master keys",
		Long: `
The key file holds the master keys from which everything the gateway seals and signs is derived: sessions, login flows,
users. The newest key seals; older ones still open what they sealed, so that a rotation logs nobody out. To retire an old
key, delete its line once nothing made with it is needed.

A running gateway reads the file when it starts.`,
		CobraFunc: func(cmd *cobra.Command) {
			for _, sub := range []struct {
				name, short string
				run         func(*cobra.Command, string) error
			}{
				{"create", "Makes a key file with one key; never overwrites one", createKeys},
				{"rotate", "Adds a new key, which seals from the next start on", rotateKeys},
				{"list", "Shows the ids and dates of the keys, never the keys", listKeys},
			} {
				cmd.AddCommand(&cobra.Command{
					Use: sub.name + " <file>", Short: sub.short, Args: cobra.ExactArgs(1),
					RunE: func(c *cobra.Command, args []string) error {
						c.SilenceUsage = true
						return sub.run(c, args[0])
					},
				})
			}
			cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		},
	})
}

func createKeys(cmd *cobra.Command, file string) error {
	ring, err := keyring.Create(file)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and what it sealed would be lost: use `gatehouse keys rotate %s`", file, file)
	}
	if err != nil {
		return err
	}
	cmd.Printf("made %s with key %s; keep a copy of it apart from the state directory\n", file, ring.Keys()[0].ID())
	return nil
}

func rotateKeys(cmd *cobra.Command, file string) error {
	ring, err := keyring.Rotate(file)
	if err != nil {
		return err
	}
	cmd.Printf("%s: key %s seals from the next start on; %d older keys still open\n", file, ring.Keys()[0].ID(), len(ring.Keys())-1)
	return nil
}

func listKeys(cmd *cobra.Command, file string) error {
	ring, err := keyring.Load(file)
	if err != nil {
		return err
	}
	for i, k := range ring.Keys() {
		use := "opens"
		if i == 0 {
			use = "seals"
		}
		cmd.Printf("%s  %s  %s\n", k.ID(), k.Created().UTC().Format(time.DateTime), use)
	}
	return nil
}
