package cli

import (
	"errors"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/membership"
	"github.com/botnode/botnode/node"
)

// The ways on from a directory that no node may start on.
const (
	hintDamaged = "move the directory aside, start the node with an empty one and the same --id, and `botnode join` it: the cluster has what it held. " +
		"If it was the only node: `botnode start --bootstrap` with an empty directory, then `botnode snapshot restore`"
	hintRestore = "if the other nodes have a leader, do that: move the directory aside, start with an empty one, and `botnode join`. If they haven't, `botnode recover`"
	hintRecover = "it goes on where it was cut off"
)

// unfit explains why a node can't start on its directory, to the log and to whoever
// typed the command.
func unfit(log *zap.Logger, err error) error {
	why := func(code, hint string, is ...error) bool {
		for _, cause := range is {
			if errors.Is(err, cause) {
				log.Error("the data directory can't be used", zap.String("code", code), zap.Error(err), zap.String("hint", hint))
				err = admin.WithHint(err, hint)
				return true
			}
		}
		return false
	}
	_ = why("data_damaged", hintDamaged, consensus.ErrDamaged, node.ErrLogMissing, membership.ErrCorruptIdentity) ||
		why("restore_unfinished", hintRestore, consensus.ErrRestoreUnfinished) ||
		why("recovery_unfinished", hintRecover, node.ErrRecovering)
	return err
}
