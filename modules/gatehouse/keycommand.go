package gatehouse

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"text/tabwriter"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/keyring"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "keys",
		Usage: "create|rotate|retire|adopt|list",
		Short: "Makes, rotates, retires and lists the house's master keys",
		Long: `
The key file holds the master keys from which everything the gateway seals and signs is derived: sessions, login flows,
users, cookies, what applications are told. One of them seals; older ones still open and verify, so that a rotation logs
nobody out.

  rotate   makes a new key. It opens and verifies at once, and is published for applications; it seals ten minutes later,
           when every gateway has it: give them the file meanwhile, and have them adopt it. --at-once: it seals at once
  retire   has a key open what is in the store and nothing else: cookies and links, signatures and login flows of it count no
           more. Earliest when the key that seals has done so for 24 hours; --at-once: now, when the key may be known
  adopt    has the gateway take the file's keys, as a reload does

Each is asked of the running gateway, and on record there. With a <file>, the file is changed and no gateway told.`,
		CobraFunc: func(cmd *cobra.Command) {
			create := &cobra.Command{Use: "create <file>", Short: "Makes a key file with one key; never overwrites one", Args: cobra.ExactArgs(1), RunE: createKeys}
			rotate := &cobra.Command{Use: "rotate [<file>]", Short: "Makes a new key, which seals ten minutes later", Args: cobra.MaximumNArgs(1), RunE: rotateKeys}
			retire := &cobra.Command{Use: "retire <id> [<file>]", Short: "Has an old key open what is in the store, and nothing else", Args: cobra.RangeArgs(1, 2), RunE: retireKey}
			adopt := &cobra.Command{Use: "adopt", Short: "Has the running gateway take the keys that are in its file", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
				return changeKeys(cmd, "adopt", keyAsk{})
			}}
			list := &cobra.Command{Use: "list [<file>]", Short: "Shows the ids of the keys and what they do, never the keys", Args: cobra.MaximumNArgs(1), RunE: listKeys}
			rotate.Flags().Bool("at-once", false, "It seals at once; where several gateways share a state, logins on one are none on others until those have it")
			retire.Flags().Bool("at-once", false, "Do not wait until 24 hours have passed")
			list.Flags().Bool("count", false, "Count the records of the store that each has sealed")
			create.SilenceUsage = true
			cmd.AddCommand(create)
			AdminCommands(cmd, rotate, retire, adopt, list)
		},
	})
}

func createKeys(cmd *cobra.Command, args []string) error {
	file := args[0]
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

// changeKeys has the running gateway do it, and shows its keys.
func changeKeys(cmd *cobra.Command, what string, ask keyAsk) error {
	var all []KeyStatus
	if err := AskAdmin(cmd, http.MethodPost, adminKeys+"/"+what, ask, &all); err != nil {
		return err
	}
	return showKeys(cmd, all)
}

// changedFile shows the keys of a file that was changed, which no gateway knows yet.
func changedFile(cmd *cobra.Command, ring *keyring.Ring, err error) error {
	if err == nil {
		err = showKeys(cmd, keyStatuses(ring))
	}
	if err == nil {
		cmd.PrintErrln("A running gateway takes the file with `gatehouse keys adopt`, or with a reload.")
	}
	return err
}

func rotateKeys(cmd *cobra.Command, args []string) error {
	atOnce, _ := cmd.Flags().GetBool("at-once")
	if len(args) == 0 {
		return changeKeys(cmd, "rotate", keyAsk{AtOnce: atOnce})
	}
	ring, err := keyring.Rotate(args[0], fromWhen(atOnce))
	return changedFile(cmd, ring, err)
}

func retireKey(cmd *cobra.Command, args []string) error {
	atOnce, _ := cmd.Flags().GetBool("at-once")
	if len(args) == 1 {
		return changeKeys(cmd, "retire", keyAsk{Key: args[0], AtOnce: atOnce})
	}
	ring, err := keyring.Retire(args[1], args[0], atOnce)
	return changedFile(cmd, ring, err)
}

func listKeys(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		ring, err := keyring.Load(args[0])
		if err != nil {
			return err
		}
		return showKeys(cmd, keyStatuses(ring))
	}
	uri := adminKeys
	if count, _ := cmd.Flags().GetBool("count"); count {
		uri += "?count=true"
	}
	var all []KeyStatus
	if err := AskAdmin(cmd, http.MethodGet, uri, nil, &all); err != nil {
		return err
	}
	return showKeys(cmd, all)
}

func showKeys(cmd *cobra.Command, all []KeyStatus) error {
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, k := range all {
		fmt.Fprintf(t, "%s\t%s\t%s", k.ID, k.From.UTC().Format(time.DateTime), k.Use)
		if k.Records != nil {
			fmt.Fprintf(t, "\t%d records", *k.Records)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
