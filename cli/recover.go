package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/internal/backupfile"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/node"
)

func (a *app) recoverCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "recover --data-dir DIR", Short: "Make a cluster out of what is left where a majority is lost for good", Args: exactly(),
		Long: "Make a cluster of one node out of its data directory, where the majority of a cluster is lost for good. The node must not run.\n\n" +
			"The new cluster has a new id and generation, and all that this node has. What the lost nodes had acknowledged and this node lacks is lost. Old nodes that come back are refused by the new cluster: start them with an empty --data-dir and join them. " +
			"Make sure that the others are gone: if a majority of them still runs somewhere, it goes on as the old cluster, beside the new one.\n\n" +
			"Where several nodes are left, run it with --dry-run on each and recover the one with the highest last entry: the higher term, then the higher index.",
		Example: "  botnode recover --data-dir /var/lib/botnode --dry-run\n  botnode recover --data-dir /var/lib/botnode",
	}
	dir := c.Flags().String("data-dir", "", "the directory `DIR` of a node that doesn't run (default: as for start)")
	dry := c.Flags().Bool("dry-run", false, "show what there is, and change nothing")
	keep := c.Flags().Bool("keep-sessions", false, "go on with the gateway sessions on record: Discord then replays what it still has")
	yes := c.Flags().Bool("yes", false, "don't ask")
	c.RunE = func(*cobra.Command, []string) (err error) {
		path, err := filepath.Abs(a.dataDir(*dir))
		if err != nil {
			return &usageError{err}
		}
		r, err := node.OpenRecovery(path, zap.NewNop())
		if errors.Is(err, membership.ErrNoIdentity) || errors.Is(err, membership.ErrDirInUse) {
			return &usageError{err}
		}
		if errors.Is(err, consensus.ErrDamaged) || errors.Is(err, membership.ErrCorruptIdentity) {
			return admin.WithHint(&usageError{err}, "recover another node that is left, or restore a backup into a new cluster")
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		a.survey(r)
		if *dry {
			return nil
		}
		if !*yes {
			if err := a.confirm(fmt.Sprintf("\nThis ends cluster %s and makes a new one of node %s alone.", r.Cluster, r.NodeID), r.Cluster); err != nil {
				return err
			}
		}
		res, err := r.Run(*keep)
		if err != nil {
			return err
		}
		a.printf("\nnode %s is cluster %s now, generation %d\nnext: start it as before; start every other node with an empty --data-dir, and `botnode join` it\n", r.NodeID, res.Cluster, res.Generation)
		return nil
	}
	return c
}

// survey shows what a directory holds.
func (a *app) survey(r *node.Recovery) {
	s := r.Survey
	var names []string
	for _, server := range s.Servers {
		names = append(names, server.ID)
	}
	last := fmt.Sprintf("term %d, index %d", s.LastTerm, s.LastIndex)
	if !s.LastAt.IsZero() {
		last += ", proposed " + s.LastAt.Local().Format(time.DateTime) + " (" + durationText(time.Since(s.LastAt)) + " ago)"
	}
	known := max(s.SnapshotIndex, s.CommittedIndex)
	a.facts([][2]string{
		{"node", r.NodeID}, {"cluster", r.Cluster + " of " + strings.Join(names, ", ")},
		{"last entry", last}, {"newest term", fmt.Sprint(s.Term)},
		{"committed", fmt.Sprintf("up to index %d for certain; what is above it (%d) may or may not have been", known, s.LastIndex-min(known, s.LastIndex))},
		{"state", fmt.Sprintf("generation %d, index %d, digest %s", r.Generation, r.Index, r.Digest)},
		{"holds", countsText(backupfile.Counts(r.Counts))},
	})
	if r.Resumes {
		a.printf("a recovery of this directory was begun and cut off; it goes on where it was\n")
		return
	}
	a.printf("\nAll of this is taken over. What the lost nodes had acknowledged and is not in it is lost: compare the last entry with those of other nodes that are left.\n")
}
