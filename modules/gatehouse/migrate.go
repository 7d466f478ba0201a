package gatehouse

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// StoreMover is implemented by the modules in the namespace gatehouse.stores whose state can be moved to another engine.
type StoreMover interface {
	StoreOpener
	// OpenToMove opens the store for that role, and keeps gateways away from it. dry says that nothing will be moved: then it
	// changes nothing.
	OpenToMove(ctx context.Context, dir string, keys *keyring.Ring, as store.Role, dry bool) (store.Moving, error)
}

// OpenToMove implements [StoreMover].
func (s *EmbeddedStore) OpenToMove(_ context.Context, dir string, _ *keyring.Ring, as store.Role, dry bool) (store.Moving, error) {
	m, err := store.EmbeddedToMove(s.file(dir), as)
	if errors.Is(err, store.ErrLocked) {
		err = fmt.Errorf("%w: stop the gateway first", err)
	}
	if err == nil && dry {
		end := m.End
		m.End = func(bool) error { return end(false) }
	}
	return m, err
}

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "store",
		Usage: "migrate --from <config> --to <config>",
		Short: "Moves the state to another store engine",
		Long: `
migrate moves the state from the store of one configuration into that of another: from the embedded store to Valkey, or back. Stop all
gateways first. It refuses while one uses either store, and none can begin to until it has ended.

The target must be empty. Everything is compared afterwards, by counts and hashes of each bucket; when something differs, or the
command is interrupted, the source is as it was, and no gateway starts on a target that is not whole. When all has arrived, the source
is put away: an embedded store's file is renamed, a store on a server is marked. A gateway that went on with it would let in whoever
was logged out since.

Both configurations need the same master keys. It is on record in the audit logs of both state directories.`,
		CobraFunc: func(cmd *cobra.Command) {
			migrate := &cobra.Command{
				Use: "migrate --from <config> --to <config>", Short: "Moves the state to another store engine", Args: cobra.NoArgs,
				SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error { return migrateStore(cmd) },
			}
			migrate.Long = cmd.Long
			migrate.Flags().String("from", "", "The configuration whose state is moved")
			migrate.Flags().String("to", "", "The configuration that it is moved to")
			migrate.Flags().String("adapter", "", "Name of the configurations' adapter")
			migrate.Flags().Bool("dry-run", false, "Only count, and say whether it could be moved")
			migrate.Flags().String("operator", "", "Who does this, for the record; default: your name on this machine")
			cmd.AddCommand(migrate)
			cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		},
	})
}

// side is one end of a move.
type side struct {
	file, engine string
	dir          string
	keys         *keyring.Ring
	opener       StoreMover
}

