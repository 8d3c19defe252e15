package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/internal/backupfile"
	"github.com/botnode/botnode/internal/durable"
	"github.com/botnode/botnode/node"
	"github.com/botnode/botnode/trust"
)

func (a *app) snapshotCommand() *cobra.Command {
	save := &cobra.Command{
		Use: "save FILE", Short: "Write a backup of the replicated state to a file", Args: exactly("FILE"),
		Long: "Write a backup of the replicated state to a file. It holds what the bot sees on Discord, its key-value store, sessions and configuration, and no token.",
	}
	a.remote(save, 0, func(ctx context.Context, c *admin.Client, args []string) error {
		h, n, err := saveSnapshot(ctx, c, args[0])
		if err != nil {
			return err
		}
		a.printf("%s: %s, index %d\n", args[0], bytesText(uint64(n)), h.Index)
		return nil
	})
	inspect := &cobra.Command{
		Use: "inspect FILE", Short: "Verify a backup and show what is in it", Args: exactly("FILE"),
		Long: "Verify every byte of a backup, and show what is in it. Exit code 2 if it is damaged or no backup. Of an encrypted one without its key, the checksums are verified and the header is shown.",
	}
	keyFile := inspect.Flags().String("key-file", "", keyFileUsage)
	inspect.RunE = func(_ *cobra.Command, args []string) error {
		unseal, err := readBackupKeys(*keyFile)
		if err != nil {
			return err
		}
		return a.inspect(args[0], unseal)
	}
	return a.group("snapshot", "Backups of the replicated state", nil, save, inspect, a.restoreCommand())
}

// saveSnapshot writes beside the file and renames, so that the name never
// stands for half a backup.
func saveSnapshot(ctx context.Context, c *admin.Client, path string) (h backupfile.Header, n int64, err error) {
	err = durable.Create(filepath.Dir(path), ".botnode-snapshot-*", func(f *os.File) (string, error) {
		if n, err = c.SaveSnapshot(ctx, f); err == nil {
			h, err = verified(f) // that the answer came to its end is in the file alone
		}
		return filepath.Base(path), err
	})
	return h, n, err
}

// verified checks the checksums of a backup.
func verified(f io.ReadSeeker) (h backupfile.Header, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return h, err
	}
	r, err := backupfile.NewReader(f, nil)
	if err != nil {
		return h, err
	}
	return r.Header, r.Verify()
}

const keyFileUsage = "`FILE` with the backup key of the cluster that made the file (see botnode tls backup-key), one a line where keys were rotated"

// readBackupKeys reads backup keys, one a line; nil for no file.
func readBackupKeys(path string) (backupfile.Unseal, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("--key-file: %w", err)
	}
	keys := make(map[uint64]trust.BackupKey)
	for line := range strings.Lines(string(b)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		k, err := trust.ParseBackupKey(line)
		if err != nil {
			return nil, usagef("--key-file %s: %w", path, err)
		}
		keys[k.Epoch] = k
	}
	return node.UnsealWith(func(epoch uint64) (trust.BackupKey, bool) {
		k, ok := keys[epoch]
		return k, ok
	}), nil
}

func (a *app) inspect(path string, unseal backupfile.Unseal) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := node.ReadBackup(bufio.NewReaderSize(f, 1<<20), unseal)
	if errors.Is(err, backupfile.ErrSealed) && unseal == nil {
		h, bad := verified(f)
		if bad != nil {
			return fileError(path, bad)
		}
		a.header(h, stat.Size())
		a.warnf("the payload is encrypted: its checksums hold; what is in it could not be looked at without the key (--key-file)\n")
		return nil
	}
	if err != nil {
		return fileError(path, err)
	}
	a.header(b.Header, stat.Size())
	a.bots(b)
	return nil
}

// fileError is a mistake in what was named: another try won't cure it.
func fileError(path string, err error) error { return &usageError{fmt.Errorf("%s: %w", path, err)} }

func (a *app) header(h backupfile.Header, size int64) {
	a.facts([][2]string{
		{"cluster", orDash(h.Cluster)},
		{"created", h.Created.Local().Format(time.DateTime) + " (" + durationText(time.Since(h.Created).Truncate(time.Second)) + " ago)"},
		{"by", h.Node + ", botnode " + orDash(h.Version)},
		{"index", fmt.Sprint(h.Index)}, {"term", fmt.Sprint(h.Term)}, {"generation", fmt.Sprint(h.Generation)},
		{"digest", h.Digest}, {"format", fmt.Sprint(backupfile.Format)}, {"encryption", h.Encryption},
		{"size", bytesText(uint64(size))},
		{"holds", countsText(h.Counts)},
	})
}

func countsText(c backupfile.Counts) string {
	return strings.Join([]string{
		plural(c.Bots, "bot"), plural(c.Shards, "shard"), plural(c.Guilds, "guild"),
		plural(c.Keys, "key"), plural(c.Unacked, "unacked event"), plural(c.DeadLetters, "dead letter"),
	}, ", ")
}

