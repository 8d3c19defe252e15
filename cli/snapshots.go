package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
)

func (a *app) snapshotCommand() *cobra.Command {
	save := &cobra.Command{
		Use: "save FILE", Short: "Write a snapshot of the replicated state to a file", Args: exactly("FILE"),
		Long: "Write a snapshot of the replicated state to a file. It holds what the bot sees on Discord, and no token.",
	}
	a.remote(save, 0, func(ctx context.Context, c *admin.Client, args []string) error {
		n, err := saveSnapshot(ctx, c, args[0])
		if err != nil {
			return err
		}
		a.printf("%s: %s\n", args[0], bytesText(uint64(n)))
		return nil
	})
	inspect := &cobra.Command{
		Use: "inspect FILE", Short: "Verify a snapshot and show what is in it", Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return a.inspect(args[0]) },
	}
	restore := absent(&cobra.Command{Use: "restore FILE", Short: "Restore a snapshot (not in this version)"}, "docs/operations.md says what to do instead")
	return a.group("snapshot", "Snapshots of the replicated state", nil, save, inspect, restore)
}

// saveSnapshot writes beside the file and renames, so that the name never
// stands for half a snapshot.
func saveSnapshot(ctx context.Context, c *admin.Client, path string) (n int64, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".botnode-snapshot-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	n, err = c.SaveSnapshot(ctx, tmp)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return n, err
	}
	return n, os.Rename(tmp.Name(), path)
}

func (a *app) inspect(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	s, index, err := fsm.ReadSnapshot(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	a.facts([][2]string{
		{"cluster", orDash(s.ClusterID)}, {"index", fmt.Sprint(index)}, {"digest", s.Digest().String()},
		{"generation", fmt.Sprint(s.Generation)}, {"rules", fmt.Sprint(s.Rules)}, {"nodes", fmt.Sprint(len(s.Nodes()))},
	})
	t := newTable(a.style, "bot", ">shards", ">guilds", ">keys", ">unacked", ">dead letters", ">last position")
	for _, name := range s.BotNames() {
		b := s.Bot(name)
		guilds := 0
		for range b.Cache().Guilds() {
			guilds++
		}
		unacked, _ := b.Pending()
		t.add(name, fmt.Sprint(len(b.Shards())), fmt.Sprint(guilds), fmt.Sprint(b.KVLen()), fmt.Sprint(unacked), fmt.Sprint(b.DeadCount()), fmt.Sprint(b.LastPos))
	}
	a.printf("\n%s", t)
	return nil
}