// loadSide reads what a configuration says of its store. end must be called when the side is not needed any more.
func loadSide(file, adapter string) (s side, end func(), err error) {
	end = func() {}
	conf, _, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return s, end, err
	}
	var all struct {
		Apps struct {
			Gatehouse *App `json:"gatehouse"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(conf, &all); err != nil {
		return s, end, fmt.Errorf("%s: %w", file, err)
	}
	app := all.Apps.Gatehouse
	if app == nil {
		return s, end, fmt.Errorf("%s has no gatehouse", file)
	}
	s = side{file: file, engine: engineOf(app.StoreRaw)}
	if s.dir, err = filepath.Abs(cmp.Or(app.StateDir, filepath.Join(caddy.AppDataDir(), "gatehouse"))); err != nil {
		return s, end, err
	}
	if s.keys, err = keyring.Load(cmp.Or(app.KeysFile, filepath.Join(s.dir, "keys"))); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w (the gateways of %s need the keys with which the state was sealed: give them a copy)", err, file)
		}
		return s, end, fmt.Errorf("opening the keys: %w", err)
	}
	ctx, end := caddy.NewContext(caddy.Context{Context: context.Background()})
	var opener any = new(EmbeddedStore)
	if app.StoreRaw != nil {
		if opener, err = ctx.LoadModule(app, "StoreRaw"); err != nil {
			return s, end, fmt.Errorf("%s: loading the store: %w", file, err)
		}
	}
	var ok bool
	if s.opener, ok = opener.(StoreMover); !ok {
		return s, end, fmt.Errorf("%s: nothing can be moved from or to the store %s", file, s.engine)
	}
	return s, end, nil
}

// opens returns an error unless all that the other's keys sealed opens with s's.
func (s side) opens(other side) error {
	for _, k := range other.keys.Keys() {
		if !slices.ContainsFunc(s.keys.Keys(), func(own keyring.Key) bool { return own.ID() == k.ID() }) {
			return fmt.Errorf("the keys of %s do not have key %s of %s: what it sealed could not be opened any more", s.file, k.ID(), other.file)
		}
	}
	return nil
}

func migrateStore(cmd *cobra.Command) error {
	flag := func(name string) string { v, _ := cmd.Flags().GetString(name); return v }
	dry, _ := cmd.Flags().GetBool("dry-run")
	if flag("from") == "" || flag("to") == "" {
		return errors.New("say which: gatehouse store migrate --from <config> --to <config>")
	}
	from, end, err := loadSide(flag("from"), flag("adapter"))
	defer end()
	if err != nil {
		return err
	}
	to, end2, err := loadSide(flag("to"), flag("adapter"))
	defer end2()
	if err != nil {
		return err
	}
	if from.opener.StoreKey() == to.opener.StoreKey() && from.dir == to.dir {
		return errors.New("both configurations have the same store")
	}
	if err := to.opens(from); err != nil {
		return err
	}
	m := mover{cmd: cmd, from: from, to: to, dry: dry}
	return m.run(cmd.Context())
}

// mover moves the state from one side to the other.
type mover struct {
	cmd      *cobra.Command
	from, to side
	dry      bool
	moved    int
}

// run opens both stores, which keeps gateways away from them, and from the state directories that are theirs.
func (m *mover) run(ctx context.Context) error {
	source, err := m.from.opener.OpenToMove(ctx, m.from.dir, m.from.keys, store.MoveFrom, m.dry)
	if err != nil {
		return fmt.Errorf("the store of %s: %w", m.from.file, err)
	}
	target, err := m.to.opener.OpenToMove(ctx, m.to.dir, m.to.keys, store.MoveInto, m.dry)
	if err != nil {
		return errors.Join(fmt.Errorf("the store of %s: %w", m.to.file, err), source.End(false))
	}
	if m.dry {
		err = errors.Join(m.count(ctx, source, target), target.End(false), source.End(false))
		if err == nil {
			_, err = io.WriteString(m.cmd.OutOrStdout(), "It can be moved. Nothing was.\n")
		}
		return err
	}
	return m.onRecord(func() error { return m.move(ctx, source, target) }, func() error { return errors.Join(target.End(false), source.End(false)) })
}

// onRecord puts what is done on record in the audit logs of both sides, before and after. What cannot be on record is left instead.
func (m *mover) onRecord(do, leave func() error) error {
	sides := []side{m.from}
	if m.to.dir != m.from.dir {
		sides = append(sides, m.to)
	}
	var buses []*event.Bus
	var logs []*AuditLog
	defer func() {
		for i, bus := range buses {
			bus.Close()
			_ = logs[i].close() // what was recorded is durable
		}
	}()
	for _, s := range sides {
		bus := event.NewBus()
		buses, logs = append(buses, bus), append(logs, newAuditLog(filepath.Join(s.dir, AuditDir), s.keys, bus))
	}
	id := auditedID()
	tell := func(kind event.Kind, detail string) error {
		e := event.Event{Time: time.Now(), Kind: kind, RequestID: id, Path: "gatehouse store migrate", Detail: detail, Attrs: []event.Attr{
			{Key: "operator", Value: event.Clip(Operator(m.cmd), maxAskedText)},
			{Key: "from", Value: event.Clip(m.from.engine+" "+m.from.file, maxAskedText)},
			{Key: "to", Value: event.Clip(m.to.engine+" "+m.to.file, maxAskedText)},
		}}
		var errs []error
		for i, bus := range buses {
			if err := bus.Record(e); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", logs[i].Dir(), err))
			}
		}
		return errors.Join(errs...)
	}
	if err := tell(event.AdminRequested, ""); err != nil {
		return errors.Join(fmt.Errorf("nothing was done: what administrators do must be on record first: %w", err), leave())
	}
	if err := do(); err != nil {
		return errors.Join(err, tell(event.AdminRefused, event.Clip(err.Error(), maxAskedText)))
	}
	if err := tell(event.AdminDone, fmt.Sprintf("%d records moved", m.moved)); err != nil {
		return fmt.Errorf("all was moved, and that could not be put on record: %w", err)
	}
	return nil
}

// move copies, compares, gives the target free and puts the source away; or leaves both as they were.
func (m *mover) move(ctx context.Context, source, target store.Moving) error {
	left, err := source.Unmoved(ctx)
	var there map[store.Bucket]store.Tally
	if err == nil {
		told := time.Now()
		there, err = store.Move(ctx, source, target, func(n int) {
			m.moved = n
			if time.Since(told) > progressEvery {
				told = time.Now()
				m.cmd.PrintErrf("%d records copied\n", n)
			}
		})
	}
	if err == nil {
		err = m.report(there, left)
	}
	if err != nil {
		return errors.Join(err, target.End(false), source.End(false))
	}
	// The target first: if the source cannot be put away after that, it can be seen twice, and is never lost.
	if err := target.End(true); err != nil {
		return errors.Join(fmt.Errorf("giving the target free: %w", err), source.End(false))
	}
	if err := source.End(true); err != nil {
		return fmt.Errorf("all was moved, but the source could not be put away: let no gateway go on with it: %w", err)
	}
	_, err = fmt.Fprintf(m.cmd.OutOrStdout(), "All of it arrived, and is the same: %d records. Gateways may start with %s.\n", m.moved, m.to.file)
	return err
}

// count says what would be moved.
func (m *mover) count(ctx context.Context, source, target store.Movable) error {
	empty, err := store.Empty(ctx, target)
	if err == nil && !empty {
		err = store.ErrNotEmpty
	}
	if err != nil {
		return err
	}
	left, err := source.Unmoved(ctx)
	if err != nil {
		return err
	}
	there, err := store.Count(ctx, source, time.Now())
	if err != nil {
		return err
	}
	return m.report(there, left)
}

// progressEvery is how often it is told how far a move has come.
const progressEvery = time.Second

// report says what was the same on both sides, or what would be moved.
func (m *mover) report(there map[store.Bucket]store.Tally, left map[store.Bucket]int) error {
	t := tabwriter.NewWriter(m.cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "bucket\titems\tcounters\tsoon expired\thash")
	for _, b := range slices.Sorted(maps.Keys(there)) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%v\n", b, there[b].Items, there[b].Counters, there[b].Soon, there[b].Sum)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var names []string
	for _, b := range slices.Sorted(maps.Keys(left)) {
		names = append(names, fmt.Sprintf("%s %d", b, left[b]))
	}
	if names != nil {
		_, err := fmt.Fprintf(m.cmd.OutOrStdout(), "Not moved, since they are full again soon: allowances that were spent in part, of %s.\n", strings.Join(names, ", "))
		return err
	}
	return nil
}

// engineOf is the name of a store's engine.
func engineOf(raw json.RawMessage) string {
	var named struct{ Engine string }
	_ = json.Unmarshal(raw, &named) // it was loaded by that name, or there is none
	return cmp.Or(named.Engine, "embedded")
}