func (a *app) bots(b *node.Backup) {
	s := b.State
	t := newTable(a.style, "bot", ">shards", ">guilds", ">keys", ">unacked", ">dead letters", ">last position")
	for _, name := range s.BotNames() {
		bot := s.Bot(name)
		guilds := 0
		for range bot.Cache().Guilds() {
			guilds++
		}
		unacked, _ := bot.Pending()
		t.add(name, fmt.Sprint(len(bot.Shards())), fmt.Sprint(guilds), fmt.Sprint(bot.KVLen()), fmt.Sprint(unacked), fmt.Sprint(bot.DeadCount()), fmt.Sprint(bot.LastPos))
	}
	a.printf("\n%s\nevery checksum holds; the state has the digest that the header says\n", t)
}

// freshSessions says why a bot is silent for a while after a restore.
const freshSessions = "its shards begin new sessions: for 7 s there is no IDENTIFY, since one of before may have been on its way, and then one every 5 s for each of Discord's keys; `botnode status --watch` shows them come"

func (a *app) restoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "restore FILE", Short: "Replace the state of the whole cluster by a backup", Args: exactly("FILE"),
		Long: "Replace the state of the whole cluster by a backup, of this or of another cluster. The file is verified before anything changes; what has happened since it was made is lost, and so is what is in flight.\n\n" +
			"A new generation begins: all nodes register again, all shards are assigned anew and identify, unless --keep-sessions. The cluster keeps its id and its members. It needs a majority; where that is lost, see `recover`.",
		Example: "  botnode snapshot restore state.backup\n  botnode snapshot restore --yes state.backup",
	}
	keep := c.Flags().Bool("keep-sessions", false, "go on with the gateway sessions in the backup, as when it is minutes old: Discord then replays what it still has")
	yes := c.Flags().Bool("yes", false, "don't ask")
	keyFile := c.Flags().String("key-file", "", keyFileUsage+"; needed for a backup of another cluster")
	return a.remote(c, 0, func(ctx context.Context, client *admin.Client, args []string) error {
		f, err := os.Open(args[0])
		if err != nil {
			return &usageError{err}
		}
		defer func() { _ = f.Close() }()
		h, err := verified(f)
		if err != nil {
			return fileError(args[0], err)
		}
		if *keyFile != "" {
			opened, err := opened(f, *keyFile)
			if err != nil {
				return fileError(args[0], err)
			}
			defer func() { _ = opened.Close() }()
			f = opened
		}
		size, err := f.Seek(0, io.SeekEnd)
		if err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err != nil {
			return err
		}
		st, err := client.Status(ctx, false)
		if err != nil {
			return err
		}
		if st.ClusterID == "" {
			return admin.WithHint(admin.ErrNotInCluster, "make a cluster first: `botnode start --bootstrap`")
		}
		if !*yes {
			a.header(h, size)
			if err := a.confirm(fmt.Sprintf("\nThis replaces the state of cluster %s (%s) by that.", st.ClusterID, plural(len(st.Nodes), "node")), st.ClusterID); err != nil {
				return err
			}
		}
		begun := time.Now()
		res, err := client.RestoreSnapshot(ctx, f, size, admin.RestoreOptions{ClusterID: st.ClusterID, KeepSessions: *keep})
		if err != nil {
			return err
		}
		a.printf("restored in %s: generation %d of cluster %s; `botnode wait --for ready` waits for the bot\n", durationText(time.Since(begun)), res.Generation, res.ClusterID)
		if !res.SessionsKept {
			a.printf("%s\n", freshSessions)
		}
		return nil
	})
}

// opened writes a backup in clear to a file that is gone once it is closed: the
// key of another cluster isn't told to this one.
func opened(f *os.File, keyFile string) (_ *os.File, err error) {
	unseal, err := readBackupKeys(keyFile)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r, err := backupfile.NewReader(f, unseal)
	if err != nil {
		return nil, err
	}
	out, err := os.CreateTemp("", "botnode-restore-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = out.Close()
		}
	}()
	if err := os.Remove(out.Name()); err != nil {
		return nil, err
	}
	w, err := backupfile.NewWriter(out, r.Header, backupfile.Seal{})
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, r); err != nil {
		return nil, err
	}
	return out, w.Close()
}

// confirm has a person at a terminal type a word. Without a terminal --yes is
// needed.
func (a *app) confirm(what, word string) error {
	unconfirmed := admin.WithHint(usagef("this is not done without a confirmation"), "--yes, or a terminal to type it at")
	in, ok := a.o.Stdin.(*os.File)
	if !ok || !isTerminal(in) {
		return unconfirmed
	}
	a.printf("%s\nType %s to go on: ", what, word)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if line == "" {
		return unconfirmed // nobody is there: /dev/null looks like a terminal
	}
	if strings.TrimSpace(line) != word {
		return fmt.Errorf("%w: not confirmed; nothing was changed", admin.ErrRefused)
	}
	return nil
}
